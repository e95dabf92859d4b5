"""Dead letters are read for as long as a command needs, and those that stay are neither lost nor read twice."""

from collections.abc import AsyncIterator

import pytest

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq import dead_letters
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.broker import RabbitMQ
from notification_sender.adapters.rabbitmq.dead_letters import DeadQueue, dead_queue
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.ports.broker import DeadLetter, Lane, MessageState
from tests.e2e.broker import Broker

NUMBER = 12


@pytest.fixture
async def rabbit(amqp_url: str, topology_prefix: str) -> AsyncIterator[RabbitMQ]:
    rabbit = RabbitMQ(address=BrokerAddress(amqp_url), topology=Topology(prefix=topology_prefix), clock=SystemClock())
    await rabbit.connect()
    for number in range(NUMBER):
        await rabbit.bury(DeadLetter(b"%d" % number, "gone", "", "deliver", MessageState(1.0)))
    yield rabbit
    await rabbit.close()


async def replay(queue: DeadQueue) -> list[int]:
    """Move two of three letters back; returns what was read."""
    read = []
    async for letter in queue.letters():
        number = int(letter.body)
        read.append(number)
        if number % 3:
            await queue.move(letter, Lane.UNITS)
            queue.rest(0.01)
    return read


@pytest.mark.usefixtures("rabbit")
async def test_letters_are_let_go_of_before_the_broker_takes_them_back_and_each_is_read_once(
    amqp_url: str, topology_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dead_letters, "HOLD_SECONDS", -1.0)  # another channel for each
    broker = Broker(amqp_url, topology_prefix)
    stay = [it for it in range(NUMBER) if it % 3 == 0]
    async with dead_queue(BrokerAddress(amqp_url), Topology(prefix=topology_prefix), SystemClock()) as queue:
        assert await replay(queue) == [*range(NUMBER)]
    await broker.holds("dead", len(stay))
    assert [int(it.body) for it in await broker.dead(len(stay))] == stay
    moved = await broker.take("units", NUMBER - len(stay))
    assert [int(it.body) for it in moved] == [it for it in range(NUMBER) if it % 3]


@pytest.mark.usefixtures("rabbit")
async def test_a_letter_is_replaced_behind_the_others_with_its_headers(amqp_url: str, topology_prefix: str) -> None:
    async with dead_queue(BrokerAddress(amqp_url), Topology(prefix=topology_prefix), SystemClock()) as queue:
        first = await anext(aiter(queue.letters()))
        await queue.replace(first, b"less")
    broker = Broker(amqp_url, topology_prefix)
    await broker.holds("dead", NUMBER)
    *others, last = await broker.dead(NUMBER)
    assert (last.body, last.headers, len(others)) == (b"less", others[0].headers, NUMBER - 1)
