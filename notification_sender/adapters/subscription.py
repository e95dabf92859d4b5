"""One lane's consumer in RabbitMQ, and whether the broker still knows it."""

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from typing import cast

import structlog
from aio_pika.exceptions import CONNECTION_EXCEPTIONS
from aiormq import Channel
from aiormq.abc import DeliveredMessage

from notification_sender.adapters.amqp import Link, within
from notification_sender.adapters.messages import envelope
from notification_sender.adapters.topology import Topology
from notification_sender.model.errors import Unready
from notification_sender.ports import Clock, Envelope, Lane

_log = structlog.get_logger()


class Subscription:
    """``renew`` whenever it is ``lost``: not ``alive``, or quiet for too long.

    The library's own consumers would be restored by themselves, but cost a second task for every message, do not
    say whether they consume, and are forgotten for ever with a queue that is made anew at once.
    """

    def __init__(self, *, link: Link, topology: Topology, lane: Lane, clock: Clock, timeout: float) -> None:
        self.wanted = False
        self._link = link
        self._topology = topology
        self._lane = lane
        self._clock = clock
        self._timeout = timeout
        self._channel: Channel | None = None
        self._tag: str | None = None
        self._prefetch = 0
        self._take: Callable[[Envelope], None] | None = None
        self._unsettled = 0
        self._heard = clock.monotonic()
        self._turn = asyncio.Lock()

    @property
    def alive(self) -> bool:
        """The channel is open and the broker has not cancelled us. It may still have forgotten us."""
        channel = self._channel
        return channel is not None and not channel.is_closed and self._tag in channel.consumers

    def lost(self, quiet: float) -> bool:
        """It is wanted and not alive, or nothing came for ``quiet`` seconds while nothing is in hand."""
        forgotten = self._unsettled == 0 and self._clock.monotonic() - self._heard >= quiet
        return self.wanted and (forgotten or not self.alive)

    async def start(self, prefetch: int, take: Callable[[Envelope], None]) -> None:
        """Subscribe.

        Raises:
            Unready: the broker is away.
        """
        self._prefetch, self._take, self.wanted = prefetch, take, True
        async with self._turn, within(self._timeout):
            await self._unsubscribe()
            await self._subscribe()

    async def renew(self, quiet: float) -> None:
        """Subscribe again, on a new channel: the broker keeps on the old one what it believes of the old queue.

        Raises:
            Unready: the broker is away.
        """
        async with self._turn, within(self._timeout):
            # Whoever was waited for may just have subscribed: to do it again would hand out twice what is in hand.
            if self.lost(quiet):
                channel, self._channel = self._channel, None
                if channel is not None and not channel.is_closed:
                    await channel.close()
                await self._subscribe()

    async def stop(self) -> None:
        """Take no more; the channel stays, to settle what is in hand.

        Raises:
            Unready: the broker is away, and will have forgotten us when it is back.
        """
        self.wanted = False
        async with self._turn, within(self._timeout):
            await self._unsubscribe()

    async def settle(self, tag: object, *, done: bool) -> None:
        """Ack, or give back. Too late is no error: the broker delivers it again, and the ledger knows it."""
        self._unsettled -= 1
        message = cast("DeliveredMessage", tag)
        channel, number = cast("Channel", message.channel), message.delivery_tag or 0
        # Waiting for the socket would add a turn of the loop to every message.
        step = channel.basic_ack(number, wait=False) if done else channel.basic_nack(number, requeue=True, wait=False)
        try:
            # Only a full write queue makes this wait, and when the connection dies nobody empties it any more.
            # The time limit would cost a third of what a message costs, so it is there for that case alone.
            async with within(self._timeout) if channel.write_queue.full() else nullcontext():
                await step
        except (Unready, *CONNECTION_EXCEPTIONS) as fault:
            _log.debug("ack.late", lane=self._lane, error=repr(fault))

    async def _subscribe(self) -> None:
        if self._channel is None or self._channel.is_closed:
            self._channel = await self._link.channel()
        channel, queue = self._channel, self._topology.queue(self._lane)
        await channel.basic_qos(prefetch_count=self._prefetch)
        # Somebody may have deleted the queue, and its way out of the ladder with it.
        await channel.queue_declare(queue, durable=True, arguments=self._topology.lane_arguments())
        await channel.queue_bind(queue, self._topology.exit, self._topology.lane_pattern(self._lane))
        self._tag = (await channel.basic_consume(queue, self._receive)).consumer_tag
        self._heard = self._clock.monotonic()

    async def _unsubscribe(self) -> None:
        if self.alive and self._channel is not None and self._tag is not None:
            await self._channel.basic_cancel(self._tag)
        self._tag = None

    async def _receive(self, message: DeliveredMessage) -> None:
        self._heard = self._clock.monotonic()
        self._unsettled += 1
        if self._take is not None:
            headers = message.header.properties.headers
            self._take(envelope(self._lane, message.body, headers, message, self._clock.now()))
