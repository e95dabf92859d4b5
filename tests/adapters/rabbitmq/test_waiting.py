"""Messages of the delay ladder are moved to their lane now, and those that stay come when they are due."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq import waiting
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.broker import RabbitMQ
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.adapters.rabbitmq.waiting import Waiting, waiting_messages
from notification_sender.model.errors import Unready
from notification_sender.ports.broker import Lane, MessageState, Parked, Wait
from tests.e2e.broker import Broker
from tests.patience import patience

MANY = 300
STATE = MessageState(1_772_785_560.0, attempt=3, replays=1)
HOURS = 5 * 3600.0


@pytest.fixture
async def rabbit(amqp_url: str, topology_prefix: str) -> AsyncIterator[RabbitMQ]:
    rabbit = RabbitMQ(address=BrokerAddress(amqp_url), topology=Topology(prefix=topology_prefix), clock=SystemClock())
    await rabbit.connect()
    yield rabbit
    await rabbit.close()


async def move(url: str, prefix: str, word: bytes, *, dry_run: bool = False) -> tuple[int, int]:
    async with waiting_messages(BrokerAddress(url), Topology(prefix=prefix), SystemClock()) as messages:
        moved = await messages.move(lambda it: word in it.body, dry_run=dry_run)
    return moved.read, moved.matched


async def test_what_is_wanted_comes_now_with_its_state_and_the_rest_stays(
    rabbit: RabbitMQ, amqp_url: str, topology_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "WINDOW", MANY // 7)  # one consumer may not take all of them
    monkeypatch.setattr(waiting, "QUIET_SECONDS", HOURS)  # nothing is judged by silence
    broker = Broker(amqp_url, topology_prefix)
    for number in range(MANY):
        body = b"%s %d" % (b"mine" if number % 3 == 0 else b"other", number)
        lane = Lane.NOTIFICATIONS if number % 2 else Lane.UNITS
        await rabbit.park(Parked(lane, body, HOURS + number, STATE, Wait("retry_wait", 1.5)))
    assert await move(amqp_url, topology_prefix, b"mine", dry_run=True) == (MANY, MANY // 3)
    depths = await rabbit.depths()
    assert (depths.units, depths.notifications) == (0, 0)
    assert await move(amqp_url, topology_prefix, b"mine") == (MANY, MANY // 3)
    units = await broker.take("units", MANY // 6)
    notifications = await broker.take("notifications", MANY // 6)
    assert {it.body.split()[0] for it in (*units, *notifications)} == {b"mine"}
    assert units[0].headers == {
        "x-attempt": 3,
        "x-misses": 0,
        "x-first-seen": "2026-03-06T08:26:00.000Z",
        "x-replayed": 1,
        "x-waits-for": "retry_wait",
        "x-waits-since": 1_500_000,
    }
    # A repetition finds none of them any more.
    assert await move(amqp_url, topology_prefix, b"mine") == (MANY - MANY // 3, 0)


async def test_a_message_that_was_only_read_is_not_late(rabbit: RabbitMQ, amqp_url: str, topology_prefix: str) -> None:
    broker = Broker(amqp_url, topology_prefix)
    for delay in (6.0, 5.0, HOURS):
        await rabbit.park(Parked(Lane.UNITS, b"%d" % delay, delay, STATE))
    began = asyncio.get_running_loop().time()
    for _ in range(3):
        assert (await move(amqp_url, topology_prefix, b"mine"))[1] == 0
    async with patience(30):
        due = await broker.take("units", 2)
    assert sorted(it.body for it in due) == [b"5", b"6"]
    assert asyncio.get_running_loop().time() - began >= 4.0
    assert await move(amqp_url, topology_prefix, b"%d" % HOURS, dry_run=True) == (1, 1)


async def test_before_the_first_worker_there_is_nothing_to_move(amqp_url: str, topology_prefix: str) -> None:
    with pytest.raises(Unready, match="no worker has run"):
        await move(amqp_url, topology_prefix, b"mine")


def test_a_filter_of_messages_gets_why_they_wait() -> None:
    assert Waiting(Lane.UNITS, b"", "paused").because == "paused"


async def test_of_many_messages_a_few_are_held_at_once_and_each_is_told(
    rabbit: RabbitMQ, amqp_url: str, topology_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    held: list[int] = []

    class Rung(waiting._Rung):
        async def _next(self) -> Any:
            held.append(self._arrived.qsize())
            return await super()._next()

    monkeypatch.setattr(waiting, "_Rung", Rung)
    monkeypatch.setattr(waiting, "WINDOW", 20)
    for number in range(MANY):
        await rabbit.park(Parked(Lane.UNITS, b"%d" % number, HOURS, STATE))
    told: list[tuple[int, int]] = []
    async with waiting_messages(BrokerAddress(amqp_url), Topology(prefix=topology_prefix), SystemClock()) as messages:
        moved = await messages.move(
            lambda it: int(it.body) % 2 == 0, step=lambda it: told.append((it.read, it.waiting))
        )
    assert (moved.read, moved.matched, max(held) <= 2 * 20) == (MANY, MANY // 2, True)
    assert told == [(number, MANY) for number in range(1, MANY + 1)]


async def test_where_some_came_due_since_they_were_counted_the_broker_says_that_none_is_left(
    rabbit: RabbitMQ, amqp_url: str, topology_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted = waiting.depth_of

    async def more(*of: Any) -> int:
        return await counted(*of) + 5

    monkeypatch.setattr(waiting, "depth_of", more)
    monkeypatch.setattr(waiting, "QUIET_SECONDS", 0.01)
    for number in range(3):
        await rabbit.park(Parked(Lane.UNITS, b"mine %d" % number, HOURS, STATE))
    assert await move(amqp_url, topology_prefix, b"mine") == (3, 3)
