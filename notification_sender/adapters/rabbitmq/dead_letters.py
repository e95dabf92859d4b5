"""The dead letters, for operators: each is read, and then stays, moves back to its lane, or is removed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, cast

from aio_pika.exceptions import ChannelNotFoundEntity, PublishError
from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from notification_sender.adapters.rabbitmq.connection import BrokerConnection, within
from notification_sender.adapters.rabbitmq.headers import DETAIL, FIRST_SEEN, REASON, STAGE, parse_first_seen
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.model.errors import Unready
from notification_sender.ports.broker import Lane
from notification_sender.ports.clock import Clock

STEP_TIMEOUT = 10.0
"""Seconds for one step."""

PERSISTENT_MODE = 2

BROKER_HEADERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count")
"""Prefixes of headers that RabbitMQ writes. On a moved message it would read them as that message's own history."""


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
    """The dead-letter queue. Letters that were read stay unacked, and return to their place when the channel closes."""

    def __init__(self, channel: Channel, topology: Topology, clock: Clock) -> None:
        self._channel = channel
        self._topology = topology
        self._clock = clock

    async def letters(self) -> AsyncIterator[Letter]:
        """Read all letters, the oldest first. Letters that arrive meanwhile are not read.

        Raises:
            Unready: the broker is away, or has no such queue.
        """
        for _ in range(await self.count()):
            async with within(STEP_TIMEOUT):
                message = await self._channel.basic_get(self._topology.dead)
            if isinstance(message.delivery, Basic.GetEmpty):
                return
            yield self._letter(message)

    async def move(self, letter: Letter, lane: Lane) -> None:
        """Move a letter back to ``lane``, with its headers. If the ack is lost, the letter exists twice; replays are
        counted, so that it is delivered once.

        Raises:
            Unready: the broker is away, or has no such queue.
        """
        queue, headers = self._topology.queue(lane), _headers(letter.message)
        properties = Basic.Properties(
            headers={name: it for name, it in headers.items() if not name.startswith(BROKER_HEADERS)},
            content_type="application/json",
            delivery_mode=PERSISTENT_MODE,
        )
        async with within(STEP_TIMEOUT):
            try:
                await self._channel.basic_publish(
                    letter.body, exchange="", routing_key=queue, properties=properties, mandatory=True
                )
            except PublishError as fault:
                raise Unready(f"RabbitMQ has no queue {queue!r}") from fault
        await self.take_away(letter)

    async def take_away(self, letter: Letter) -> None:
        """Remove a letter from the queue.

        Raises:
            Unready: the broker is away.
        """
        async with within(STEP_TIMEOUT):
            await self._channel.basic_ack(letter.message.delivery_tag or 0)

    async def count(self) -> int:
        """The letters that nobody else has read and holds.

        Raises:
            Unready: the broker is away, or has no such queue.
        """
        async with within(STEP_TIMEOUT):
            try:
                declared = await self._channel.queue_declare(self._topology.dead, passive=True)
            except ChannelNotFoundEntity:
                raise Unready(
                    f"RabbitMQ has no queue {self._topology.dead!r}: no worker has run with this NS_AMQP_URL and "
                    "NS_TOPOLOGY_PREFIX yet; check both"
                ) from None
        return int(declared.message_count or 0)

    def _letter(self, message: DeliveredMessage) -> Letter:
        headers = _headers(message)
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
async def dead_queue(url: str, topology: Topology, clock: Clock) -> AsyncIterator[DeadQueue]:
    """Connect for the length of the block.

    Raises:
        ConfigurationFault: the broker refuses us, or its certificate is not trusted.
        Unready: the broker cannot be reached; the text says why.
    """
    link = BrokerConnection(url=url, purpose="dead letters", clock=clock)
    try:
        await link.open_once()
        yield DeadQueue(await link.channel(confirms=True), topology, clock)
    finally:
        await link.close()


def _headers(message: DeliveredMessage) -> dict[str, Any]:
    return cast("dict[str, Any]", message.header.properties.headers or {})
