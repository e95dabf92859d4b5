"""The messages on the delay ladder, for operators: each is read, and then stays, or moves to its lane now.

A rung is read as a whole while its messages are unacknowledged at the broker. This process holds ``WINDOW`` of them
at once, however many there are. What stays returns to its place when the channel closes, and keeps its time: RabbitMQ
fixed it when the message came.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.commanding import STEP_TIMEOUT, depth_of, headers_of, publish
from notification_sender.adapters.rabbitmq.connection import BrokerConnection, within
from notification_sender.adapters.rabbitmq.delay_ladder import RUNGS
from notification_sender.adapters.rabbitmq.headers import DUE, WAITS_FOR
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.ports.broker import Lane
from notification_sender.ports.clock import Clock
from notification_sender.telemetry.steps import reason_of

WINDOW = 500
"""Messages that one consumer takes, and that this process holds at once. The next consumer takes the next ones."""

QUIET_SECONDS = 0.5
"""Seconds without a message after which the broker is asked whether the rung has any left."""

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
    waiting: int = 0
    """Messages on the ladder when it began: as many are read, or fewer where some come due meanwhile."""


Step = Callable[[Moved], None]
"""Called after each message that was read."""


def no_step(_: Moved) -> None:
    """Nobody watches."""


class WaitingMessages:
    """The delay ladder. Messages that are parked meanwhile are not read."""

    def __init__(self, link: BrokerConnection, topology: Topology) -> None:
        self._link = link
        self._topology = topology

    async def move(self, wanted: Callable[[Waiting], bool], *, dry_run: bool = False, step: Step = no_step) -> Moved:
        """Move every wanted message to its lane; with ``dry_run`` only count them.

        Each is published and confirmed before it leaves the ladder. A message that is cut off in between exists twice,
        under the same number of its attempt, and the ledger lets one of the two through.

        Raises:
            Unready: the broker is away, or has no such queue. Some messages may be moved; a repetition does no harm.
        """
        rungs = [self._topology.rung(number) for number in reversed(range(RUNGS))]
        async with self._link.spare_channel() as channel:
            moved = Moved(waiting=sum([await depth_of(channel, it) for it in rungs]))
        # From the top: a message that falls to a lower rung meanwhile is met there.
        for queue in rungs:
            await self._read_rung(queue, wanted, moved, dry_run=dry_run, step=step)
        return moved

    async def _read_rung(
        self, queue: str, wanted: Callable[[Waiting], bool], moved: Moved, *, dry_run: bool, step: Step
    ) -> None:
        async with self._link.spare_channel(confirms=True) as channel:
            rung = _Rung(channel, queue)
            async for message in rung.messages(await depth_of(channel, queue)):
                moved.read += 1
                waiting = _waiting(message)
                if waiting is not None and wanted(waiting):
                    moved.matched += 1
                    if not dry_run:
                        await rung.move(message, self._topology.queue(waiting.lane))
                step(moved)
            await rung.finish()


class _Rung:
    """One queue of the ladder, on a channel of its own. Moves run beside the reading."""

    def __init__(self, channel: Channel, queue: str) -> None:
        self._channel = channel
        self._queue = queue
        self._arrived: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
        self._moving: set[asyncio.Task[None]] = set()
        self._moved: list[int] = []
        """Delivery tags of what is in its lane, and still here as well."""

    async def messages(self, count: int) -> AsyncIterator[DeliveredMessage]:
        """So many messages, the oldest first; fewer if some come due meanwhile."""
        while count > 0:
            window = min(count, WINDOW)
            count -= window
            tag = await self._consume(window)
            for _ in range(window):
                message = await self._next()
                if message is None:
                    return
                yield message
            # First: a message that is acknowledged would let it take one more.
            async with within(STEP_TIMEOUT):
                await self._channel.basic_cancel(tag)
            await self.finish()

    async def _consume(self, window: int) -> str:
        async with within(STEP_TIMEOUT):
            await self._channel.basic_qos(prefetch_count=window)
            consuming = await self._channel.basic_consume(self._queue, self._arrived.put)
        return str(consuming.consumer_tag)

    async def _next(self) -> DeliveredMessage | None:
        """None: the rung has none left, by the word of the broker."""
        try:
            return await asyncio.wait_for(self._arrived.get(), QUIET_SECONDS)
        except TimeoutError:
            pass
        # The answer comes after all that was delivered before it.
        async with within(STEP_TIMEOUT):
            got = await self._channel.basic_get(self._queue)
        if not isinstance(got.delivery, Basic.GetEmpty):
            return got
        return None if self._arrived.empty() else self._arrived.get_nowait()

    async def move(self, message: DeliveredMessage, queue: str) -> None:
        """Publish it to ``queue``, beside ``PUBLISHED_AT_ONCE`` others at most. Raises what an earlier one raised."""
        if len(self._moving) >= PUBLISHED_AT_ONCE:
            await self._settle(asyncio.FIRST_COMPLETED)
        self._moving.add(asyncio.create_task(self._publish(message, queue)))

    async def _publish(self, message: DeliveredMessage, queue: str) -> None:
        await publish(self._channel, queue, message.body, headers_of(message), left_out=(DUE,))
        self._moved.append(message.delivery_tag or 0)

    async def finish(self) -> None:
        """Wait until every message is moved, and take them off the ladder. Raises as ``move``."""
        await self._settle(asyncio.ALL_COMPLETED)
        for tag in self._moved:
            await self._channel.basic_ack(tag)
        self._moved.clear()

    async def _settle(self, when: str) -> None:
        if not self._moving:
            return
        async with within(STEP_TIMEOUT):
            done, self._moving = await asyncio.wait(self._moving, return_when=when)
            for task in done:
                task.result()


@asynccontextmanager
async def waiting_messages(address: BrokerAddress, topology: Topology, clock: Clock) -> AsyncIterator[WaitingMessages]:
    """Connect for the length of the block.

    Raises:
        ConfigurationFault: the broker refuses us, or its certificate is not trusted.
        Unready: the broker cannot be reached; the text says why.
    """
    link = BrokerConnection(address=address, purpose="waiting messages", clock=clock)
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
    step = headers_of(message).get(WAITS_FOR)
    return Waiting(Lane(name), message.body, reason_of(step) if isinstance(step, str) else "")
