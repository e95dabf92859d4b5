"""A lane whose queue is missing stops no delay but its own; what was due for it is dead, and can be replayed."""

import asyncio
import shlex
from collections.abc import AsyncIterator, Callable
from types import SimpleNamespace
from typing import Any, cast

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage
from structlog.testing import capture_logs

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.broker import RabbitMQ, WayOut
from notification_sender.adapters.rabbitmq.delay_ladder import RUNGS
from notification_sender.adapters.rabbitmq.deliveries import Delivery
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.adapters.rabbitmq.unroutable import Unroutable
from notification_sender.ports.broker import DeadLetter, Envelope, Lane, MessageState, Parked
from tests.e2e.broker import Broker
from tests.faults.rows import row
from tests.patience import patience
from tests.services.rabbitmq import RabbitMQ as Node

NOW = 1_772_785_560.0
MANY = 40
"""More than the 32 at which a queue that dead-letters at least once stops."""

Make = Callable[[], RabbitMQ]


@pytest.fixture
async def make(amqp_url: str, topology_prefix: str) -> AsyncIterator[Make]:
    """Not connected yet; closed at the end."""
    made: list[RabbitMQ] = []

    def make() -> RabbitMQ:
        made.append(RabbitMQ(address=BrokerAddress(amqp_url), topology=Topology(topology_prefix), clock=SystemClock()))
        return made[-1]

    yield make
    for it in made:
        await it.close()


@pytest.fixture
def looking(amqp_url: str, topology_prefix: str) -> Broker:
    return Broker(amqp_url, topology_prefix)


async def without_units(amqp_url: str, topology: Topology) -> None:
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        await (await channel.get_underlay_channel()).queue_delete(topology.queue(Lane.UNITS))


async def others_are_in_time(broker: RabbitMQ, taken: asyncio.Queue[Envelope]) -> None:
    """What is parked behind them on the same rung comes when it is due, five seconds late at most."""
    await broker.park(Parked(Lane.NOTIFICATIONS, b"other", 2, MessageState(NOW)))
    async with patience(2 + 5):
        assert (await taken.get()).body == b"other"


async def parked_for_nobody(broker: RabbitMQ, amqp_url: str, topology: Topology) -> asyncio.Queue[Envelope]:
    """Many that are due for a lane whose queue is gone meanwhile; what comes of another lane."""
    taken: asyncio.Queue[Envelope] = asyncio.Queue()
    await broker.consume(Lane.NOTIFICATIONS, 10, taken.put_nowait)
    for number in range(MANY):
        await broker.park(Parked(Lane.UNITS, b"%d" % number, 2, MessageState(NOW, replays=3)))
    await without_units(amqp_url, topology)
    return taken


@pytest.fixture
def topology(topology_prefix: str) -> Topology:
    return Topology(topology_prefix)


def numbers(letters: list[AbstractIncomingMessage]) -> list[bytes]:
    return sorted(letter.body for letter in letters)


ALL = sorted(b"%d" % number for number in range(MANY))


@row(108, "a lane's queue is deleted while messages are parked for it")
async def test_what_is_due_for_a_missing_queue_is_dead_and_holds_up_nobody(
    make: Make, amqp_url: str, topology: Topology, looking: Broker
) -> None:
    broker = make()
    await broker.connect()
    taken = await parked_for_nobody(broker, amqp_url, topology)
    await others_are_in_time(broker, taken)
    letters = await looking.dead(MANY)
    assert numbers(letters) == ALL
    for letter in letters:
        assert letter.headers["x-reason"] == "unroutable"
        assert "'units'" in str(letter.headers["x-detail"])
        assert (letter.headers["x-stage"], letter.headers["x-replayed"]) == ("delay", 3)
        assert letter.headers["x-first-seen"] == "2026-03-06T08:26:00.000Z"


async def test_moved_back_it_is_the_next_replay(make: Make, amqp_url: str, topology: Topology, looking: Broker) -> None:
    broker = make()
    await broker.connect()
    await parked_for_nobody(broker, amqp_url, topology)
    letter = (await looking.dead(MANY))[0]
    units: asyncio.Queue[Envelope] = asyncio.Queue()
    await broker.consume(Lane.UNITS, 10, units.put_nowait)
    await broker.publish(letter.body, dict(letter.headers))
    async with patience(30):
        again = await units.get()
    assert (again.body, again.state.replays, again.state.attempt) == (letter.body, 4, 1)


