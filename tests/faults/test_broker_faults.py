"""RabbitMQ goes away, drops us, forgets us, takes nothing more: nothing is lost, and nothing is sent twice."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime

import aio_pika
import pytest

from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.ports.broker import Lane
from tests.e2e.holding import hold
from tests.faults.rig import Rig
from tests.faults.rows import at_night, record, row
from tests.patience import option, patience, patient
from tests.services.rabbitmq import RabbitMQ

ELSEWHERE = [425]
"""An answer that speaks of the one message alone: it comes back through the delay ladder."""


def patient_ones() -> dict[str, str]:
    """Workers of which a send may take as long as it takes to do something to the broker."""
    return {"NS_SEND_TIMEOUT": option(12), "NS_LEASE": option(13), "NS_GRACE": option(25)}


def stop_and_start_the_application(node: RabbitMQ) -> None:
    node.ctl("stop_app")
    node.ctl("start_app")


def stop_and_start(node: RabbitMQ) -> None:
    node.stop()
    node.start()


def kill_and_start(node: RabbitMQ) -> None:
    node.remember()
    node.kill()
    node.start()


@pytest.mark.parametrize(
    "restart",
    [
        pytest.param(stop_and_start_the_application, id="stop_app", marks=row(1, "graceful restart", quick=False)),
        pytest.param(stop_and_start, id="stop", marks=row(1, "graceful restart", quick=False)),
        pytest.param(kill_and_start, id="kill", marks=row(2, "kill -9", quick=False)),
    ],
)
async def test_restarted_under_load_each_is_accepted_once_within_ten_seconds(
    rig: Rig, restart: Callable[[RabbitMQ], None]
) -> None:
    figures = await rig.under_load(lambda: asyncio.to_thread(restart, rig.rabbitmq))
    assert 0 < figures.recovery <= patient(10)


@row(2, "kill -9, five times", quick=False)
async def test_killed_time_and_again_each_is_accepted_once(rig: Rig) -> None:
    async with rig.workers(2, NS_CONCURRENCY="8"):
        for _ in range(5):
            release = hold(rig.inbox)
            units = rig.units(100, latency=0.1)
            asked = [rig.inbox.behaviours[it["destinations"][0]["destination_id"]] for it in units]
            await rig.publish(units)
            async with patience(60):
                while not any(it.in_flight for it in asked):
                    await rig.inbox.receives(len(rig.inbox.webhooks) + 1)
            release.set()
            await asyncio.to_thread(kill_and_start, rig.rabbitmq)
            since = time.time()
        await rig.account(since=since)


@row(5, "connections cut in mid-send, one time after the other", quick=False)
async def test_whose_connection_is_cut_finishes_its_sends_and_makes_none_twice(rig: Rig) -> None:
    async with rig.victim(**patient_ones()) as victim:
        for times in range(1, 61 if at_night() else 11):
            await rig.publish(rig.units(20, latency=1.0))
            async with patience(60):
                await rig.inbox.receives(20 * times)
            victim.broker.reset()
        await rig.account(since=time.time())


@row(6, "half-open: nothing passes, nothing ends", quick=False)
async def test_a_connection_on_which_nothing_passes_is_noticed_and_others_take_over(rig: Rig) -> None:
    async with rig.victim(NS_CONCURRENCY="8") as victim:
        publishing = asyncio.create_task(rig.publish(rig.units(100, latency=0.1)))
        async with patience(30):
            await rig.inbox.accepts(20)
        victim.broker.hang()
        since = time.time()
        await publishing
        async with rig.workers(1):
            await victim.worker.becomes(503, within=40)
            record(figure=f"noticed after {time.time() - since:.0f} s")
            await rig.account(since=since)
        victim.broker.resume()
        await victim.worker.becomes(200)


@pytest.mark.parametrize(
    "gap",
    [
        pytest.param(0.0, marks=row(7, "queue deleted and made anew within milliseconds", quick=False)),
        pytest.param(0.2, marks=row(7, "queue deleted and made anew after 0.2 s", quick=False)),
        pytest.param(3.0, marks=row(7, "queue deleted and made anew after 3 s", quick=False)),
    ],
)
async def test_a_consumer_that_was_forgotten_is_back_by_itself(rig: Rig, gap: float) -> None:
    async with rig.workers():
        await rig.publish(rig.units(10))
        await rig.account()
        async with await aio_pika.connect(rig.rabbitmq.url) as connection, connection.channel() as channel:
            underlay, topology = await channel.get_underlay_channel(), Topology(rig.prefix)
            await underlay.queue_delete(topology.queue(Lane.UNITS))
            await asyncio.sleep(gap)
            await underlay.queue_declare(topology.queue(Lane.UNITS), durable=True, arguments=topology.lane_arguments())
        since = time.time()
        await rig.publish(rig.units(10))
        figures = await rig.account(since=since, within=90)
    assert figures.recovery <= patient(75)


@row(8, "consumer_timeout in mid-send", quick=False)
async def test_what_takes_longer_than_the_broker_waits_is_sent_once(rig: Rig) -> None:
    async with waiting_no_longer_than(rig.rabbitmq, 3), rig.workers(1, **patient_ones()) as (worker,):
        await rig.publish(rig.units(10, latency=8.0))
        await rig.account()
        assert [it for it in worker.raw if "PRECONDITION" in it or "lane" in it]


@asynccontextmanager
async def waiting_no_longer_than(node: RabbitMQ, seconds: int) -> AsyncIterator[None]:
    """For an ack; looked at each second instead of each minute."""

    async def be(patience: int, tick: int) -> None:
        times = {"consumer_timeout": patience, "channel_tick_interval": tick}
        said = ",".join(f"application:set_env(rabbit,{name},{1000 * value})" for name, value in times.items())
        await asyncio.to_thread(node.ctl, "eval", f"{said}.")

    await be(seconds, 1)
    try:
        yield
    finally:
        await be(1800, 60)


ALARMS = {
    "memory": ("set_vm_memory_high_watermark absolute 1", "set_vm_memory_high_watermark absolute 2GB"),
    "disk": ("set_disk_free_limit 999GB", "set_disk_free_limit 1MB"),
}


@pytest.mark.parametrize(
    "alarm",
    [
        pytest.param("memory", marks=row(9, "memory alarm", quick=False)),
        pytest.param("disk", marks=row(10, "disk alarm", quick=False)),
    ],
)
async def test_in_an_alarm_what_is_accepted_is_acked_and_what_is_to_be_parked_waits(rig: Rig, alarm: str) -> None:
    begin, end = ALARMS[alarm]
    release = hold(rig.inbox)
    well, unwell = rig.units(50), rig.units(10, script=ELSEWHERE)
    async with rig.workers(1, **patient_ones()) as (worker,):
        await rig.publish(well + unwell)
        async with patience(30):
            await rig.inbox.receives(60)
        await asyncio.to_thread(rig.rabbitmq.ctl, *begin.split())
        release.set()
        try:
            await worker.says("unit.done", times=50)
            await worker.says("backend.retrying")
            assert len(rig.inbox.webhooks) == 60
            record(figure="50 done in the alarm, 10 kept until after it")
        finally:
            await asyncio.to_thread(rig.rabbitmq.ctl, *end.split())
        await rig.account(since=time.time(), sends=2)


@row(11, "delay queue deleted", quick=False)
async def test_a_rung_that_somebody_deleted_is_made_anew_and_nothing_is_lost(rig: Rig) -> None:
    async with rig.workers():
        async with await aio_pika.connect(rig.rabbitmq.url) as connection, connection.channel() as channel:
            await (await channel.get_underlay_channel()).queue_delete(Topology(rig.prefix).rung(0))
        since = time.time()
        await rig.publish(rig.units(50, script=ELSEWHERE))
        await rig.account(since=since, sends=2)


@asynccontextmanager
async def full(rig: Rig) -> AsyncIterator[None]:
    """The lowest rung takes three messages at a time."""
    policy = (f"^{Topology(rig.prefix).rung(0)}$", '{"max-length":3}', "--apply-to", "queues")
    await asyncio.to_thread(rig.rabbitmq.ctl, "set_policy", "full", *policy)
    try:
        yield
    finally:
        await asyncio.to_thread(rig.rabbitmq.ctl, "clear_policy", "full")


@row(12, "delay queue full", quick=False)
async def test_what_a_full_rung_refuses_is_not_acked_and_parked_later(rig: Rig) -> None:
    async with rig.workers() as (worker,), full(rig):
        await rig.publish(rig.units(200, script=ELSEWHERE))
        await worker.says("backend.retrying")
        await rig.account(since=time.time(), sends=2)


@row(12, "delay queue full, and its limit is lifted", quick=False)
async def test_what_was_refused_is_parked_when_the_limit_is_gone(rig: Rig) -> None:
    # A queue takes what is on its way when it becomes full: eight at a time, and it refuses.
    async with rig.workers(1, NS_CONCURRENCY="8") as (worker,):
        async with full(rig):
            await rig.publish(rig.units(200, script=ELSEWHERE))
            await worker.says("backend.retrying", times=20)
        figures = await rig.account(since=time.time(), sends=2)
    assert figures.recovery <= patient(10)


@row(14, "kill -9 with much parked", quick=False)
async def test_what_is_parked_while_the_broker_restarts_comes_due_on_time(rig: Rig) -> None:
    count = 20_000 if at_night() else 1000
    units = rig.units(count)
    first = time.time() + 15 + count / 200
    due = {}
    for number, unit in enumerate(units):
        at = first + number / 100
        unit["not_before"] = datetime.fromtimestamp(at, UTC).isoformat()
        due[unit["destinations"][0]["destination_id"]] = at
    async with rig.workers(2):
        await rig.publish(units)
        await rig.broker.drained("units")
        await asyncio.to_thread(kill_and_start, rig.rabbitmq)
        assert time.time() < first, "it was not back before the first was due"
        await rig.account(since=time.time(), within=60 + count / 50)
    late = sorted(post.arrived - due[post.destination_id] for post in rig.inbox.webhooks)
    record(figure=f"late by {late[int(0.99 * count)]:.2f} s (p99 of {count})")
    assert late[0] >= 0
    assert late[int(0.99 * count)] <= patient(3)
