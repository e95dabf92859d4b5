"""What only RabbitMQ can do to us: go away, forget us, refuse us, block us."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol, cast

import aio_pika
import pytest
from aiormq.abc import DeliveredMessage
from faults.rows import row
from services.program import free_port
from services.rabbitmq import RabbitMQ as Node
from structlog.testing import capture_logs

from notification_sender.adapters.amqp import within
from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq import RabbitMQ
from notification_sender.adapters.topology import Topology
from notification_sender.model.errors import ConfigurationFault, Unready
from notification_sender.ports import DeadLetter, Envelope, Lane, Parked

NOW = 1_772_785_560.0
Taken = asyncio.Queue[Envelope]


class CountingClock(SystemClock):
    """``slept`` is set at every sleep that ends."""

    def __init__(self, wanted: int) -> None:
        self.enough = asyncio.Event()
        self._wanted = wanted

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 20)
        self._wanted -= 1
        if self._wanted <= 0:
            self.enough.set()


class Make(Protocol):
    def __call__(self, url: str | None = None, **options: Any) -> RabbitMQ: ...


@pytest.fixture
async def make(amqp_url: str, topology_prefix: str) -> AsyncIterator[Make]:
    """Brokers that are not connected yet; they are closed at the end."""
    made: list[RabbitMQ] = []

    def make(url: str | None = None, **options: Any) -> RabbitMQ:
        made.append(
            RabbitMQ(
                **{"url": url or amqp_url, "topology": Topology(topology_prefix), "clock": SystemClock()} | options
            )
        )
        return made[-1]

    yield make
    for broker in made:
        await broker.close()


@pytest.fixture
async def broker(make: Make) -> RabbitMQ:
    broker = make()
    await broker.connect()
    return broker


async def taking(broker: RabbitMQ, lane: Lane = Lane.UNITS) -> Taken:
    taken: Taken = asyncio.Queue()
    await broker.consume(lane, 10, taken.put_nowait)
    return taken


async def next_of(taken: Taken) -> Envelope:
    async with asyncio.timeout(30):
        return await taken.get()


async def until_ready(broker: RabbitMQ) -> None:
    async with asyncio.timeout(30):
        await broker.wait_ready()


async def insist(step: Callable[[], Awaitable[None]]) -> None:
    """As the heart does: again after ``Unready``."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await step()
            except Unready:
                await SystemClock().sleep(0.05)


async def delete_queue(url: str, name: str, *, then: Topology | None = None, gap: float = 0.0) -> None:
    """``then``: declared again ``gap`` seconds later."""
    connection = await aio_pika.connect(url)
    async with connection, connection.channel() as channel:
        underlay = await channel.get_underlay_channel()
        await underlay.queue_delete(name)
        if then is not None:
            await SystemClock().sleep(gap)
            await underlay.queue_declare(name, durable=True, arguments=then.lane_arguments())


async def test_dropped_connections_come_back_and_a_stale_ack_is_no_error(broker: RabbitMQ, rabbitmq: Node) -> None:
    taken = await taking(broker)
    await broker.publish(b"1")
    stale = await next_of(taken)
    await asyncio.to_thread(rabbitmq.drop_connections)
    await broker.ack(stale)
    again = await next_of(taken)
    assert (again.body, again.token != stale.token) == (b"1", True)
    await broker.ack(again)
    await until_ready(broker)
    await broker.publish(b"2")
    assert (await next_of(taken)).body == b"2"


async def test_a_broker_killed_and_started_keeps_what_it_confirmed(broker: RabbitMQ, rabbitmq: Node) -> None:
    taken = await taking(broker)
    await broker.park(Parked(Lane.UNITS, b"parked", 1, first_seen=NOW))
    await asyncio.to_thread(rabbitmq.kill)
    try:
        with pytest.raises(Unready):
            await broker.publish(b"nobody there")
        assert not broker.ready
    finally:
        await asyncio.to_thread(rabbitmq.start)
    assert (await next_of(taken)).body == b"parked"
    await until_ready(broker)


