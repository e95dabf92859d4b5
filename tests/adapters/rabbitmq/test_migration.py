"""What the old prefix holds comes to the lanes of the new one: what waits, what is parked, and what is dead."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.broker import RabbitMQ
from notification_sender.adapters.rabbitmq.migration import Migration, migration
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.model.errors import ConfigurationFault
from notification_sender.ports.broker import DeadLetter, Envelope, Lane, MessageState, Parked
from tests.patience import patience

FIRST_SEEN = 1_772_785_560.0


@pytest.fixture
async def fleets(amqp_url: str, topology_prefix: str) -> AsyncIterator[tuple[RabbitMQ, RabbitMQ]]:
    """The old and the new one, both declared."""
    both = [
        RabbitMQ(address=BrokerAddress(amqp_url), topology=Topology(f"{topology_prefix}{it}"), clock=SystemClock())
        for it in ("", "-2")
    ]
    for it in both:
        await it.connect()
    yield both[0], both[1]
    for it in both:
        await it.close()


@pytest.fixture
async def moving(amqp_url: str, topology_prefix: str) -> AsyncIterator[Migration]:
    old, new = Topology(topology_prefix), Topology(f"{topology_prefix}-2")
    async with migration(BrokerAddress(amqp_url), old, new, SystemClock()) as it:
        yield it


async def moved(moving: Migration) -> list[str]:
    await moving.redirect()
    return [queue.rpartition(".")[2] async for queue in moving.messages()]


async def test_what_waits_moves_with_its_headers_and_what_is_parked_comes_to_the_new_lane_when_it_is_due(
    fleets: tuple[RabbitMQ, RabbitMQ], moving: Migration
) -> None:
    old, new = fleets
    state = MessageState(FIRST_SEEN, attempt=3)
    await old.publish(b"unit", {})
    await old.park(Parked(Lane.NOTIFICATIONS, b"now", 0, state))
    await old.park(Parked(Lane.NOTIFICATIONS, b"later", 3, state))
    await old.bury(DeadLetter(b"dead", "exhausted", "", "deliver", MessageState(FIRST_SEEN)))
    assert sorted(await moved(moving)) == ["dead", "notifications", "units"]
    left = await moving.left()
    assert (left.ready, left.parked) == ({}, 1)
    taken: asyncio.Queue[Envelope] = asyncio.Queue()
    await new.consume(Lane.NOTIFICATIONS, 10, taken.put_nowait)
    async with patience(3 + 5):
        came = [await taken.get(), await taken.get()]
    assert [(it.body, it.state.first_seen, it.state.attempt) for it in came] == [
        (b"now", FIRST_SEEN, 3),
        (b"later", FIRST_SEEN, 3),
    ]
    assert (await moving.left()).nothing


async def test_a_repetition_moves_what_came_meanwhile(fleets: tuple[RabbitMQ, RabbitMQ], moving: Migration) -> None:
    assert await moved(moving) == []
    await fleets[0].publish(b"late", {})
    assert (await moving.left()).ready
    assert await moved(moving) == ["units"]
    assert (await moving.left()).nothing


async def test_a_prefix_that_was_never_used_is_a_fault(amqp_url: str, topology_prefix: str) -> None:
    async with migration(
        BrokerAddress(amqp_url), Topology("nowhere"), Topology(f"{topology_prefix}-2"), SystemClock()
    ) as it:
        with pytest.raises(ConfigurationFault, match="'nowhere' the old prefix"):
            await it.redirect()
