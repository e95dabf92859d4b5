"""The publish channel: every message is confirmed, and a channel that refused a message is replaced."""

import asyncio
import re
from dataclasses import dataclass

import structlog
from aio_pika import Message
from aio_pika.abc import AbstractRobustChannel
from aio_pika.exceptions import ChannelPreconditionFailed, DeliveryError, PublishError

from notification_sender.adapters.rabbitmq.connection import RECONNECT_SECONDS, BrokerConnection, within
from notification_sender.adapters.rabbitmq.topology import Address, said
from notification_sender.model.errors import TooLarge, Unready
from notification_sender.ports.clock import Clock

_SIZE = re.compile(r"message size \d+ is larger than (?:configured )?max size (\d+)")
_log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Way:
    """One channel. ``since``: when it was opened (monotonic). ``unconfirmed``: publishes without a reply so far."""

    channel: AbstractRobustChannel
    since: float
    unconfirmed: int = 0


class ConfirmingPublisher:
    """Publishes with confirms, and replaces a channel after a refusal.

    When a queue is full, the broker's side of the channel refuses every publish until the queue reports room. It
    reports nothing when an operator lifts the limit instead (RabbitMQ 3.10): the channel would refuse for ever.

    The size limit is unknown until the broker refuses a message, and a refusal closes the channel with all publishes in
    transit. So a message that is larger than any before goes on a channel of its own.
    """

    def __init__(self, *, link: BrokerConnection, clock: Clock, timeout: float) -> None:
        self._link = link
        self._clock = clock
        self._timeout = timeout
        self._way: _Way | None = None
        self._turn = asyncio.Lock()
        self._taken = 0
        """Bytes of the largest message that this broker has accepted."""
        self._trying = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._way is not None and not self._way.channel.is_closed

    async def open(self) -> None:
        """Open the channel. Call it once: the channel is reopened with its connection.

        Raises:
            Unready: the broker is away.
        """
        async with within(self._timeout):
            channel = self._link.connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.initialize()
        self._way = _Way(channel, self._clock.monotonic())

    def forget(self) -> None:
        """Forget the accepted size: after a reconnection it may be another broker, with a smaller limit."""
        self._taken = 0

    async def publish(self, message: Message, address: Address) -> None:
        """Publish, and return when the broker has confirmed the message. Without a time limit.

        Raises:
            TooLarge: the broker takes no message of this size.
            Unready: the broker is away.
            PublishError, ChannelNotFoundEntity: there is no such queue, or no such exchange.
            AMQPError: refused, or the connection was lost; the broker may have the message nevertheless.
        """
        size = len(message.body)
        try:
            if size > self._taken:
                async with self._trying:
                    if size > self._taken:
                        await self._try(message, address)
                        self._taken = size
                        return
            await self._publish(message, address)
        except ChannelPreconditionFailed as fault:
            limit = largest(fault)
            if limit is None or size <= limit:
                raise
            self._taken = min(self._taken, limit)
            raise TooLarge(f"the message has {size} bytes, RabbitMQ takes {limit} at most (max_message_size)") from None

    async def _try(self, message: Message, address: Address) -> None:
        async with self._link.spare_channel(confirms=True) as channel:
            await channel.basic_publish(
                message.body,
                exchange=address.exchange,
                routing_key=address.routing_key,
                properties=message.properties,
                mandatory=True,
            )

    async def _publish(self, message: Message, address: Address) -> None:
        way = self._way
        if way is None or way.channel.is_closed:
            raise Unready("RabbitMQ is not connected")
        way.unconfirmed += 1
        try:
            exchange = await way.channel.get_exchange(address.exchange, ensure=False)
            await exchange.publish(message, address.routing_key, mandatory=True)
        except PublishError:
            raise
        except DeliveryError:
            await self._replace(way)
            raise
        finally:
            way.unconfirmed -= 1
            await self._close_replaced(way)

    async def _replace(self, way: _Way) -> None:
        """Open a new channel, one per second at most: a queue that is full for hours refuses on each."""
        async with self._turn:
            if way is self._way and self._clock.monotonic() - way.since >= RECONNECT_SECONDS:
                await self.open()

    async def _close_replaced(self, way: _Way) -> None:
        """Close a replaced channel after its last confirm: a lost confirm would cause a second publish."""
        if way is self._way or way.unconfirmed:
            return
        try:
            async with within(self._timeout):
                await way.channel.close()
        except Unready as fault:
            _log.debug("channel.close_failed", error=str(fault))


def largest(fault: ChannelPreconditionFailed) -> int | None:
    """The broker's size limit in bytes, if it refused a message for its size."""
    found = _SIZE.search(said(fault))
    return int(found[1]) if found else None
