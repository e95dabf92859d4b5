"""The dead letters, for operators: each is read, and then stays, moves back to its lane, or is removed."""

import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.commanding import STEP_TIMEOUT, depth_of, headers_of, publish
from notification_sender.adapters.rabbitmq.connection import BrokerConnection, within
from notification_sender.adapters.rabbitmq.headers import (
    DETAIL,
    FIRST_SEEN,
    REASON,
    REPLAYED,
    STAGE,
    parse_first_seen,
)
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.ports.broker import Lane
from notification_sender.ports.clock import Clock

HOLD_SECONDS = 240.0
"""Seconds for which letters are kept unacked. RabbitMQ's ``consumer_timeout`` is 30 minutes by default."""

RETURN_SECONDS = 0.05
"""Seconds between two looks whether letters are back in the queue."""


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter. A text is empty where its header is missing."""

    body: bytes
    reason: str
    """The ``x-reason``; for a message that RabbitMQ dead-lettered, RabbitMQ's word (``delivery_limit``)."""
    detail: str
    stage: str
    first_seen: float
    """Epoch seconds; the current time where the header is missing."""
    message: DeliveredMessage
    """The delivery, for the ack."""


class DeadQueue:
    """The dead-letter queue. A read letter stays unacked, and returns to its place when the channel closes.

    RabbitMQ closes a channel that keeps a message for ``consumer_timeout``. So after ``HOLD_SECONDS`` another one is
    opened, and those that stay are passed over on it.
    """

    def __init__(self, link: BrokerConnection, topology: Topology, clock: Clock) -> None:
        self._link = link
        self._topology = topology
        self._clock = clock
        self._opened: Channel | None = None
        self._since = self._turn = -math.inf
        self._stay = 0
        """Letters that were read, and are neither moved nor removed."""

    async def letters(self) -> AsyncIterator[Letter]:
        """Read all letters, the oldest first. Letters that arrive meanwhile are not read.

        Raises:
            Unready: the broker is away, or has no such queue.
        """
        for _ in range(await self.count()):
            await self._wait_for_turn()
            message = await self._get()
            if message is None:
                return
            self._stay += 1
            yield self._letter(message)

    def rest(self, seconds: float) -> None:
        """Read the next letter so many seconds after the turn of this one."""
        self._turn = max(self._turn, self._clock.monotonic()) + seconds

    async def replace(self, letter: Letter, body: bytes) -> None:
        """Put a letter with the same headers and this body in the place of a letter, behind all others.

        Raises:
            Unready: the broker is away.
        """
        await publish(await self._channel(), self._topology.dead, body, headers_of(letter.message))
        await self.take_away(letter)

    async def send(self, body: bytes, lane: Lane, *, reason: str, replays: int) -> None:
        """Publish a message to ``lane`` as if a letter with this ``x-reason`` was moved back.

        Raises:
            Unready: as ``move``.
        """
        headers = {REASON: reason, REPLAYED: replays}
        await publish(await self._channel(), self._topology.queue(lane), body, headers)

    async def move(self, letter: Letter, lane: Lane) -> None:
        """Move a letter back to ``lane``, with its headers. If the ack is lost, the letter exists twice; replays are
        counted, so that it is delivered once.

        Raises:
            Unready: the broker is away, or has no such queue.
        """
        await publish(await self._channel(), self._topology.queue(lane), letter.body, headers_of(letter.message))
        await self.take_away(letter)

    async def take_away(self, letter: Letter) -> None:
        """Remove a letter from the queue.

        Raises:
            Unready: the broker is away.
        """
        channel = await self._channel()
        async with within(STEP_TIMEOUT):
            await channel.basic_ack(letter.message.delivery_tag or 0)
        self._stay -= 1

    async def count(self) -> int:
        """The letters that nobody else has read and holds.

        Raises:
            Unready: the broker is away, or has no such queue.
        """
        return await depth_of(await self._channel(), self._topology.dead)

    async def _wait_for_turn(self) -> None:
        now = self._clock.monotonic()
        wait = max(self._turn - now, 0.0)
        renewed = self._opened is not None and now + wait - self._since > HOLD_SECONDS
        if renewed:
            await self._close()
        if wait:
            await self._clock.sleep(wait)
        if renewed:
            await self._pass_over(self._stay)

    async def _pass_over(self, number: int) -> None:
        """Read so many letters once more. What the channel before had read is back a moment after its end."""
        async with within(STEP_TIMEOUT):
            while await self.count() < number:
                await self._clock.sleep(RETURN_SECONDS)
        for _ in range(number):
            if await self._get() is None:
                return

    async def _get(self) -> DeliveredMessage | None:
        channel = await self._channel()
        async with within(STEP_TIMEOUT):
            message = await channel.basic_get(self._topology.dead)
        return None if isinstance(message.delivery, Basic.GetEmpty) else message

    async def _channel(self) -> Channel:
        if self._opened is None:
            self._opened, self._since = await self._link.channel(confirms=True), self._clock.monotonic()
        return self._opened

    async def _close(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None and not opened.is_closed:
            await opened.close()

    def _letter(self, message: DeliveredMessage) -> Letter:
        headers = headers_of(message)
        reason = headers.get(REASON) or headers.get("x-first-death-reason") or ""
        return Letter(
            body=message.body,
            reason=str(reason),
            detail=str(headers.get(DETAIL) or ""),
            stage=str(headers.get(STAGE) or ""),
            first_seen=parse_first_seen(headers.get(FIRST_SEEN), self._clock.now()),
            message=message,
        )


@asynccontextmanager
async def dead_queue(address: BrokerAddress, topology: Topology, clock: Clock) -> AsyncIterator[DeadQueue]:
    """Connect for the length of the block.

    Raises:
        ConfigurationFault: the broker refuses us, or its certificate is not trusted.
        Unready: the broker cannot be reached; the text says why.
    """
    link = BrokerConnection(address=address, purpose="dead letters", clock=clock)
    try:
        await link.open_once()
        yield DeadQueue(link, topology, clock)
    finally:
        await link.close()
