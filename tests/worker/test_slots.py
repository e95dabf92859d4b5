"""Slots are shared by need, and none is ever lost."""

import asyncio

from notification_sender.ports import Lane
from notification_sender.worker.slots import Slots


async def holding(slots: Slots, lane: Lane, entered: list[Lane], leave: asyncio.Event) -> None:
    await slots.take(lane)
    entered.append(lane)
    await leave.wait()
    slots.give(lane)


async def test_one_lane_alone_may_use_every_slot() -> None:
    slots = Slots(3)
    for _ in range(3):
        await slots.take(Lane.UNITS)
    assert slots.held[Lane.UNITS] == 3
    for _ in range(3):
        slots.give(Lane.UNITS)
    assert sum(slots.held.values()) == 0


async def test_a_freed_slot_goes_to_the_lane_that_holds_fewest() -> None:
    slots, entered, leave, first = Slots(1), [], asyncio.Event(), asyncio.Event()
    async with asyncio.TaskGroup() as group:
        group.create_task(holding(slots, Lane.UNITS, entered, first))
        await asyncio.sleep(0)
        for lane in (Lane.UNITS, Lane.UNITS, Lane.NOTIFICATIONS):
            group.create_task(holding(slots, lane, entered, leave))
        await asyncio.sleep(0)
        first.set()
        leave.set()
    assert entered[0] == Lane.UNITS
    assert Lane.NOTIFICATIONS in entered[1:3]


async def test_a_cancelled_waiter_leaves_no_residue() -> None:
    slots, entered, leave = Slots(1), [], asyncio.Event()
    holder = asyncio.create_task(holding(slots, Lane.UNITS, entered, leave))
    await asyncio.sleep(0)
    waiters = [asyncio.create_task(holding(slots, Lane.UNITS, entered, leave)) for _ in range(3)]
    await asyncio.sleep(0)
    leave.set()
    await holder
    waiters[0].cancel()  # the slot has just been handed to it
    await asyncio.gather(*waiters, return_exceptions=True)
    assert sum(slots.held.values()) == 0
    await slots.take(Lane.UNITS)
    assert slots.held[Lane.UNITS] == 1
