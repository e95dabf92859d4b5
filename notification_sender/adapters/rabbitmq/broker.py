"""RabbitMQ as the broker: it takes messages in (Intake), parks and buries them (Outbox), and publishes events."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any, cast

import structlog
from aio_pika import DeliveryMode, Message
from aio_pika.exceptions import ChannelNotFoundEntity, PublishError
from aiormq import Channel

from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.connection import RECONNECT_SECONDS, BrokerConnection, within
from notification_sender.adapters.rabbitmq.deliveries import Delivery
from notification_sender.adapters.rabbitmq.depths import depths, is_blocked
from notification_sender.adapters.rabbitmq.events import RabbitmqEvents
from notification_sender.adapters.rabbitmq.headers import Headers, delivered, letter_headers, parked_headers
from notification_sender.adapters.rabbitmq.publisher import ConfirmingPublisher
from notification_sender.adapters.rabbitmq.subscription import Subscription
from notification_sender.adapters.rabbitmq.topology import Address, Topology
from notification_sender.adapters.rabbitmq.unroutable import Unroutable, finds_a_queue
from notification_sender.fleet.background import LogOnChange, run_forever
from notification_sender.model.errors import ConfigurationFault, TooLarge, Unready
from notification_sender.ports.broker import DeadLetter, Envelope, Lane, Parked, QueueDepths
from notification_sender.ports.clock import Clock

PUBLISH_TIMEOUT = 10.0
"""Seconds that a publish may take: a broker without memory or disk space blocks publishers and reports nothing."""

SILENCE_SECONDS = 60.0
"""Seconds without a delivery after which a lane subscribes again: the broker may have lost its consumer."""

CHECK_PERIOD = 0.25
"""Seconds between two checks whether the broker is ready and its lanes consume."""

_log = structlog.get_logger()


class WayOut(StrEnum):
    """How the delay ladder gets rid of a message that no queue is bound for."""

    ARGUMENT = "argument"
    POLICY = "policy"
    NONE = "none"


class RabbitMQ:
    """Intake, Outbox and Events, with a connection for each: an alarm that blocks publishers must not block the acks.

    ``lost`` gets the number of events that were not sent, or may not have been.
    """

    def __init__(
        self,
        *,
        address: BrokerAddress,
        topology: Topology,
        clock: Clock,
        timeout: float = PUBLISH_TIMEOUT,
        quiet: float = SILENCE_SECONDS,
        lost: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._topology = topology
        self._clock = clock
        self._timeout = timeout
        self._quiet = quiet
        self._consuming = BrokerConnection(address=address, purpose="consume", clock=clock)
        self._publishing = BrokerConnection(address=address, purpose="publish", clock=clock, returned=self._returned)
        self._events = RabbitmqEvents(
            address=address, exchange=topology.events, clock=clock, lost=lost, mend=self._mend
        )
        self.publish_event = self._events.publish_event
        self._publisher = ConfirmingPublisher(link=self._publishing, clock=clock, timeout=timeout)
        self._subscriptions: dict[Lane, Subscription] = {}
        self._unroutable = Unroutable(
            subscription=self._subscription(topology.unroutable, topology.declare_unroutable),
            bury=self.bury,
            clock=clock,
        )
        self.way_out = WayOut.ARGUMENT
        """How the ladder gets rid of an unroutable message; known once connected."""
        self._watching: asyncio.Task[None] | None = None
        self._mending: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        """Whether both connections are open and every wanted lane consumes."""
        return self.connected and all(lane.alive for lane in self._subscriptions.values() if lane.wanted)

    @property
    def connected(self) -> bool:
        """Whether both connections and the publish channel are open. Consumers do not count."""
        return self._consuming.is_open and self._publishing.is_open and self._publisher.is_open

    @property
    def consuming(self) -> bool:
        """Whether every lane has its consumer. A lane has none while its queue is missing and cannot be declared."""
        lanes = self._subscriptions.values()
        return self._consuming.is_open and bool(lanes) and all(lane.wanted and lane.alive for lane in lanes)

    async def wait_ready(self) -> None:
        while not self.ready:
            await self._clock.sleep(CHECK_PERIOD)

    async def connect(self) -> None:
        """Wait for the broker, connect, and declare the topology.

        Raises:
            ConfigurationFault: the broker refuses us, or a queue exists with other arguments.
        """
        await self._consuming.open()
        await self._publishing.open()
        while not self._publisher.is_open:
            try:
                by_argument = await self._declare()
                self.way_out = WayOut.ARGUMENT if by_argument else await self._other_way_out()
                await self._publisher.open()
            except Unready as fault:
                _log.warning("broker.not_ready", error=str(fault))
                await self._clock.sleep(RECONNECT_SECONDS)

    @property
    def policy(self) -> str:
        """The command that gives an older ladder its way out."""
        return self._topology.policy(self._publishing.virtual_host)

    async def close(self) -> None:
        """Close all connections; RabbitMQ returns unsettled messages to their queues."""
        # The events first: their last publish may find something missing and start ``_mend``.
        await self._events.close()
        for task in (self._watching, self._mending):
            if task is not None:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        await self._unroutable.close()
        await self._consuming.close()
        await self._publishing.close()

    # --- intake -------------------------------------------------------------------------------------------

    async def consume(self, lane: Lane, prefetch: int, take: Callable[[Envelope], None]) -> None:
        """Pass every delivery of ``lane`` to ``take``, with at most ``prefetch`` unsettled, across reconnections.

        Raises:
            Unready: the broker is away; call again.
        """
        subscription = self._subscriptions.get(lane)
        if subscription is None:
            declare = partial(self._topology.declare_lane, lane=lane)
            subscription = self._subscriptions[lane] = self._subscription(self._topology.queue(lane), declare)
        await subscription.start(prefetch, lambda delivery: take(delivered(lane, delivery, self._clock.now())))
        self._unroutable.start()
        if self._watching is None:
            self._watching = run_forever(self._watch, "rabbitmq watch")

    async def stop(self) -> None:
        """Stop consuming. Deliveries in hand can still be settled."""
        for subscription in self._all:
            try:
                await subscription.stop()
            except Unready as fault:
                _log.debug("lane.stop_failed", error=str(fault))

    @property
    def _all(self) -> list[Subscription]:
        return [*self._subscriptions.values(), self._unroutable.subscription]

    def _subscription(self, queue: str, declare: Callable[[Channel], Awaitable[None]]) -> Subscription:
        return Subscription(
            link=self._consuming, queue=queue, declare=declare, clock=self._clock, timeout=self._timeout
        )

    async def ack(self, envelope: Envelope) -> None:
        await self._subscriptions[envelope.lane].settle(envelope.tag, done=True)

    def holds(self, envelope: Envelope) -> bool:
        """Whether the channel that delivered it is open."""
        return not cast("Delivery", envelope.tag).channel.is_closed

    async def give_back(self, envelope: Envelope) -> None:
        """Requeue at once, for any consumer."""
        await self._subscriptions[envelope.lane].settle(envelope.tag, done=False)

    async def _watch(self) -> None:
        not_consuming = LogOnChange(_log.warning, "lane.not_consuming")
        while True:
            await self._clock.sleep(CHECK_PERIOD)
            if not self._consuming.is_open:
                continue
            not_consuming(await self._renew())

    async def _renew(self) -> str:
        """Subscribe again where a lane has no consumer, or may have lost it. Returns the errors as one text.

        A queue that is deleted and declared again within milliseconds drops its consumers without notice. All lanes
        run at once: one that fails must not delay another.
        """
        lost = [lane for lane in self._all if lane.lost(self._quiet)]
        ends = await asyncio.gather(*(lane.renew(self._quiet) for lane in lost), return_exceptions=True)
        faults = [end for end in ends if end is not None]
        for fault in faults:
            if not isinstance(fault, Unready):
                raise fault
        return "; ".join(sorted({str(fault) for fault in faults}))

    # --- outbox -------------------------------------------------------------------------------------------

    async def park(self, parked: Parked) -> None:
        """Publish into the delay ladder.

        Raises:
            TooLarge: the broker takes no message of this size.
            Unready: not confirmed; the broker may have the message nevertheless.
        """
        address = self._topology.entrance(parked.lane, parked.delay)
        await self._publish(address, parked.body, parked_headers(parked, self._clock.now()))

    async def bury(self, letter: DeadLetter) -> None:
        """Publish to the dead letters; without its content where the broker takes no message of its size.

        Raises:
            Unready: not confirmed; the broker may have the letter nevertheless.
        """
        address = Address("", self._topology.dead)
        try:
            await self._publish(address, letter.body, letter_headers(letter))
        except TooLarge as fault:
            letter = letter.without_content(fault)
            await self._publish(address, letter.body, letter_headers(letter))

    async def publish(self, body: bytes, headers: Mapping[str, Any] | None = None, lane: Lane = Lane.UNITS) -> None:
        """Publish as a publisher does, or as an operator who replays a dead letter.

        Raises:
            TooLarge: the broker takes no message of this size.
            Unready: not confirmed; the broker may have the message nevertheless.
        """
        await self._publish(Address("", self._topology.queue(lane)), body, dict(headers or {}))

    @property
    def blocked(self) -> bool:
        """Whether the broker has an alarm, as one of the connections that publish has noticed."""
        return is_blocked(self._publishing) or self._events.blocked

    async def depths(self) -> QueueDepths:
        """How many messages wait in each queue.

        Raises:
            Unready: the broker is away.
        """
        # On this connection: an alarm stops those that publish.
        return await depths(self._consuming, self._topology)

    async def _publish(self, address: Address, body: bytes, headers: Headers) -> None:
        message = Message(body, headers=headers, content_type="application/json", delivery_mode=DeliveryMode.PERSISTENT)
        async with within(self._timeout):
            try:
                await self._publisher.publish(message, address)
            except (PublishError, ChannelNotFoundEntity) as fault:
                await self._mend()
                raise Unready(f"RabbitMQ has no queue for {address.routing_key!r}: {fault}") from fault

    async def _declare(self) -> bool:
        async with within(6 * self._timeout):
            return await self._topology.declare(self._publishing.spare_channel)

    async def _other_way_out(self) -> WayOut:
        async with within(self._timeout):
            if await finds_a_queue(self._publishing, self._topology.exit):
                return WayOut.POLICY
        advice = f"one message without a queue would stop all delays; run: {self.policy}"
        _log.warning("topology.no_way_out", advice=advice)
        return WayOut.NONE

    async def _returned(self) -> None:
        self._publisher.forget()
        await self._mend()

    async def _mend(self) -> None:
        """Declare again what was deleted, in the background: one task serves all callers."""
        if self._mending is None or self._mending.done():
            self._mending = asyncio.create_task(self._declare_again(), name="rabbitmq mend")

    async def _declare_again(self) -> None:
        try:
            await self._declare()
        except (Unready, ConfigurationFault) as fault:
            _log.error("topology.undeclared", error=str(fault))
