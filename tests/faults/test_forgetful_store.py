"""Redis loses what it holds, under load: nothing is lost, and nobody has to do anything."""

import asyncio
import time
from collections.abc import Callable

import pytest

from tests.faults.rig import Rig
from tests.faults.rows import row
from tests.patience import patience, patient
from tests.services.redis import Redis

RATE, BURST = 100, 20

SLOTS = 8
"""Sends that a worker has under way at most."""


def restart(redis: Redis) -> None:
    redis.kill()
    redis.start()


@pytest.mark.parametrize(
    "forget",
    [
        pytest.param(restart, id="restart", marks=row(18, "restart without its data")),
        pytest.param(Redis.flush, id="flush", marks=row(19, "FLUSHALL")),
    ],
)
async def test_it_costs_the_sends_under_way_and_one_burst_at_most(rig: Rig, forget: Callable[[Redis], None]) -> None:
    limit = f"{60 * RATE}/minute burst {BURST}"
    async with rig.workers(2, NS_CONCURRENCY=str(SLOTS), NS_THROTTLE_WEBHOOK=limit):
        publishing = asyncio.create_task(rig.publish(rig.units(400, latency=0.05)))
        async with patience(20):
            await rig.inbox.accepts(100)
        await asyncio.to_thread(forget, rig.redis)
        since = time.time()
        await publishing
        await rig.account(since=since, duplicates=2 * SLOTS, copies=2, sends=2, remembered=False)
    for window in (1.0, 2.0):
        assert rig.most_within(window) <= 2 * BURST + RATE * (window + patient(0.25))
