"""A system in trouble: several faults of the trial at once, and what operators did about them."""

from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager

from bench.diagnose.scene import Scene, healthy
from bench.diagnose.units import ABSENT_SECRET, HANGING, Record, hook_id
from notification_sender.sandbox.platform.endpoints import Endpoint

THROTTLED, UNSIGNED, FAILING, PAUSED = 1, 3, 2, 4
"""Numbers of regular organizations."""

REFUSING = "127.0.2.70"
"""A host that answers 404: what is for it is dead."""

FAILS = HANGING[0]
"""A host that answers 503."""

POOL, POOLED = 1, 0.5
"""Calls at once of the AAA API, and seconds of one: it is the limit."""

TICKET = ("--by", "anna@bastion-1", "--note", "INC-4711", "--yes")


@asynccontextmanager
async def trouble(scene: Scene) -> AsyncIterator[dict[str, str]]:
    """For the length of the block. Gives the names that a command line may need, such as ``{paused}``."""
    units, owners = scene.units, scene.units.organizations
    scene.inbox.behaviours[hook_id(FAILS)].configure(answer=503)
    scene.inbox.behaviours[hook_id(REFUSING)].configure(answer=404)
    scene.platform.behaviours[Endpoint.ORGANIZATION].configure(capacity=POOL, latency=POOLED)
    for words in (
        ("pause", "--organization", owners[PAUSED], "--for", "2h"),
        ("throttle", "set", owners[THROTTLED], "webhook", "60/minute burst 5", "--for", "1h"),
        ("circuits", "open", "api/geocoding", "--for", "30m"),
    ):
        await scene.operate(*words, *TICKET)
    known = {
        "throttled": owners[THROTTLED],
        "failing": owners[FAILING],
        "paused": owners[PAUSED],
        "hook": hook_id(FAILS),
    }
    with ExitStack() as opened:
        for rate, name, make in (
            (3.0, "throttled_unit", lambda: units.hook_of(THROTTLED)),
            (0.5, "unsigned_unit", lambda: units.hook_of(UNSIGNED, secret=ABSENT_SECRET)),
            (0.5, "failing_unit", lambda: units.hook_of(FAILING, FAILS)),
            (0.3, "dead_unit", lambda: units.hook_of(FAILING, REFUSING)),
            (1.0, "paused_unit", lambda: units.hook_of(PAUSED)),
            (0.2, "unreadable_unit", units.unreadable),
        ):
            opened.enter_context(scene.load.beside(rate, _noting(known, name, make)))
        yield known
    healthy(scene.platform)


def _noting(known: dict[str, str], name: str, make: Callable[[], Record]) -> Callable[[], Record]:
    """``make``, with the id of its first unit among the names."""

    def noted() -> Record:
        unit = make()
        known.setdefault(name, str(unit["work_unit_id"]))
        return unit

    return noted
