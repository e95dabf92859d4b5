"""What must hold after every seed. Each fault that is found names an id, so that its history can be told."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise

from notification_sender.model.errors import Permanent
from notification_sender.model.notification import notification_id
from notification_sender.model.unit import WorkUnit, decode, identity
from notification_sender.policy.limits import SECOND, Limit
from notification_sender.ports.ledger import Key
from notification_sender.slices import cut
from notification_sender.targets import Target
from tests.simulation.observer import Sending
from tests.simulation.recipients import targets
from tests.simulation.units import Unit, name_of
from tests.simulation.world import World

BORNE = SECOND // 4
"""µs by which admissions may come before their turn."""

OVER = {"delivered", "suppressed", "dead", "done"}
Fault = tuple[str, str]
"""Of which id, and what."""


def wrong(world: World) -> list[Fault]:
    """Everything that is wrong with how this seed went."""
    checks = (_unexpected, _left_over, _lost, _untrue, _uncounted, _unexplained, _overrun)
    return [*world.observer.wrong, *(fault for check in checks for fault in check(world))]


def story(world: World, faults: list[Fault]) -> str:
    """Of the first that is wrong, all that concerns it; of all the others, what."""
    name = next((name for name, _ in faults), "")
    lines = [
        f"seed {world.seed}:",
        *(f"  {name or '-'}: {what}" for name, what in faults),
        *world.history.describe(name),
    ]
    return "\n".join(lines)


def accepted_again(world: World) -> Counter[str]:
    """Acceptances after the first of each notification, by what led to them."""
    counts: Counter[str] = Counter()
    for sendings in world.observer.sendings.values():
        accepted = [it for it in sendings if it.accepted is not None]
        counts.update(it.why[0] if it.why else "nothing" for it in accepted[:-1])
    return counts


def _unexpected(world: World) -> Iterator[Fault]:
    for fault in world.loop.faults:
        yield "", f"nobody caught {fault}"
    if world.bugs:
        yield "", f"{world.bugs:.0f} errors that nobody foresaw"
    for pod in world.ended:
        for task in pod.tasks:
            if not task.done():
                yield "", f"{pod.name} goes on after its end: {task}"


def _uncounted(world: World) -> Iterator[Fault]:
    """Where the store was not told of an acceptance, that is counted."""
    gaps = sum(state not in OVER for _, _, state in _parts(world))
    if gaps > world.unrecorded:
        yield "", f"{gaps} acceptances that were not recorded, {world.unrecorded:.0f} counted"


def _left_over(world: World) -> Iterator[Fault]:
    if world.broker_links.pending or world.to_publish:
        yield "", f"{world.broker_links.pending} messages are left after {world.loop.time():.0f} s"


def _lost(world: World) -> Iterator[Fault]:
    """Every unit ends, and all that it told to anybody does."""
    letters = Counter(message.headers["x-reason"] for message in world.broker.dead)
    for unit in world.units:
        read = _read(unit)
        if read is None:
            if letters["malformed"] + letters["schema"] == 0:
                yield unit.name, "could not be read, and is no dead letter"
        elif (record := _state(world, read)) not in OVER:
            yield unit.name, f"its record says {record}"
        elif record == "done":
            yield from _slices_lost(world, unit.name, read)
    for unit, name, state in _parts(world):
        if not _ended(world, name, state):
            yield name, f"of {unit.name}: its record says {state}"


def _slices_lost(world: World, name: str, unit: WorkUnit) -> Iterator[Fault]:
    """A unit that is done has handed on all that it did not tell itself, and each of these ends."""
    slices = _slices(world, unit)
    if len(targets(unit)) > world.own and not slices:
        yield name, "it is done, and its slices were never seen"
    for body in slices:
        if (record := _state(world, body)) not in OVER:
            yield name, f"the record of its slice {identity(body)} says {record}"


def _parts(world: World) -> Iterator[tuple[Unit, str, str | None]]:
    """The notifications of units that are done, and what the ledger says of them. What is dead as a whole, or has
    expired, may have parts that somebody died with: of a unit that was cut, each slice for itself.
    """
    for unit in world.units:
        read = _read(unit)
        if read is not None and _state(world, read) == "done":
            for target in _own(world, read):
                name = notification_id(read, target.destination_id)
                yield unit, name, world.states.get(Key(read.organization_id, "notification", name))


def _own(world: World, unit: WorkUnit) -> Iterator[Target]:
    """Whom it has told itself, and who was told by those of its slices that are done."""
    reached = targets(unit)
    yield from reached[: world.own]
    for body in _slices(world, unit):
        if _state(world, body) == "done":
            yield from targets(body)


def _slices(world: World, unit: WorkUnit) -> list[WorkUnit]:
    """Of a unit that is done, as it was cut last: in whichever of its replays."""
    rest = targets(unit)[world.own :]
    lives = ([decode(body) for _, body in cut(unit, rest, size=world.own, replays=life)] for life in range(9, -1, -1))
    return next((it for it in lives if it and _state(world, it[0]) is not None), [])


def _read(unit: Unit) -> WorkUnit | None:
    try:
        return decode(unit.body)
    except Permanent:
        return None


def _state(world: World, unit: WorkUnit) -> str | None:
    return world.states.get(Key(unit.organization_id, "unit", identity(unit)))


def _ended(world: World, name: str, state: str | None) -> bool:
    """What was accepted while the store could not be told is over as well: that is counted, and no more is promised."""
    accepted = (it for it in world.observer.sendings[name] if it.accepted is not None)
    return state in OVER or any(it.why for it in accepted)


def _untrue(world: World) -> Iterator[Fault]:
    """What the ledger says happened."""
    letters: dict[str, list[int]] = defaultdict(list)
    for message in world.broker.dead:
        letters[name_of(message.body)].append(message.headers.get("x-replayed", 0))
    for key, state in world.states.items():
        if state == "delivered" and not any(it.accepted is not None for it in world.observer.sendings[key.id]):
            yield key.id, "delivered, and nobody has it"
        if state == "dead" and not letters[key.id]:
            yield key.id, "dead without a dead letter"
        sendings = world.observer.sendings[key.id]
        last = max((it.life for it in sendings if it.accepted is not None), default=0)
        # Older letters may be left where its unit was moved back, and opened it as well.
        late = [it for it in letters[key.id] if it >= last]
        # A letter is written before the store is told: of a worker that was cut off in between another copy knows
        # nothing, and may be told. A person finds the letter, and moved back it is suppressed.
        cut_off = sum(bool(it.why) for it in world.observer.burials[key.id])
        if state == "delivered" and len(late) > cut_off and not any(it.why for it in sendings):
            yield key.id, "delivered, and a dead letter"


def _unexplained(world: World) -> Iterator[Fault]:
    """Accepted twice is what was promised in three cases only."""
    for name, sendings in world.observer.sendings.items():
        accepted = [it for it in sendings if it.accepted is not None]
        for before, again in pairwise(accepted):
            if not before.excuses(again) and before.life == again.life:
                yield name, f"accepted again after {_told(before)}"


def _told(sending: Sending) -> str:
    return f"{sending.pod.name} had it accepted at {sending.accepted:.3f}, recorded {sending.settled}"


def _overrun(world: World) -> Iterator[Fault]:
    for (organization, limit), moments in world.observer.admitted.items():
        if most := _most_above(limit, moments):
            yield "", f"{organization}, {limit.name}: {most:.2f} more than burst and rate"


def _most_above(limit: Limit, moments: list[float]) -> float:
    """By how many admissions at most some window has more than it may, 0 for none."""
    least, most = float("inf"), 0.0
    for number, moment in enumerate(moments):
        due = moment * SECOND / limit.interval
        least = min(least, number - due)
        most = max(most, number + 1 - due - least - limit.burst - BORNE / limit.interval)
    return most if most > 1e-6 else 0.0
