"""Faults that are limits of our own: throttles, slots, a pause."""

from collections.abc import AsyncIterator
from itertools import cycle

from bench.diagnose.faults.fault import Fault, caused
from bench.diagnose.judge import Expected
from bench.diagnose.scene import LATENCIES, Scene, healthy
from bench.diagnose.units import REGULAR

THROTTLED, PAUSED = 1, 4
"""Numbers of regular organizations."""

LITTLE = {"NS_THROTTLE_WEBHOOK": "20/minute burst 2", "NS_THROTTLE_EMAIL": "20/minute burst 2"}
FEW_SLOTS = {"NS_CONCURRENCY": "2"}
SLOWER = 2.0
RECEIVERS = 0.5
"""Seconds: with the APIs at ``SLOWER`` times their latency a unit takes 1 s, and none of them answers late."""


@caused
async def one_organization(scene: Scene) -> AsyncIterator[None]:
    with scene.load.beside(10.0, lambda: scene.units.hook_of(THROTTLED)):
        yield


@caused
async def all_organizations(scene: Scene) -> AsyncIterator[None]:
    organizations = cycle(range(REGULAR))
    async with scene.restarted(*scene.members, **LITTLE):
        with scene.load.beside(6.0, lambda: scene.units.hook_of(next(organizations))):
            yield


@caused
async def few_slots(scene: Scene) -> AsyncIterator[None]:
    async with scene.restarted(*scene.members, **FEW_SLOTS):
        for endpoint, seconds in LATENCIES.items():
            scene.platform.behaviours[endpoint].configure(latency=SLOWER * seconds)
        with scene.receivers_take(RECEIVERS):
            yield
        healthy(scene.platform)


@caused
async def paused(scene: Scene) -> AsyncIterator[None]:
    organization = scene.units.organizations[PAUSED]
    with scene.load.beside(2.0, lambda: scene.units.hook_of(PAUSED)):
        await scene.operate("pause", "--organization", organization, "--for", "10m", "--yes")
        yield
        await scene.operate("resume", "--organization", organization, "--yes")


ONE = Fault(
    "rate limit of one organization",
    "one organization has 10 units a second, twice its limit",
    Expected("throttle", ("ejemplo-senal",), more_pods=False),
    one_organization,
)
ALL = Fault(
    "rate limit of all",
    "all workers have a limit of 20 a minute, and six organizations have a unit a second each",
    Expected("throttle", more_pods=False),
    all_organizations,
)
SLOTS = Fault(
    "slots too few for the latency",
    "two slots a process, while a unit takes a second in all and nothing that it waits for takes more than half",
    Expected("slots", more_pods=True),
    few_slots,
)
PAUSE = Fault(
    "a paused organization",
    "`pause` of an organization that has two units a second",
    Expected("paused", ("daemi-fjarskipti",)),
    paused,
)
