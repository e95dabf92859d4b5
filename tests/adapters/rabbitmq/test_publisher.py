"""A channel that the broker refuses on is left, and nothing that is under way on it is published twice for that."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass

import aio_pika
import pytest
from aio_pika.exceptions import DeliveryError, PublishError

from notification_sender.adapters.amqp import RETRY, Link
from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.outgoing import Outgoing
from notification_sender.adapters.topology import Address

FULL: dict[str, str | int] = {"x-queue-type": "quorum", "x-max-length": 1, "x-overflow": "reject-publish"}
MESSAGE = aio_pika.Message(b"1")


class Later(SystemClock):
    """``leap`` seconds ahead."""

    leap = 0.0

    def monotonic(self) -> float:
        return super().monotonic() + self.leap


@dataclass
class Stand:
    outgoing: Outgoing
    link: Link
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
    link = Link(url=amqp_url, purpose="test", clock=clock)
    await link.open()
    async with link.spare_channel() as channel:
        await channel.queue_declare(full.routing_key, durable=True, arguments=FULL)
        await channel.queue_declare(empty.routing_key, durable=True, arguments={"x-queue-type": "quorum"})
    outgoing = Outgoing(link=link, clock=clock, timeout=5)
    await outgoing.open()
    yield Stand(outgoing, link, clock, full, empty)
    await link.close()


async def refused(stand: Stand) -> None:
    """A full queue takes a few more than it may hold, and says no then."""
    with suppress(DeliveryError):
        async with asyncio.timeout(10):
            while True:
                await stand.outgoing.publish(MESSAGE, stand.full)


async def test_it_is_left_once_a_second_at_most_and_there_is_one_in_the_end(stand: Stand) -> None:
    first = stand.channels
    await refused(stand)
    assert stand.channels == first
    stand.clock.leap = RETRY
    await refused(stand)
    assert len(stand.channels) == 1
    assert stand.channels != first
    await stand.outgoing.publish(MESSAGE, stand.empty)


async def test_what_is_under_way_on_the_channel_that_is_left_is_confirmed_there(stand: Stand) -> None:
    await refused(stand)
    stand.clock.leap = RETRY
    async with asyncio.TaskGroup() as group:
        group.create_task(refused(stand))
        for _ in range(500):
            group.create_task(stand.outgoing.publish(MESSAGE, stand.empty))
    assert len(stand.channels) == 1


async def test_a_message_that_no_queue_takes_is_no_reason_to_leave(stand: Stand) -> None:
    first = stand.channels
    stand.clock.leap = RETRY
    with pytest.raises(PublishError):
        await stand.outgoing.publish(MESSAGE, Address("", "nowhere"))
    assert stand.channels == first