@row(108, "and the dead queue is full")
async def test_while_the_dead_queue_is_full_it_waits_beside_and_nothing_is_lost(
    make: Make, amqp_url: str, topology: Topology, looking: Broker, rabbitmq: Node
) -> None:
    broker = make()
    await broker.connect()
    full = (
        "--apply-to",
        "queues",
        topology.dead,
        f"^{topology.dead}$",
        '{"max-length": 1, "overflow": "reject-publish"}',
    )
    await asyncio.to_thread(rabbitmq.ctl, "set_policy", *full)
    try:
        taken = await parked_for_nobody(broker, amqp_url, topology)
        await others_are_in_time(broker, taken)
        await others_are_in_time(broker, taken)
        assert await looking.depth("dead") < MANY
    finally:
        await asyncio.to_thread(rabbitmq.ctl, "clear_policy", topology.dead)
    letters = {it.body for _ in range(MANY) for it in await looking.dead(1)}
    assert sorted(letters) == ALL


async def declared_by_an_older_version(amqp_url: str, topology: Topology) -> None:
    async with await aio_pika.connect(amqp_url) as connection, connection.channel() as channel:
        for name in (topology.exit, *map(topology.rung, range(RUNGS))):
            await channel.declare_exchange(name, "topic", durable=True)


async def test_an_older_ladder_is_worked_with_and_has_its_way_out_by_the_policy_that_is_named(
    make: Make, amqp_url: str, topology: Topology, looking: Broker, rabbitmq: Node
) -> None:
    await declared_by_an_older_version(amqp_url, topology)
    older = make()
    with capture_logs() as logs:
        await older.connect()
    assert older.way_out is WayOut.NONE
    [said] = [it for it in logs if it["event"] == "topology.no_way_out"]
    assert older.policy in said["advice"]
    await asyncio.to_thread(rabbitmq.ctl, *shlex.split(older.policy)[1:])
    broker = make()
    await broker.connect()
    assert broker.way_out is WayOut.POLICY
    taken = await parked_for_nobody(broker, amqp_url, topology)
    await others_are_in_time(broker, taken)
    assert numbers(await looking.dead(MANY)) == ALL
    await looking.drained("delay.unroutable")
    assert await looking.depth("dead") == 0


async def test_what_is_parked_comes_out_of_the_queue_that_the_units_have_by_then(
    make: Make, amqp_url: str, topology: Topology, looking: Broker
) -> None:
    """It was renamed between two deployments, and the old one is deleted."""
    older = make()
    await older.connect()
    for number in range(MANY):
        await older.park(Parked(Lane.UNITS, b"%d" % number, 2, MessageState(NOW)))
    await older.close()
    await without_units(amqp_url, topology)
    renamed = RabbitMQ(
        address=BrokerAddress(amqp_url),
        topology=Topology(topology.prefix, f"{topology.prefix}.renamed"),
        clock=SystemClock(),
    )
    await renamed.connect()
    await looking.take("renamed", MANY)
    await renamed.close()
    assert await looking.depth("delay.unroutable") == 0


async def test_a_policy_names_the_virtual_host_that_is_not_the_default(topology: Topology) -> None:
    assert shlex.split(topology.policy("a b"))[2:4] == ["-p", "a b"]
    assert "-p" not in shlex.split(topology.policy("/"))


class Held:
    """A subscription without a broker."""

    def __init__(self) -> None:
        self.settled: asyncio.Queue[bytes] = asyncio.Queue()

    def want(self, _prefetch: int, take: Callable[[Any], None]) -> None:
        self.take = take

    async def settle(self, message: Any, *, done: bool) -> None:
        assert done
        self.settled.put_nowait(message.body)


async def test_what_came_by_a_connection_that_is_gone_leaves_no_letter_of_its_own() -> None:
    subscription, letters = Held(), list[bytes]()

    async def bury(letter: DeadLetter) -> None:
        letters.append(letter.body)

    unroutable = Unroutable(subscription=subscription, bury=bury, clock=SystemClock())  # type: ignore[arg-type]
    unroutable.start()
    for body, closed in ((b"1", True), (b"2", False)):
        channel = cast("Any", SimpleNamespace(is_closed=closed))
        subscription.take(Delivery(channel, 1, "0.units", {}, body))
    async with patience(10):
        assert [await subscription.settled.get() for _ in range(2)] == [b"1", b"2"]
    await unroutable.close()
    assert letters == [b"2"]
