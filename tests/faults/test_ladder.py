"""A queue that is gone when its messages are due is the trouble of these messages, and of no other delay."""

import asyncio
from datetime import UTC, datetime, timedelta

import aio_pika

from tests.faults.rig import Rig
from tests.faults.rows import record, row
from tests.patience import patience

DELAY = 6.0
"""Seconds that everything is parked for, the ten per cent of jitter aside."""

MANY = 40


async def waits(rig: Rig, name: str, count: int, within: float = 30.0) -> None:
    async with patience(within):
        while await rig.broker.depth(name) < count:  # noqa: ASYNC110 - it cannot be awaited, only asked
            await asyncio.sleep(0.1)


async def delete(rig: Rig, name: str) -> None:
    async with await aio_pika.connect(rig.rabbitmq.url) as connection, connection.channel() as channel:
        await (await channel.get_underlay_channel()).queue_delete(f"{rig.prefix}.{name}")


@row(108, "the units queue is deleted by hand while units are parked for it and workers are down", quick=False)
async def test_what_was_parked_for_it_is_dead_and_can_be_replayed_and_the_others_are_in_time(rig: Rig) -> None:
    late = {"NS_RETRY_SCHEDULE": f"{DELAY:.0f}s", "NS_ENVIRONMENT": "development"}
    others = rig.units(10, script=[500])
    async with rig.workers(2, **late) as workers:
        await rig.publish(others)
        await rig.inbox.receives(len(others))
        due = (datetime.now(UTC) + timedelta(seconds=DELAY)).isoformat()
        units = [unit | {"not_before": due} for unit in rig.units(MANY)]
        await rig.publish(units)
        for worker in workers:
            await worker.says("worker.ready")
        await asyncio.gather(*(rig.broker.drained(lane) for lane in ("units", "notifications")))
        assert [await worker.stop() for worker in workers] == [0, 0]
    await delete(rig, "units")
    await waits(rig, "delay.unroutable", MANY)
    await waits(rig, "notifications", len(others), within=DELAY + 5)
    async with rig.workers(2, **late):
        letters = await rig.broker.dead(MANY)
        assert {letter.headers["x-reason"] for letter in letters} == {"unroutable"}
        await rig.inbox.accepts(len(others))
        for letter in letters:
            await rig.broker.publish([letter.body], headers=letter.headers)
        await rig.inbox.accepts(len(others) + MANY)
        await rig.account(sends=2)
    record(figure=f"{MANY} dead and replayed, {len(others)} in time")
