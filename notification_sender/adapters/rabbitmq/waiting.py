"""The messages on the delay ladder, for operators: each is read, and then stays, or moves to its lane now.

A rung is read as a whole while its messages are unacknowledged. What stays returns to its place when the channel
closes, and keeps its time: RabbitMQ fixed it when the message came.
"""

import asyncio
import math
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from aio_pika.exceptions import ChannelNotFoundEntity, PublishError
from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from notification_sender.adapters.rabbitmq.connection import BrokerConnection, within
from notification_sender.adapters.rabbitmq.dead_letters import BROKER_HEADERS, PERSISTENT_MODE, STEP_TIMEOUT
from notification_sender.adapters.rabbitmq.delay_ladder import RUNGS
from notification_sender.adapters.rabbitmq.headers import DUE, WAITS_FOR
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.model.errors import Unready
from notification_sender.ports.broker import Lane
from notification_sender.ports.clock import Clock
from notification_sender.telemetry.steps import reason_of

CREDIT = 60_000
"""Messages that one consumer may hold unacknowledged: AMQP counts them in 16 bits."""

SILENCE_SECONDS = 2.0
"""Seconds without a message after which a rung is read: some came due since they were counted."""

PUBLISHED_AT_ONCE = 100
"""Messages that are moved at the same time, each with its confirm."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """One message on the ladder."""

    lane: Lane
    body: bytes
    because: str
    """Why it waits: the reason of its deferral, or ``failed``. Empty: an earlier version parked it."""


@dataclass(slots=True)
class Moved:
    """How many messages were read, and how many of them matched."""

    read: int = 0
    matched: int = 0


class WaitingMessages:
    """The delay ladder. Messages that are parked meanwhile are not read."""

    def __init__(self, link: BrokerConnection, topology: Topology) -> None:
        self._link = link
        self._topology = topology

    async def move(self, wanted: Callable[[Waiting], bool], *, dry_run: bool = False) -> Moved:
        """Move every wanted message to its lane; with ``dry_run`` only count them.

        Each is published and confirmed before it leaves the ladder. A message that is cut off in between exists twice,
        under the same number of its attempt, and the ledger lets one of the two through.

        Raises:
            Unready: the broker is away, or has no such queue. Some messages may be moved; a repetition does no harm.
        """
        moved = Moved()
        # From the top: a message that falls to a lower rung meanwhile is met there.
        for number in reversed(range(RUNGS)):
            await self._read_rung(self._topology.rung(number), wanted, moved, dry_run=dry_run)
        return moved

    async def _read_rung(self, queue: str, wanted: Callable[[Waiting], bool], moved: Moved, *, dry_run: bool) -> None:
        async with self._link.spare_channel(confirms=True) as channel:
            rung = _Rung(channel, queue)
            count = await rung.count()
            async for message in rung.messages(count):
                moved.read += 1
                waiting = _waiting(message)
                if waiting is None or not wanted(waiting):
                    continue
                moved.matched += 1
                if not dry_run:
                    await rung.start(self._move(channel, message, waiting))
            await rung.finish()

    async def _move(self, channel: Channel, message: DeliveredMessage, waiting: Waiting) -> None:
        queue, headers = self._topology.queue(waiting.lane), _headers(message)
        left_out = (*BROKER_HEADERS, DUE)
        properties = Basic.Properties(
            headers={name: it for name, it in headers.items() if not name.startswith(left_out)},
            content_type="application/json",
            delivery_mode=PERSISTENT_MODE,
        )
        try:
            await channel.basic_publish(
                message.body, exchange="", routing_key=queue, properties=properties, mandatory=True
            )
        except PublishError as fault:
            raise Unready(f"RabbitMQ has no queue {queue!r}") from fault
        await channel.basic_ack(message.delivery_tag or 0)


class _Rung:
    """One queue of the ladder, on a channel of its own. Moves run beside the reading."""

    def __init__(self, channel: Channel, queue: str) -> None:
        self._channel = channel
        self._queue = queue
        self._arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        self._moving: set[asyncio.Task[None]] = set()

    async def count(self) -> int:
        async with within(STEP_TIMEOUT):
            try:
                declared = await self._channel.queue_declare(self._queue, passive=True)
            except ChannelNotFoundEntity:
                raise Unready(
                    f"RabbitMQ has no queue {self._queue!r}: no worker has run with this NS_AMQP_URL and "
                    "NS_TOPOLOGY_PREFIX yet; check both"
                ) from None
        return int(declared.message_count or 0)

    async def messages(self, count: int) -> AsyncIterator[DeliveredMessage]:
        """So many messages, the oldest first; fewer if some come due meanwhile."""
        if not count:
            return
        async with within(STEP_TIMEOUT):
            await self._channel.basic_qos(prefetch_count=CREDIT)
            for _ in range(math.ceil(count / CREDIT)):
                await self._channel.basic_consume(self._queue, self._arrived.put)
        for _ in range(count):
            try:
                yield await asyncio.wait_for(self._arrived.get(), SILENCE_SECONDS)
            except TimeoutError:
                return

    async def start(self, move: Any) -> None:
        """Run ``move``, beside ``PUBLISHED_AT_ONCE`` others at most. Raises what an earlier one raised."""
        if len(self._moving) >= PUBLISHED_AT_ONCE:
            await self._settle(asyncio.FIRST_COMPLETED)
        self._moving.add(asyncio.create_task(move))

    async def finish(self) -> None:
        """Wait until every message is moved. Raises as ``start``."""
        await self._settle(asyncio.ALL_COMPLETED)

    async def _settle(self, when: str) -> None:
        if not self._moving:
            return
        async with within(STEP_TIMEOUT):
            done, self._moving = await asyncio.wait(self._moving, return_when=when)
            for task in done:
                task.result()


@asynccontextmanager
async def waiting_messages(url: str, topology: Topology, clock: Clock) -> AsyncIterator[WaitingMessages]:
    """Connect for the length of the block.

    Raises:
        ConfigurationFault: the broker refuses us, or its certificate is not trusted.
        Unready: the broker cannot be reached; the text says why.
    """
    link = BrokerConnection(url=url, purpose="waiting messages", clock=clock)
    try:
        await link.open_once()
        yield WaitingMessages(link, topology)
    finally:
        await link.close()


def _waiting(message: DeliveredMessage) -> Waiting | None:
    """None: no message of ours, it has no lane."""
    name = str(message.routing_key).rpartition(".")[2]
    if name not in set(Lane):
        return None
    step = _headers(message).get(WAITS_FOR)
    return Waiting(Lane(name), message.body, reason_of(step) if isinstance(step, str) else "")


def _headers(message: DeliveredMessage) -> dict[str, Any]:
    return cast("dict[str, Any]", message.header.properties.headers or {})