async def test_a_broker_that_is_not_there_yet_is_waited_for_and_said_once(make: Make) -> None:
    clock = CountingClock(wanted=5)
    url = f"amqp://guest:guest@127.0.0.1:{free_port()}/"
    broker = make(url, clock=clock)
    with capture_logs() as logs:
        connecting = asyncio.create_task(broker.connect())
        await clock.enough.wait()
        connecting.cancel()
    assert [entry["event"] for entry in logs] == ["broker.unreachable"]
    assert not broker.ready


@row(15, "wrong credentials")
@pytest.mark.parametrize("wrong", ["guest:wrong@", "nobody:guest@"], ids=["password", "user"])
async def test_credentials_that_are_refused_are_a_fault(make: Make, amqp_url: str, wrong: str) -> None:
    broker = make(amqp_url.replace("guest:guest@", wrong))
    with pytest.raises(ConfigurationFault, match="user and password"):
        await broker.connect()


@row(15, "no such virtual host")
async def test_a_virtual_host_that_is_not_there_is_a_fault(make: Make, amqp_url: str) -> None:
    broker = make(amqp_url + "nowhere")
    with pytest.raises(ConfigurationFault, match=r"virtual host.*nowhere"):
        await broker.connect()


@row(15, "wrong arguments")
async def test_a_queue_that_differs_is_a_fault_that_says_how(make: Make, amqp_url: str, topology_prefix: str) -> None:
    topology = Topology(topology_prefix)
    name = topology.queue(Lane.NOTIFICATIONS)
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        await channel.declare_queue(name, durable=True, arguments=topology.lane_arguments() | {"x-delivery-limit": 7})
    with pytest.raises(ConfigurationFault, match=rf"'{name}'.*x-delivery-limit.*'7'.*delete_queue"):
        await make().connect()


async def test_the_topology_can_be_declared_again_and_units_may_have_another_name(
    make: Make, amqp_url: str, topology_prefix: str
) -> None:
    topology = Topology(topology_prefix, units_queue=f"{topology_prefix}-orders")
    for _ in range(2):
        broker = make(topology=topology)
        await broker.connect()
        await broker.park(Parked(Lane.UNITS, b"1", 1, first_seen=NOW))
        assert (await next_of(await taking(broker))).body == b"1"
        await broker.close()
        await delete_queue(amqp_url, f"{topology_prefix}-orders")


async def test_what_the_broker_gives_up_on_is_a_dead_letter(
    broker: RabbitMQ, amqp_url: str, topology_prefix: str
) -> None:
    taken = await taking(broker)
    await broker.publish(b"hopeless")
    message = cast("DeliveredMessage", (await next_of(taken)).tag)
    await message.channel.basic_reject(message.delivery_tag or 0, requeue=False)
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        dead = await channel.declare_queue(Topology(topology_prefix).dead, passive=True)
        letters: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
        await dead.consume(letters.put, no_ack=True)
        async with asyncio.timeout(10):
            assert (await letters.get()).body == b"hopeless"


async def test_a_queue_that_is_missing_loses_nothing_and_is_made_again(
    broker: RabbitMQ, amqp_url: str, topology_prefix: str
) -> None:
    letter = DeadLetter(b"1", "schema", "", "unit", NOW)
    await delete_queue(amqp_url, Topology(topology_prefix).dead)
    with pytest.raises(Unready, match="no queue"):
        await broker.bury(letter)
    await insist(lambda: broker.bury(letter))
    assert await broker.dead_depth() == 1


@row(11, "delay queue deleted")
async def test_a_rung_that_is_missing_loses_nothing_and_is_made_again(
    broker: RabbitMQ, amqp_url: str, topology_prefix: str
) -> None:
    taken = await taking(broker)
    await delete_queue(amqp_url, Topology(topology_prefix).rung(0))
    parked = Parked(Lane.UNITS, b"1", 1, first_seen=NOW)
    with pytest.raises(Unready, match="no queue"):
        await broker.park(parked)
    await insist(lambda: broker.park(parked))
    assert (await next_of(taken)).body == b"1"


