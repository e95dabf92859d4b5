"""The channel on which we publish: every message confirmed, and another channel where the broker has refused one."""

import asyncio
from dataclasses import dataclass

import structlog
from aio_pika import Message
from aio_pika.abc import AbstractRobustChannel
from aio_pika.exceptions import DeliveryError, PublishError

from notification_sender.adapters.amqp import RETRY, Link, within
from notification_sender.adapters.topology import Address
from notification_sender.model.errors import Unready
from notification_sender.ports import Clock

_log = structlog.get_logger()


@dataclass(slots=True, eq=False)
class _Way:
    """One channel, opened then (on the monotonic clock), and how many publishes are not answered yet."""

    channel: AbstractRobustChannel
    since: float
    under_way: int = 0


class Outgoing:
    """A channel that was refused by a full queue waits to be told that there is room, and refuses by itself until then.
    Nobody tells it when the limit is lifted instead (RabbitMQ 3.10): it would refuse for as long as it lives.
    """

    def __init__(self, *, link: Link, clock: Clock, timeout: float) -> None:
        self._link = link
        self._clock = clock
        self._timeout = timeout
        self._way: _Way | None = None
        self._turn = asyncio.Lock()

    @property
    def is_open(self) -> bool:
        return self._way is not None and not self._way.channel.is_closed

    async def open(self) -> None:
        """Once; after that it comes back with its connection.

        Raises:
            Unready: the broker is away.
        """
        async with within(self._timeout):
            channel = self._link.connection.channel(publisher_confirms=True, on_return_raises=True)
            await channel.initialize()
        self._way = _Way(channel, self._clock.monotonic())

    async def publish(self, message: Message, address: Address) -> None:
        """Return when the broker has it. Not limited in time.

        Raises:
            Unready: the broker is away.
            PublishError, ChannelNotFoundEntity: no queue, or no exchange.
            AMQPError: it was refused, or the connection was lost; it may be there nevertheless.
        """
        way = self._way
        if way is None or way.channel.is_closed:
            raise Unready("RabbitMQ is away")
        way.under_way += 1
        try:
            exchange = await way.channel.get_exchange(address.exchange, ensure=False)
            await exchange.publish(message, address.routing_key, mandatory=True)
        except PublishError:
            raise
        except DeliveryError:
            await self._leave(way)
            raise
        finally:
            way.under_way -= 1
            await self._close_left(way)

    async def _leave(self, way: _Way) -> None:
        """For a new one, of which there is one a second at most: a queue that is full for hours refuses on each."""
        async with self._turn:
            if way is self._way and self._clock.monotonic() - way.since >= RETRY:
                await self.open()

    async def _close_left(self, way: _Way) -> None:
        """Not before all on it are answered: what it confirms must not be published again."""
        if way is self._way or way.under_way:
            return
        try:
            async with within(self._timeout):
                await way.channel.close()
        except Unready as fault:
            _log.debug("channel.closed_late", error=str(fault))
