"""A channel that the broker refuses on is left, and nothing that is under way on it is published twice for that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, suppress
from dataclasses import dataclass

import aio_pika
import pytest
from aio_pika.exceptions import DeliveryError, PublishError
from aiormq import Channel

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.connection import RECONNECT_SECONDS, BrokerConnection
from notification_sender.adapters.rabbitmq.publisher import ConfirmingPublisher
from notification_sender.adapters.rabbitmq.topology import Address
from notification_sender.model.errors import TooLarge
from tests.patience import patience
from tests.services.rabbitmq import RabbitMQ as Node

FULL: dict[str, str | int] = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
MESSAGE = aio_pika.Message(b"1")


class Later(SystemClock):
    """``leap`` seconds ahead."""

    leap = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.leap


@dataclass
class Stand:
    publisher: ConfirmingPublisher
    link: BrokerConnection
    clock: Later
    full: Address
    empty: Address

    @property
    def channels(self) -> set[int]:
        """Numbers of those that are open."""
        transport = self.link.connection.transport
        assert transport is not None
        return {number for number, channel in transport.connection.channels.items() if number and channel}


@pytest.fixture
async def stand(amqp_url: str, topology_prefix: str) -> AsyncIterator[Stand]:
    full, empty = Address("", f"{topology_prefix}.full"), Address("", f"{topology_prefix}.empty")
    clock = Later()
    link = BrokerConnection(address=BrokerAddress(amqp_url), purpose="test", clock=clock)
    await link.open()
    async with link.spare_channel() as channel:
        await channel.queue_declare(full.routing_key, durable=True, arguments=FULL)
        await channel.queue_declare(empty.routing_key, durable=True, arguments={"x-queue-type": "quorum"})
    publisher = ConfirmingPublisher(link=link, clock=clock, timeout=5)
    await publisher.open()
    yield Stand(publisher, link, clock, full, empty)
    await link.close()


async def refused(stand: Stand) -> None:
    """A full queue takes a few more than it may hold, and says no then."""
    with suppress(DeliveryError):
        async with patience(10):
            while True:
                await stand.publisher.publish(MESSAGE, stand.full)


async def test_it_is_left_once_a_second_at_most_and_there_is_one_in_the_end(stand: Stand) -> None:
    first = stand.channels
    await refused(stand)
    assert stand.channels == first
    stand.clock.leap = RECONNECT_SECONDS
    await refused(stand)
    assert len(stand.channels) == 1
    assert stand.channels != first
    await stand.publisher.publish(MESSAGE, stand.empty)


async def test_what_is_under_way_on_the_channel_that_is_left_is_confirmed_there(stand: Stand) -> None:
    await refused(stand)
    stand.clock.leap = RECONNECT_SECONDS
    async with asyncio.TaskGroup() as group:  # noqa: TID251 - has no deadline after it
        group.create_task(refused(stand))
        for _ in range(500):
            group.create_task(stand.publisher.publish(MESSAGE, stand.empty))
    assert len(stand.channels) == 1


async def test_a_message_that_no_queue_takes_is_no_reason_to_leave(stand: Stand) -> None:
    first = stand.channels
    stand.clock.leap = RECONNECT_SECONDS
    with pytest.raises(PublishError):
        await stand.publisher.publish(MESSAGE, Address("", "nowhere"))
    assert stand.channels == first


LIMIT = 100_000
SMALL, LARGE = aio_pika.Message(b"s" * 1000), aio_pika.Message(b"l" * (LIMIT + 1))


@pytest.fixture
async def limited(rabbitmq: Node) -> AsyncIterator[None]:
    """Channels that are opened meanwhile take no larger messages; those of RabbitMQ 3.10 keep what they began with."""
    await asyncio.to_thread(rabbitmq.limit_messages, LIMIT)
    yield
    await asyncio.to_thread(rabbitmq.limit_messages)


async def depth(stand: Stand) -> int:
    async with stand.link.spare_channel() as channel:
        return int((await channel.queue_declare(stand.empty.routing_key, passive=True)).message_count or 0)


@pytest.mark.usefixtures("limited")
async def test_one_that_is_too_large_ends_no_channel_but_its_own_and_repeats_nothing(stand: Stand) -> None:
    await stand.publisher.publish(SMALL, stand.empty)
    first = stand.channels
    async with asyncio.TaskGroup() as group:  # noqa: TID251 - has no deadline after it
        small = [group.create_task(stand.publisher.publish(SMALL, stand.empty)) for _ in range(200)]
        large = [group.create_task(refused_for_its_size(stand)) for _ in range(3)]
        small += [group.create_task(stand.publisher.publish(SMALL, stand.empty)) for _ in range(200)]
    assert [str(LIMIT) in it.result() for it in large] == [True] * 3
    assert stand.channels == first
    assert await depth(stand) == 1 + len(small)


async def refused_for_its_size(stand: Stand) -> str:
    with pytest.raises(TooLarge) as refusal:
        await stand.publisher.publish(LARGE, stand.empty)
    return str(refusal.value)


@pytest.mark.usefixtures("limited")
async def test_a_broker_that_takes_less_than_before_is_asked_again(stand: Stand, rabbitmq: Node) -> None:
    await asyncio.to_thread(rabbitmq.limit_messages)
    await stand.publisher.publish(LARGE, stand.empty)
    await asyncio.to_thread(rabbitmq.limit_messages, LIMIT)
    stand.publisher.forget()
    first = stand.channels
    assert str(LIMIT) in await refused_for_its_size(stand)
    assert stand.channels == first


async def test_what_is_as_large_as_one_before_needs_no_channel_of_its_own(stand: Stand) -> None:
    opened = 0
    spare = stand.link.spare_channel

    def counting(**options: bool) -> AbstractAsyncContextManager[Channel]:
        nonlocal opened
        opened += 1
        return spare(**options)

    stand.link.spare_channel = counting  # type: ignore[method-assign]
    for size in (10, 5, 10, 11, 11):
        await stand.publisher.publish(aio_pika.Message(b"x" * size), stand.empty)
    assert opened == 2
