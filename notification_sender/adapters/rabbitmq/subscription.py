"""The consumer of one queue in RabbitMQ, and whether the broker still knows it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

import structlog
from aio_pika.exceptions import CONNECTION_EXCEPTIONS, AMQPChannelError
from aiormq import Channel

from notification_sender.adapters.rabbitmq.connection import BrokerConnection, within
from notification_sender.adapters.rabbitmq.deliveries import Delivery, Take
from notification_sender.adapters.rabbitmq.fast_path import DirectChannel
from notification_sender.model.errors import Unready
from notification_sender.ports.clock import Clock

_log = structlog.get_logger()


class Subscription:
    """The consumer of one queue. Call ``renew`` whenever it is ``lost``: not ``alive``, or silent for too long.

    The library's own consumers are restored automatically. But they cost a second task per message, do not report
    whether they consume, and stay lost when a queue is deleted and declared again at once.
    """

    def __init__(
        self,
        *,
        link: BrokerConnection,
        queue: str,
        declare: Callable[[Channel], Awaitable[None]],
        clock: Clock,
        timeout: float,
    ) -> None:
        """``declare`` declares the queue and its bindings."""
        self.wanted = False
        self._link = link
        self._queue = queue
        self._declare = declare
        self._clock = clock
        self._timeout = timeout
        self._channel: DirectChannel | None = None
        self._tag: str | None = None
        self._former: set[str] = set()
        """Consumers that were replaced and may not be cancelled yet: the broker was slow."""
        self._prefetch = 0
        self._take: Take | None = None
        self._unsettled = 0
        self._last_heard_at = clock.monotonic()
        self._turn = asyncio.Lock()

    @property
    def alive(self) -> bool:
        """Whether the channel is open and the broker has not cancelled the consumer. It may still have lost it."""
        channel = self._channel
        return channel is not None and not channel.is_closed and self._tag in channel.consumers

    def lost(self, quiet: float) -> bool:
        """Whether it is wanted, and not alive or without a delivery for ``quiet`` seconds while none is unsettled."""
        forgotten = self._unsettled == 0 and self._clock.monotonic() - self._last_heard_at >= quiet
        return self.wanted and (forgotten or not self.alive)

    def want(self, prefetch: int, take: Take) -> None:
        """Request the consumer: it counts as ``lost`` until it is renewed."""
        self._prefetch, self._take, self.wanted = prefetch, take, True

    async def start(self, prefetch: int, take: Take) -> None:
        """Subscribe. If subscribed already, change the ``prefetch`` without a gap in consumption.

        Raises:
            Unready: the broker is away.
        """
        self.want(prefetch, take)
        async with self._turn, within(self._timeout):
            channel, tag = self._channel, self._tag
            if channel is None or tag is None or not self.alive:
                await self._subscribe()
                return
            # A quorum queue fixes the prefetch when a consumer starts, so a new consumer replaces the old one.
            await channel.basic_qos(prefetch_count=prefetch)
            self._tag = await channel.consume(self._queue, self._receive)
            self._former.add(tag)
            await self._cancel_former(channel)

    async def renew(self, quiet: float) -> None:
        """Subscribe again, on a new channel: the old channel keeps the broker's state of the old queue.

        Raises:
            Unready: the broker is away.
        """
        async with self._turn, within(self._timeout):
            # Checked under the lock: another task may just have subscribed, and a second time would redeliver messages.
            if self.lost(quiet):
                channel, self._channel = self._channel, None
                if channel is not None:
                    await self._leave(channel)
                await self._subscribe()

    async def _leave(self, channel: Channel) -> None:
        if not channel.is_closed:
            await channel.close()
        elif isinstance(why := _why_closed(channel), AMQPChannelError):
            # The connection is open, so the broker closed the channel for a fault, such as a missed ack timeout.
            _log.warning("lane.closed", queue=self._queue, error=str(why))

    async def stop(self) -> None:
        """Stop consuming. The channel stays open, to settle the deliveries in hand.

        Raises:
            Unready: the broker is away; it has no such consumer when it returns.
        """
        self.wanted = False
        async with self._turn, within(self._timeout):
            await self._unsubscribe()

    async def settle(self, tag: object, *, done: bool) -> None:
        """Ack, or requeue. A late settle is no error: the broker delivers again, and the ledger knows the message."""
        self._unsettled -= 1
        # Annotated in place of ``cast``, which is a call: every message passes here.
        delivery: Any = tag
        channel: DirectChannel = delivery.channel
        try:
            if done:
                channel.ack(delivery.delivery_tag)
                return
            # This waits only for a full write queue, which is never emptied when the connection dies.
            async with within(self._timeout):
                # wait=False: waiting for the socket would add a turn of the event loop to every message.
                await channel.basic_nack(delivery.delivery_tag, requeue=True, wait=False)
        except (Unready, *CONNECTION_EXCEPTIONS) as fault:
            _log.debug("ack.late", queue=self._queue, error=repr(fault))

    async def _subscribe(self) -> None:
        if self._channel is None or self._channel.is_closed:
            self._channel = cast("DirectChannel", await self._link.channel())
            self._former.clear()
        channel = self._channel
        await channel.basic_qos(prefetch_count=self._prefetch)
        # An operator may have deleted the queue, and with it its binding to the delay ladder.
        await self._declare(channel)
        self._tag = await channel.consume(self._queue, self._receive)
        self._last_heard_at = self._clock.monotonic()

    async def _unsubscribe(self) -> None:
        if self.alive and self._channel is not None and self._tag is not None:
            await self._channel.basic_cancel(self._tag)
            await self._cancel_former(self._channel)
        self._tag = None

    async def _cancel_former(self, channel: Channel) -> None:
        for tag in [*self._former]:
            await channel.basic_cancel(tag)
            self._former.discard(tag)

    def _receive(self, delivery: Delivery) -> None:
        self._last_heard_at = self._clock.monotonic()
        self._unsettled += 1
        if self._take is not None:
            self._take(delivery)


def _why_closed(channel: Channel) -> BaseException | None:
    closing = channel.closing
    return closing.exception() if closing.done() and not closing.cancelled() else None
