"""What only RabbitMQ can do to us: go away, forget us, refuse us, block us."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Protocol, cast

import aio_pika
import pytest
from structlog.testing import capture_logs

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.broker import RabbitMQ
from notification_sender.adapters.rabbitmq.connection import within
from notification_sender.adapters.rabbitmq.delay_ladder import SPARE
from notification_sender.adapters.rabbitmq.deliveries import Delivery
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.model.errors import ConfigurationFault, Unready
from notification_sender.ports.broker import DeadLetter, Envelope, Lane, MessageState, Parked
from tests.e2e.broker import Broker as Operator
from tests.faults.rows import row
from tests.patience import patience, patient, stretched
from tests.services.program import free_port
from tests.services.rabbitmq import RabbitMQ as Node
from tests.services.rabbitmq import running_rabbitmq

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
                address=BrokerAddress(url or amqp_url),
                **{"topology": Topology(topology_prefix), "clock": SystemClock()} | options,
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
    async with patience(30):
        return await taken.get()


async def until_ready(broker: RabbitMQ) -> None:
    async with patience(30):
        await broker.wait_ready()


async def until_states(broker: RabbitMQ, states: tuple[bool, bool, bool]) -> None:
    """Ready, connected, consuming. Each connection, and each lane, is lost by itself, at a time of its own."""
    async with patience(30):
        while (broker.ready, broker.connected, broker.consuming) != states:
            await SystemClock().sleep(0.01)


async def insist(step: Callable[[], Awaitable[None]]) -> None:
    """As the worker does: again after ``Unready``."""
    async with patience(30):
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


@pytest.fixture
def own_node(amqp_url: str) -> Iterator[Node]:  # noqa: ARG001 - says what is missing
    """A node that was killed may refuse declarations afterwards: all tests that share it would fail."""
    with running_rabbitmq() as node:
        yield node


async def test_a_broker_killed_and_started_keeps_what_it_confirmed(make: Make, own_node: Node) -> None:
    broker = make(own_node.url)
    await broker.connect()
    taken = await taking(broker)
    await broker.park(Parked(Lane.UNITS, b"parked", 1 + SPARE, MessageState(NOW)))
    await asyncio.to_thread(own_node.remember)
    await asyncio.to_thread(own_node.kill)
    try:
        with pytest.raises(Unready):
            await broker.publish(b"nobody there")
        await until_states(broker, (False, False, False))
    finally:
        await asyncio.to_thread(own_node.start)
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
    with pytest.raises(ConfigurationFault, match="user or the password"):
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
        await broker.park(Parked(Lane.UNITS, b"1", 1 + SPARE, MessageState(NOW)))
        assert (await next_of(await taking(broker))).body == b"1"
        await broker.close()
        await delete_queue(amqp_url, f"{topology_prefix}-orders")


async def test_what_the_broker_gives_up_on_is_a_dead_letter(
    broker: RabbitMQ, amqp_url: str, topology_prefix: str
) -> None:
    taken = await taking(broker)
    await broker.publish(b"hopeless")
    delivery = cast("Delivery", (await next_of(taken)).tag)
    await delivery.channel.basic_reject(delivery.delivery_tag, requeue=False)
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        dead = await channel.declare_queue(Topology(topology_prefix).dead, passive=True)
        letters: asyncio.Queue[aio_pika.abc.AbstractIncomingMessage] = asyncio.Queue()
        await dead.consume(letters.put, no_ack=True)
        async with patience(10):
            assert (await letters.get()).body == b"hopeless"


@pytest.mark.parametrize("before", [True, False], ids=["on the channel of all", "on one of its own"])
async def test_a_queue_that_is_missing_loses_nothing_and_is_made_again(
    broker: RabbitMQ, amqp_url: str, topology_prefix: str, *, before: bool
) -> None:
    letter = DeadLetter(b"1", "schema", "", "unit", MessageState(NOW))
    if before:
        await broker.bury(letter)
    await delete_queue(amqp_url, Topology(topology_prefix).dead)
    with pytest.raises(Unready, match="no queue"):
        await broker.bury(letter)
    await insist(lambda: broker.bury(letter))
    assert (await broker.depths()).dead == 1


@row(11, "delay queue deleted")
async def test_a_rung_that_is_missing_loses_nothing_and_is_made_again(
    broker: RabbitMQ, amqp_url: str, topology_prefix: str
) -> None:
    taken = await taking(broker)
    await delete_queue(amqp_url, Topology(topology_prefix).rung(0))
    parked = Parked(Lane.UNITS, b"1", 1 + SPARE, MessageState(NOW))
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
    await insist(lambda: broker.park(Parked(Lane.UNITS, b"1", 1 + SPARE, MessageState(NOW))))
    assert (await next_of(taken)).body == b"1"


@row(7, "the broker forgets a consumer")
@pytest.mark.parametrize("gap", [0.0, 3.0], ids=["at once", "after 3 s"])
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


async def test_a_lane_that_cannot_be_had_keeps_no_other_from_being_subscribed_again(
    make: Make, amqp_url: str, topology_prefix: str
) -> None:
    """In the order in which lanes are looked at: the first is refused, for its queue has become another."""
    broker, topology = make(), Topology(topology_prefix)
    await broker.connect()
    await taking(broker, Lane.UNITS)
    taken = await taking(broker, Lane.NOTIFICATIONS)
    await Operator(amqp_url, topology_prefix).replace("units")
    await delete_queue(amqp_url, topology.queue(Lane.NOTIFICATIONS))
    await insist(lambda: broker.publish(b"1", lane=Lane.NOTIFICATIONS))
    assert (await next_of(taken)).body == b"1"
    await until_states(broker, (False, True, False))


async def test_no_message_is_stranded_while_the_prefetch_changes(broker: RabbitMQ) -> None:
    """Where the broker hands one out to a consumer that it has just cancelled, it is held for as long as we live."""
    taken: Taken = asyncio.Queue()
    await broker.consume(Lane.UNITS, 50, taken.put_nowait)
    count, seen = 600, set()

    async def publish() -> None:
        for start in range(0, count, 50):
            await asyncio.gather(*(broker.publish(str(it).encode()) for it in range(start, start + 50)))

    async def change() -> None:
        for number in range(60):
            await broker.consume(Lane.UNITS, 50 if number % 2 else 20, taken.put_nowait)

    changing = asyncio.gather(publish(), change())
    while len(seen) < count:
        envelope = await next_of(taken)
        seen.add(envelope.body)
        await broker.ack(envelope)
    await changing
    assert len(seen) == count


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
    within = stretched(1.0)
    broker = make(timeout=within)
    await broker.connect()
    taken = await taking(broker)
    for body in (b"1", b"2"):
        await broker.publish(body)
    first, second = await next_of(taken), await next_of(taken)
    await asyncio.to_thread(rabbitmq.ctl, *full)
    try:
        with pytest.raises(Unready, match=f"within {within:g} s"):
            await broker.publish(b"3")
        await broker.ack(first)
        await broker.give_back(second)
        assert (await next_of(taken)).body == b"2"
    finally:
        await asyncio.to_thread(rabbitmq.ctl, *well)
    assert (await next_of(taken)).body == b"3"


async def test_parked_messages_come_out_in_the_order_in_which_they_are_due(broker: RabbitMQ) -> None:
    taken = await taking(broker, Lane.NOTIFICATIONS)
    delays = (5, 3, 6, 2, 4, 2, 3)
    clock = SystemClock()
    for delay in delays:
        await broker.park(Parked(Lane.NOTIFICATIONS, b"%d" % delay, delay, MessageState(clock.now())))
    bodies = []
    for _ in delays:
        came = await next_of(taken)
        bodies.append(int(came.body))
        assert -1 - SPARE < clock.now() - came.due < patient(1)
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


async def test_a_letter_that_the_broker_does_not_take_is_buried_without_its_content(
    broker: RabbitMQ, rabbitmq: Node, amqp_url: str, topology_prefix: str
) -> None:
    letter = DeadLetter(
        b"x" * 2000, "rejected", "answered 404", "deliver", MessageState(NOW, replays=2), stub=b'{"who": 1}'
    )
    await asyncio.to_thread(rabbitmq.limit_messages, 1000)
    try:
        await broker.bury(letter)
    finally:
        await asyncio.to_thread(rabbitmq.limit_messages)
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        buried = await (await channel.declare_queue(Topology(topology_prefix).dead, passive=True)).get(no_ack=True)
    assert buried.body == b'{"who": 1}'
    assert (buried.headers["x-reason"], buried.headers["x-replayed"]) == ("too_large", 2)
    assert "max_message_size" in str(buried.headers["x-detail"])
    assert "rejected: answered 404" in str(buried.headers["x-detail"])
