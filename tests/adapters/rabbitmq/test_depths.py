"""How many messages wait in each queue of a real broker, and whether it takes any."""

import asyncio
from collections.abc import AsyncIterator, Iterator

import pytest

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.broker import RabbitMQ
from notification_sender.adapters.rabbitmq.depths import depths_at
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.model.errors import Unready
from notification_sender.ports.broker import DeadLetter, Lane, MessageState, Parked, QueueDepths
from tests.patience import patience
from tests.services.rabbitmq import RabbitMQ as Node

ALARM = "set_vm_memory_high_watermark"


@pytest.fixture
def topology(topology_prefix: str) -> Topology:
    return Topology(topology_prefix)


@pytest.fixture
async def broker(amqp_url: str, topology: Topology) -> AsyncIterator[RabbitMQ]:
    broker = RabbitMQ(address=BrokerAddress(amqp_url), topology=topology, clock=SystemClock())
    await broker.connect()
    yield broker
    await broker.close()


@pytest.fixture
def alarmed(rabbitmq: Node) -> Iterator[None]:
    rabbitmq.ctl(ALARM, "absolute", "1")
    yield
    rabbitmq.ctl(ALARM, "absolute", "2GB")


async def test_every_queue_is_counted_by_its_place(broker: RabbitMQ, amqp_url: str, topology: Topology) -> None:
    await broker.publish(b"{}")
    for delay in (0.0, 70.0, 70_000.0, 70_000.0):
        await broker.park(Parked(Lane.NOTIFICATIONS, b"{}", delay, MessageState(0.0)))
    await broker.bury(DeadLetter(b"{}", "gone", "", "unit", MessageState(0.0)))
    ladder = tuple({6: 1, 16: 2}.get(rung, 0) for rung in range(18))
    async with patience(10):
        while await broker.depths() != QueueDepths(1, 1, 1, ladder):  # noqa: ASYNC110 - it can only be asked
            await asyncio.sleep(0.05)
    assert await depths_at(BrokerAddress(amqp_url), topology, SystemClock()) == QueueDepths(1, 1, 1, ladder)


async def test_a_queue_that_is_missing_is_empty(amqp_url: str, topology: Topology) -> None:
    assert await depths_at(BrokerAddress(amqp_url), topology, SystemClock()) == QueueDepths(0, 0, 0, (0,) * 18)


@pytest.mark.usefixtures("alarmed")
async def test_a_broker_with_an_alarm_is_noticed_by_who_asks_and_by_who_publishes(
    broker: RabbitMQ, amqp_url: str, topology: Topology
) -> None:
    assert not broker.blocked
    with pytest.raises(Unready, match="alarm"):
        await depths_at(BrokerAddress(amqp_url), topology, SystemClock())
    publishing = asyncio.create_task(broker.publish(b"{}"))
    async with patience(10):
        while not broker.blocked:  # noqa: ASYNC110 - it can only be asked
            await asyncio.sleep(0.05)
    assert (await broker.depths()).units == 0
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
