"""Faults of the internal APIs."""

from collections.abc import AsyncIterator
from typing import Any

from bench.diagnose.faults.fault import Cause, Fault, caused
from bench.diagnose.judge import Expected
from bench.diagnose.scene import Scene, healthy
from notification_sender.sandbox.platform.endpoints import Endpoint

POOL_BEFORE, POOL_AFTER = 2, 14
"""As in ``bench.incident``: what the users' traffic leaves of 8 replicas of the AAA API, and of 20."""

BUSY = 3.0
"""Times the steady load: there must be some calls of which one is slow."""

POOLED = 0.6
"""Seconds of a call while the pool is full of others' calls."""


def turned(*endpoints: Endpoint, **knobs: Any) -> Cause:
    @caused
    async def cause(scene: Scene) -> AsyncIterator[None]:
        for endpoint in endpoints:
            scene.platform.behaviours[endpoint].configure(**knobs)
        yield
        healthy(scene.platform)

    return cause


@caused
async def seeds_day(scene: Scene) -> AsyncIterator[None]:
    """It ends as that day did: by more replicas."""
    organization = scene.platform.behaviours[Endpoint.ORGANIZATION]
    organization.configure(capacity=POOL_BEFORE, latency=POOLED)
    yield
    organization.configure(capacity=POOL_AFTER)


@caused
async def one_percent(scene: Scene) -> AsyncIterator[None]:
    scene.platform.behaviours[Endpoint.ASSETS].configure(latency=5.0, every=100)
    with scene.load.times(BUSY):
        yield
    healthy(scene.platform)


SLOW = Fault(
    "slow API on all calls",
    "each call of the incidents API takes 6 s",
    Expected("api", ("incidents",)),
    turned(Endpoint.INCIDENT, latency=6.0),
)
ONE_PERCENT = Fault(
    "slow API on 1 % of calls",
    "one call in a hundred of the assets API takes 5 s, at three times the steady load. Nothing waits for long, so "
    "`idle` is not wrong",
    Expected("api", ("assets",), or_watched=True),
    one_percent,
)
POOL = Fault(
    "AAA pool of one",
    "the AAA API works on one call for an organization at a time, for 0.6 s",
    Expected("api", ("aaa",), more_pods=False),
    turned(Endpoint.ORGANIZATION, capacity=1, latency=POOLED),
)
ANSWERS_503 = Fault(
    "API 503",
    "each bulk call of the intel requests API is answered 503",
    Expected("api", ("intel_requests",)),
    turned(Endpoint.INTEL_REQUESTS, answer=503),
)
HANGS = Fault(
    "API that hangs",
    "no call of the assets API is answered",
    Expected("api", ("assets",)),
    turned(Endpoint.ASSETS, answer="hang"),
)
SEEDS_DAY = Fault(
    "the seeds' day",
    "the AAA API has 8 replicas, whose pool is full of users' calls; then 20",
    Expected("api", ("aaa",), more_pods=False),
    seeds_day,
)
