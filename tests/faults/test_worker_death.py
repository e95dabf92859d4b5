"""A worker is killed at each step of its work: others take over, and each notification is accepted once.

It is accepted twice only where the worker died between the acceptance and its record: the promise says so.
"""

import pytest

from notification_sender.worker.waiting import CAPACITY, OF_THE_REST
from tests.e2e.holding import hold
from tests.faults.proxy import Proxy, Sight, asked, kill, replied
from tests.faults.rig import Rig
from tests.faults.rows import row
from tests.patience import patience

NOTIFICATION = ":notification:"

CLAIMED = row(31, "SIGKILL after the claim, before the send")
RECORDED = row(34, "SIGKILL after the record, before the ack")
STEPS = [
    ("before the claim of the unit", asked("claim", ":unit:", nth=3), row(30, "SIGKILL before the claim")),
    ("after the claim of the unit", replied("claim", ":unit:", nth=3), CLAIMED),
    ("after the claim of the notification", replied("admit", nth=3), CLAIMED),
    # Of the first send alone: it dials. The others follow on its connection, and their claim begins them.
    ("right before the first byte", replied("begin"), CLAIMED),
    ("after the record", replied("settle", NOTIFICATION, "delivered", nth=3), RECORDED),
]


@pytest.mark.parametrize("step", [pytest.param(step, id=name, marks=mark) for name, step, mark in STEPS])
async def test_killed_with_nothing_unrecorded_under_way_each_is_accepted_once(rig: Rig, step: Sight) -> None:
    # One at a time: what else it had under way would be between its acceptance and its record.
    async with rig.victim(NS_CONCURRENCY="1") as victim:
        fault = victim.store.when(step, kill(victim.worker))
        await rig.publish(rig.units(20))
        async with patience(20):
            await fault.happened.wait()
        async with rig.workers(2):
            await rig.account(since=fault.at)


@row(34, "SIGKILL after the record, before the ack")
async def test_killed_after_the_record_of_a_unit_with_two_destinations_each_is_accepted_once(rig: Rig) -> None:
    async with rig.victim(NS_CONCURRENCY="1") as victim:
        # With one destination the record of the unit is a part of that of its notification.
        fault = victim.store.when(replied("settle", ":unit:", "done", nth=3), kill(victim.worker))
        await rig.publish(rig.units(10, destinations=2))
        async with patience(20):
            await fault.happened.wait()
        async with rig.workers(2):
            await rig.account(since=fault.at)


@row(33, "SIGKILL after the answer, before the record")
async def test_killed_after_the_acceptance_and_before_its_record_only_what_was_under_way_is_sent_again(
    rig: Rig,
) -> None:
    async with rig.victim(NS_CONCURRENCY="4") as victim:
        fault = victim.store.when(asked("settle", NOTIFICATION, "delivered", nth=3), kill(victim.worker))
        await rig.publish(rig.units(20, latency=0.05))
        async with patience(20):
            await fault.happened.wait()
        async with rig.workers(2):
            await rig.account(since=fault.at, duplicates=4, copies=2, sends=2)
    assert rig.inbox.duplicates


@row(32, "SIGKILL after the send, before the answer")
async def test_killed_before_it_has_the_answers_only_what_was_under_way_is_sent_again(rig: Rig) -> None:
    async with Proxy(rig.inbox_port) as receiver, rig.victim(NS_CONCURRENCY="4") as victim:
        fault = receiver.when(replied("bytes", nth=3), kill(victim.worker))
        await rig.publish(rig.units(20, port=receiver.port))
        async with patience(20):
            await fault.happened.wait()
        async with rig.workers(2):
            await rig.account(since=fault.at, duplicates=4, copies=2, sends=2)
    assert rig.inbox.duplicates


PARKING = {
    "its copy is confirmed": ("broker", replied("confirm", ".delay.", nth=3)),
    "the ledger has moved on": ("store", replied("settle", NOTIFICATION, "waiting", nth=3)),
    "the ack is on its way": ("broker", asked("basic.ack", nth=3)),
}


@row(35, "SIGKILL between the parked copy's confirm and the ack")
@pytest.mark.parametrize(("proxy", "step"), PARKING.values(), ids=PARKING)
async def test_killed_between_parking_and_the_ack_there_is_one_chain_of_attempts(
    rig: Rig, proxy: str, step: Sight
) -> None:
    async with rig.victim(NS_CONCURRENCY="1") as victim:
        fault = getattr(victim, proxy).when(step, kill(victim.worker))
        # Answers that speak of the one message: a host that is unwell would be left alone for a while.
        await rig.publish(rig.units(20, script=[425, 408]))
        async with patience(20):
            await fault.happened.wait()
        async with rig.workers(1):
            figures = await rig.account(since=fault.at, sends=3)
    assert figures.amplification == 3


LARGE, SLOTS = 128 * 1024, 8
"""Bytes of a unit that is large: a few dozen fill the waiting room of a worker, which has so many slots."""

FULL = OF_THE_REST * CAPACITY // ((OF_THE_REST + 1) * (LARGE + 1024))
"""As many of one organization have a place there."""


@row(134, "SIGKILL while the waiting room is full")
async def test_killed_with_a_full_waiting_room_what_waited_is_sent_once_by_others(rig: Rig) -> None:
    one = rig.unit(fingerprint=None, note="x" * LARGE)
    release = hold(rig.inbox)
    ids = [f"{one['work_unit_id']}-{number}" for number in range(FULL + 20)]
    units = [one | {"work_unit_id": id_, "destinations": [rig.hook()]} for id_ in ids]
    async with rig.workers(1, NS_CONCURRENCY=str(SLOTS)) as (worker,):
        await rig.publish(units)
        # Nobody knows yet how long slots are held: only a room that is full refuses one.
        await worker.says("unit.deferred", reason="organization_full")
        assert (await worker.get("/status")).json()["unsettled"] >= FULL
        worker.kill()
        await worker.ended()
    release.set()
    async with rig.workers(2):
        await rig.account(duplicates=SLOTS, copies=2, sends=2)
