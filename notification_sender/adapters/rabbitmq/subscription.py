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


class Consumer:
    """One consumer of a channel: how many of its deliveries are in hand, and since when the broker owes it another."""

    def __init__(self, channel: DirectChannel, *, prefetch: int, take: Take, clock: Clock) -> None:
        self.channel = channel
        self.tag = ""
        self._prefetch = prefetch
        self._take = take
        self._clock = clock
        self.unsettled = 0
        self._quiet_since = clock.monotonic()

    @property
    def alive(self) -> bool:
        """Whether the channel is open and the broker has not cancelled the consumer. It may still have lost it."""
        return not self.channel.is_closed and self.tag in self.channel.consumers

    def is_silent(self, quiet: float) -> bool:
        """Whether the broker could have delivered for ``quiet`` seconds, and did not. Ask often: the time for which all
        that it may deliver is in hand does not count.
        """
        now = self._clock.monotonic()
        if self.unsettled >= self._prefetch:
            self._quiet_since = now
        return now - self._quiet_since >= quiet

    def receive(self, delivery: Delivery) -> None:
        self._quiet_since = self._clock.monotonic()
        self.unsettled += 1
        self.channel.unsettled += 1
        delivery.consumer = self
        self._take(delivery)


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
        self._consumer: Consumer | None = None
        self._former: set[str] = set()
        """Consumers that were replaced and may not be cancelled yet: the broker was slow."""
        self._prefetch = 0
        self._take: Take = lambda _: None
        self._turn = asyncio.Lock()

    @property
    def alive(self) -> bool:
        """Whether the channel is open and the broker has not cancelled the consumer. It may still have lost it."""
        return self._consumer is not None and self._consumer.alive

    def lost(self, quiet: float) -> bool:
        """Whether it is wanted, and not alive or silent: without a delivery for ``quiet`` seconds although its prefetch
        allows one.
        """
        consumer = self._consumer
        return self.wanted and (consumer is None or not consumer.alive or consumer.is_silent(quiet))

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
            former = self._consumer
            if former is None or not former.alive:
                await self._subscribe()
                return
            # A quorum queue fixes the prefetch when a consumer starts, so a new consumer replaces the old one.
            await former.channel.basic_qos(prefetch_count=prefetch)
            await self._consume(former.channel)
            self._former.add(former.tag)
            await self._cancel_former(former.channel)

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

    async def _leave(self, channel: DirectChannel) -> None:
        """Close it. With deliveries in hand, which would be requeued, only cancel: the last one that is settled closes
        it.
        """
        if not channel.is_closed:
            if channel.unsettled:
                await self._unsubscribe(channel)
            else:
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
            if self._channel is not None:
                await self._unsubscribe(self._channel)

    async def settle(self, tag: object, *, done: bool) -> None:
        """Ack, or requeue. A late settle is no error: the broker delivers again, and the ledger knows the message."""
        # Annotated in place of ``cast``, which is a call: every message passes here.
        delivery: Any = tag
        channel: DirectChannel = delivery.channel
        delivery.consumer.unsettled -= 1
        channel.unsettled -= 1
        try:
            if done:
                channel.ack(delivery.delivery_tag)
            else:
                # This waits only for a full write queue, which is never emptied when the connection dies.
                async with within(self._timeout):
                    # wait=False: waiting for the socket would add a turn of the event loop to every message.
                    await channel.basic_nack(delivery.delivery_tag, requeue=True, wait=False)
            if channel is not self._channel and not channel.unsettled:
                async with within(self._timeout):
                    await channel.close()
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
        await self._consume(channel)

    async def _consume(self, channel: DirectChannel) -> None:
        consumer = Consumer(channel, prefetch=self._prefetch, take=self._take, clock=self._clock)
        consumer.tag = await channel.consume(self._queue, consumer.receive)
        self._consumer = consumer

    async def _unsubscribe(self, channel: DirectChannel) -> None:
        if self._consumer is not None and self._consumer.alive:
            await channel.basic_cancel(self._consumer.tag)
            await self._cancel_former(channel)
        self._consumer = None

    async def _cancel_former(self, channel: Channel) -> None:
        for tag in [*self._former]:
            await channel.basic_cancel(tag)
            self._former.discard(tag)


def _why_closed(channel: Channel) -> BaseException | None:
    closing = channel.closing
    return closing.exception() if closing.done() and not closing.cancelled() else None
