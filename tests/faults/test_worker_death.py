"""A worker is killed at each step of its work: another one takes over, and each notification is accepted once.

It is accepted twice only where the worker died between the acceptance and its record: the promise says so.
"""

import asyncio

import pytest
from faults.proxy import Sight, asked, kill, told
from faults.rig import Rig

NOTIFICATION = ":notification:"

STEPS = {
    "before the claim of the unit": asked("claim", ":unit:", nth=3),
    "after the claim of the unit": told("claim", ":unit:", nth=3),
    "after the claim of the notification": told("admit", nth=3),
    "after the record, before the ack": told("settle", NOTIFICATION, "delivered", nth=3),
    "after the record of the unit, before the ack": told("settle", ":unit:", "done", nth=3),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
async def test_killed_with_nothing_unrecorded_under_way_each_is_accepted_once(rig: Rig, step: Sight) -> None:
    # One at a time: what else it had under way would be between its acceptance and its record.
    async with rig.workers(1, NS_CONCURRENCY="1"), rig.victim(NS_CONCURRENCY="1") as victim:
        fault = victim.store.when(step, kill(victim.worker))
        await rig.publish(rig.units(20))
        async with asyncio.timeout(20):
            await fault.happened.wait()
        async with rig.workers(1):
            await rig.account(since=fault.at)


async def test_killed_after_the_acceptance_and_before_its_record_only_what_was_under_way_is_sent_again(
    rig: Rig,
) -> None:
    async with rig.workers(1, NS_CONCURRENCY="4"), rig.victim(NS_CONCURRENCY="4") as victim:
        fault = victim.store.when(asked("settle", NOTIFICATION, "delivered", nth=3), kill(victim.worker))
        await rig.publish(rig.units(20, latency=0.05))
        async with asyncio.timeout(20):
            await fault.happened.wait()
        async with rig.workers(1):
            await rig.account(since=fault.at, duplicates=4, copies=2, sends=2)
    assert rig.inbox.duplicates
