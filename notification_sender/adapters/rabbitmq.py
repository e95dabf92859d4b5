"""RabbitMQ as the broker: where messages come from (Intake) and where they go (Outbox)."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.exceptions import ChannelNotFoundEntity, PublishError

from notification_sender.adapters.amqp import RETRY, Link, within
from notification_sender.adapters.messages import Headers, letter_headers, parked_headers
from notification_sender.adapters.outgoing import Outgoing
from notification_sender.adapters.rabbitmq_events import RabbitmqEvents
from notification_sender.adapters.subscription import Subscription
from notification_sender.adapters.topology import Address, Topology
from notification_sender.model.errors import ConfigurationFault, Unready
from notification_sender.ports import Clock, DeadLetter, Envelope, Lane, Parked

TIMEOUT = 10.0
"""Seconds that a publish may take: a broker out of memory or disk blocks publishers without a word."""

QUIET = 60.0
"""Seconds without a delivery after which a lane subscribes again: the broker may have forgotten it."""

PAUSE = 0.25
"""Seconds between two looks at whether it is ready, and whether its lanes consume."""

_log = structlog.get_logger()


class RabbitMQ:
    """Intake, Outbox and Events. A connection for each: an alarm that blocks publishers must not hold back the acks.

    ``lost`` is told how many events were not sent, or perhaps not.
    """

    def __init__(
        self,
        *,
        url: str,
        topology: Topology,
        clock: Clock,
        timeout: float = TIMEOUT,
        quiet: float = QUIET,
        lost: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._topology = topology
        self._clock = clock
        self._timeout = timeout
        self._quiet = quiet
        self._consuming = Link(url=url, purpose="consume", clock=clock)
        self._publishing = Link(url=url, purpose="publish", clock=clock, returned=self._mend)
        self._events = RabbitmqEvents(url=url, exchange=topology.events, clock=clock, lost=lost, mend=self._mend)
        self.tell = self._events.tell
        self._outgoing = Outgoing(link=self._publishing, clock=clock, timeout=timeout)
        self._subscriptions: dict[Lane, Subscription] = {}
        self._watching: asyncio.Task[None] | None = None
        self._mending: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Both connections are open, and every lane that is to be consumed is."""
        return (
            self._consuming.is_open
            and self._publishing.is_open
            and self._outgoing.is_open
            and all(lane.alive for lane in self._subscriptions.values() if lane.wanted)
        )

    async def wait_ready(self) -> None:
        while not self.ready:
            await self._clock.sleep(PAUSE)

    async def connect(self) -> None:
        """Connect and declare the topology; a broker that is not there yet is waited for.

        Raises:
            ConfigurationFault: it refuses us, or a queue is there already and differs.
        """
        await self._consuming.open()
        await self._publishing.open()
        while not self._outgoing.is_open:
            try:
                await self._declare()
                await self._outgoing.open()
            except Unready as fault:
                _log.warning("broker.not_ready", error=str(fault))
                await self._clock.sleep(RETRY)

    async def close(self) -> None:
        """What is still unsettled goes back to its queue."""
        # First: what is sent at the end may find that something is missing, and have it mended.
        await self._events.close()
        for task in (self._watching, self._mending):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._consuming.close()
        await self._publishing.close()

    # --- intake -------------------------------------------------------------------------------------------

    async def consume(self, lane: Lane, prefetch: int, take: Callable[[Envelope], None]) -> None:
        """Hand every delivery of ``lane`` to ``take``, at most ``prefetch`` unsettled, across reconnections.

        Raises:
            Unready: the broker is away; call again.
        """
        subscription = self._subscriptions.get(lane)
        if subscription is None:
            subscription = self._subscriptions[lane] = Subscription(
                link=self._consuming,
                topology=self._topology,
                lane=lane,
                clock=self._clock,
                timeout=self._timeout,
            )
        await subscription.start(prefetch, take)
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(), name="rabbitmq watch")

    async def stop(self) -> None:
        """Take no more; what was taken can still be settled."""
        for subscription in self._subscriptions.values():
            try:
                await subscription.stop()
            except Unready as fault:
                _log.debug("lane.stopped_late", error=str(fault))

    async def ack(self, envelope: Envelope) -> None:
        await self._subscriptions[envelope.lane].settle(envelope.tag, done=True)

    async def give_back(self, envelope: Envelope) -> None:
        """Into the queue again, at once, for anybody."""
        await self._subscriptions[envelope.lane].settle(envelope.tag, done=False)

    async def _watch(self) -> None:
        told = ""
        while True:
            await self._clock.sleep(PAUSE)
            if not self._consuming.is_open:
                continue
            fault = await self._renew()
            if fault and fault != told:
                _log.warning("lane.not_consuming", error=fault)
            told = fault

    async def _renew(self) -> str:
        """Subscribe where we do not consume, or may have been forgotten. Returns what went wrong.

        A queue that is deleted and made anew within milliseconds forgets its consumers without a word.
        """
        for lane in self._subscriptions.values():
            if lane.lost(self._quiet):
                try:
                    await lane.renew(self._quiet)
                except Unready as fault:
                    return str(fault)
        return ""

    # --- outbox -------------------------------------------------------------------------------------------

    async def park(self, parked: Parked) -> None:
        """Into the delay ladder.

        Raises:
            Unready: not confirmed; it may be there nevertheless.
        """
        address = self._topology.entrance(parked.lane, parked.delay)
        await self._publish(address, parked.body, parked_headers(parked, self._clock.now()))

    async def bury(self, letter: DeadLetter) -> None:
        """Among the dead letters.

        Raises:
            Unready: not confirmed; it may be there nevertheless.
        """
        await self._publish(Address("", self._topology.dead), letter.body, letter_headers(letter))

    async def publish(self, body: bytes, headers: Mapping[str, Any] | None = None, lane: Lane = Lane.UNITS) -> None:
        """As a publisher does, or an operator who moves a dead letter back.

        Raises:
            Unready: not confirmed; it may be there nevertheless.
        """
        await self._publish(Address("", self._topology.queue(lane)), body, dict(headers or {}))

    async def depth(self, lane: Lane) -> int:
        """How many messages are ready in its queue, not counting what is in somebody's hands.

        Raises:
            Unready: the broker is away.
        """
        return await self._count(self._topology.queue(lane))

    async def dead_depth(self) -> int:
        """How many dead letters there are.

        Raises:
            Unready: the broker is away.
        """
        return await self._count(self._topology.dead)

    async def _publish(self, address: Address, body: bytes, headers: Headers) -> None:
        message = Message(body, headers=headers, content_type="application/json", delivery_mode=DeliveryMode.PERSISTENT)
        async with within(self._timeout):
            try:
                await self._outgoing.publish(message, address)
            except (PublishError, ChannelNotFoundEntity) as fault:
                await self._mend()
                raise Unready(f"RabbitMQ has no queue for {address.routing_key!r}: {fault}") from fault

    async def _count(self, queue: str) -> int:
        async with within(self._timeout), self._publishing.spare_channel() as channel:
            declared = await channel.queue_declare(queue, passive=True)
            return int(declared.message_count or 0)

    async def _declare(self) -> None:
        async with within(6 * self._timeout), self._publishing.spare_channel() as channel:
            await self._topology.declare(channel)

    async def _mend(self) -> None:
        """Declare again what somebody deleted, in the background: one task for all who miss it."""
        if self._mending is None or self._mending.done():
            self._mending = asyncio.create_task(self._declare_again(), name="rabbitmq mend")

    async def _declare_again(self) -> None:
        try:
            await self._declare()
        except (Unready, ConfigurationFault) as fault:
            _log.error("topology.undeclared", error=str(fault))