@row(7, "queue deleted")
async def test_a_lane_whose_queue_was_deleted_consumes_again(
    broker: RabbitMQ, amqp_url: str, topology_prefix: str
) -> None:
    taken = await taking(broker)
    await delete_queue(amqp_url, Topology(topology_prefix).queue(Lane.UNITS))
    await insist(lambda: broker.park(Parked(Lane.UNITS, b"1", 1, first_seen=NOW)))
    assert (await next_of(taken)).body == b"1"


@row(7, "the broker forgets a consumer")
@pytest.mark.parametrize("gap", [0.0, 0.2, 3.0])
async def test_a_consumer_that_the_broker_forgot_is_renewed(
    make: Make, amqp_url: str, topology_prefix: str, gap: float
) -> None:
    broker = make(quiet=1.0)
    await broker.connect()
    taken = await taking(broker)
    topology = Topology(topology_prefix)
    await delete_queue(amqp_url, topology.queue(Lane.UNITS), then=topology, gap=gap)
    await insist(lambda: broker.publish(b"1"))
    assert (await next_of(taken)).body == b"1"


async def test_a_channel_that_the_broker_closed_consumes_again_with_the_same_prefetch(broker: RabbitMQ) -> None:
    taken: Taken = asyncio.Queue()
    await broker.consume(Lane.UNITS, 1, taken.put_nowait)
    await broker.publish(b"1")
    twice = await next_of(taken)
    await broker.ack(twice)
    await broker.ack(twice)
    for body in (b"2", b"3"):
        await broker.publish(body)
    second = await next_of(taken)
    await until_ready(broker)
    assert taken.empty()
    await broker.ack(second)
    assert {second.body, (await next_of(taken)).body} == {b"2", b"3"}


@pytest.mark.parametrize(
    ("full", "well"),
    [
        pytest.param(
            ("set_vm_memory_high_watermark", "absolute", "1"),
            ("set_vm_memory_high_watermark", "absolute", "2GB"),
            id="memory",
            marks=row(9, "memory alarm"),
        ),
        pytest.param(
            ("set_disk_free_limit", "999GB"),
            ("set_disk_free_limit", "1MB"),
            id="disk",
            marks=row(10, "disk alarm"),
        ),
    ],
)
async def test_an_alarm_blocks_publishing_and_not_the_acks(
    make: Make, rabbitmq: Node, full: tuple[str, ...], well: tuple[str, ...]
) -> None:
    broker = make(timeout=1.0)
    await broker.connect()
    taken = await taking(broker)
    for body in (b"1", b"2"):
        await broker.publish(body)
    first, second = await next_of(taken), await next_of(taken)
    await asyncio.to_thread(rabbitmq.ctl, *full)
    try:
        with pytest.raises(Unready, match="within 1 s"):
            await broker.publish(b"3")
        await broker.ack(first)
        await broker.give_back(second)
        assert (await next_of(taken)).body == b"2"
    finally:
        await asyncio.to_thread(rabbitmq.ctl, *well)
    assert (await next_of(taken)).body == b"3"


async def test_parked_messages_come_out_in_the_order_in_which_they_are_due(broker: RabbitMQ) -> None:
    taken = await taking(broker, Lane.NOTIFICATIONS)
    delays = (4, 2, 5, 1, 3, 1, 2)
    clock = SystemClock()
    for delay in delays:
        await broker.park(Parked(Lane.NOTIFICATIONS, b"%d" % delay, delay, first_seen=clock.now()))
    bodies = []
    for _ in delays:
        came = await next_of(taken)
        bodies.append(int(came.body))
        assert -0.005 < clock.now() - came.due < 1
    assert bodies == sorted(delays)


async def test_a_connection_that_dies_does_not_cancel_who_waits_for_it() -> None:
    with pytest.raises(Unready, match="lost"):
        async with within(1):
            raise asyncio.CancelledError


async def test_a_task_that_is_cancelled_while_it_waits_is_cancelled() -> None:
    begun = asyncio.Event()

    async def wait() -> None:
        async with within(60):
            begun.set()
            await asyncio.Event().wait()

    waiting = asyncio.create_task(wait())
    await begun.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
