"""One lane's consumer in RabbitMQ, and whether the broker still knows it."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, cast

from aio_pika.abc import AbstractIncomingMessage, AbstractRobustChannel, AbstractRobustQueue
from aiormq.abc import AbstractChannel

from notification_sender.adapters.amqp import Link, within
from notification_sender.adapters.messages import envelope
from notification_sender.adapters.topology import Topology
from notification_sender.ports import Clock, Envelope, Lane


class Subscription:
    """``take`` gets every delivery. Channel and queue are held here: the library itself holds them weakly."""

    def __init__(
        self,
        *,
        link: Link,
        topology: Topology,
        lane: Lane,
        clock: Clock,
        timeout: float,
    ) -> None:
        self.wanted = False
        self._link = link
        self._topology = topology
        self._lane = lane
        self._clock = clock
        self._timeout = timeout
        self._channel: AbstractRobustChannel | None = None
        self._queue: AbstractRobustQueue | None = None
        self._underlay: AbstractChannel | None = None
        self._tag: str | None = None
        self._take: Callable[[Envelope], None] | None = None
        self._unsettled = 0
        self._heard = clock.monotonic()
        self._turn = asyncio.Lock()

    @property
    def alive(self) -> bool:
        """The channel is open and the broker has not cancelled us. It may still have forgotten us: ``quiet``."""
        underlay = self._underlay
        return underlay is not None and not underlay.is_closed and self._tag in underlay.consumers

    def quiet(self, seconds: float) -> bool:
        """Nothing came for so long and nothing is in hand."""
        return self._unsettled == 0 and self._clock.monotonic() - self._heard >= seconds

    async def start(self, prefetch: int, take: Callable[[Envelope], None]) -> None:
        """Subscribe.

        Raises:
            Unready: the broker is away.
        """
        self._take, self.wanted = take, True
        async with self._turn, within(self._timeout):
            if self._channel is None:
                channel = cast("AbstractRobustChannel", self._link.connection.channel(publisher_confirms=False))
                await channel.initialize()
                self._channel = channel
                channel.reopen_callbacks.add(self._reopened)
            await self._channel.set_qos(prefetch)
            await self._subscribe(self._channel)

    async def renew(self) -> None:
        """Subscribe again: a queue deleted and made anew within milliseconds forgets us without a word.

        Raises:
            Unready: the broker is away.
        """
        async with self._turn, within(self._timeout):
            if self._channel is not None and self.wanted:
                await self._unsubscribe()
                await self._subscribe(self._channel)

    async def stop(self) -> None:
        """Take no more; the channel stays, to settle what is in hand.

        Raises:
            Unready: the broker is away, and will have forgotten us when it is back.
        """
        self.wanted = False
        async with self._turn, within(self._timeout):
            await self._unsubscribe()

    async def settle(self, tag: object, *, done: bool) -> None:
        """Ack, or give back.

        Raises:
            Unready: too late, the broker has taken it back already.
        """
        self._unsettled -= 1
        message = cast("AbstractIncomingMessage", tag)
        channel, number = message.channel, message.delivery_tag or 0
        # Waiting for the socket would add a turn of the loop to every message. The time limit is for a connection
        # that dies with a full write queue: nobody would empty it any more.
        async with within(self._timeout):
            if done:
                await channel.basic_ack(number, wait=False)
            else:
                await channel.basic_nack(number, requeue=True, wait=False)

    async def _subscribe(self, channel: AbstractRobustChannel) -> None:
        topology, lane = self._topology, self._lane
        if self._queue is None:
            # Declared here as well, so that they are restored with the channel, before the consumer is.
            queue = await channel.declare_queue(topology.queue(lane), durable=True, arguments=topology.lane_arguments())
            await queue.bind(topology.exit, topology.lane_pattern(lane))
            self._queue = cast("AbstractRobustQueue", queue)
        # A plain function: a coroutine function would cost one more task for every message.
        receive = cast("Callable[[AbstractIncomingMessage], Awaitable[Any]]", self._receive)
        self._tag = await self._queue.consume(receive)
        self._underlay = await channel.get_underlay_channel()
        self._heard = self._clock.monotonic()

    async def _unsubscribe(self) -> None:
        tag, self._tag = self._tag, None
        if self._queue is not None and tag is not None:
            await self._queue.cancel(tag)

    def _receive(self, message: AbstractIncomingMessage) -> None:
        self._heard = self._clock.monotonic()
        self._unsettled += 1
        if self._take is not None:
            self._take(envelope(self._lane, message.body, message.headers, message, self._clock.now()))

    async def _reopened(self, channel: AbstractRobustChannel) -> None:
        self._underlay = await channel.get_underlay_channel()
