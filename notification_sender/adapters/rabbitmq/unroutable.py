"""Moves messages that left the delay ladder for a missing queue to the dead letters."""

import asyncio
from collections.abc import Awaitable, Callable

import structlog
from aio_pika.exceptions import PublishError
from pamqp.commands import Basic

from notification_sender.adapters.rabbitmq.connection import RECONNECT_SECONDS, BrokerConnection
from notification_sender.adapters.rabbitmq.delay_ladder import RUNGS
from notification_sender.adapters.rabbitmq.deliveries import Delivery
from notification_sender.adapters.rabbitmq.headers import delivered
from notification_sender.adapters.rabbitmq.subscription import Subscription
from notification_sender.fleet.background import LogOnChange, run_forever
from notification_sender.model.errors import Unready
from notification_sender.ports.broker import DeadLetter, Lane
from notification_sender.ports.clock import Clock

PREFETCH = 16
"""Messages in hand per process. They wait here while the dead-letter queue is full, and no delivery waits for them."""

PROBE_KEY = "probe"
"""Routing key of the test message that shows whether the ladder has a way out for unroutable messages."""

_log = structlog.get_logger()


async def finds_a_queue(link: BrokerConnection, exchange: str) -> bool:
    """Whether an unroutable message at ``exchange`` has a way out, on a ladder that an older version declared.

    The test message expires at once, and consumers of the unroutable queue drop it.
    """
    properties = Basic.Properties(expiration="0")
    async with link.spare_channel(confirms=True) as channel:
        try:
            await channel.basic_publish(
                b"", exchange=exchange, routing_key=PROBE_KEY, mandatory=True, properties=properties
            )
        except PublishError:
            return False
    return True


class Unroutable:
    """Buries unroutable messages one after the other, and retries while the dead-letter queue refuses them."""

    def __init__(
        self, *, subscription: Subscription, bury: Callable[[DeadLetter], Awaitable[None]], clock: Clock
    ) -> None:
        self.subscription = subscription
        self._bury = bury
        self._clock = clock
        self._waiting: asyncio.Queue[Delivery] = asyncio.Queue()
        self._burying: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Request the subscription; the broker's watcher makes it, as for lost subscriptions."""
        self.subscription.want(PREFETCH, self._waiting.put_nowait)
        if self._burying is None:
            self._burying = run_forever(self._bury_for_ever, "rabbitmq unroutable")

    async def close(self) -> None:
        """Stop. Messages in hand return to their queue when the connection closes."""
        if self._burying is not None:
            self._burying.cancel()
            await asyncio.wait([self._burying])

    async def _bury_for_ever(self) -> None:
        while True:
            delivery = await self._waiting.get()
            # A message of a lost connection is delivered again: burying it now would leave two letters.
            if delivery.routing_key != PROBE_KEY and not delivery.channel.is_closed:
                await self._bury_until_taken(letter_of(delivery, self._clock.now()))
            await self.subscription.settle(delivery, done=True)

    async def _bury_until_taken(self, letter: DeadLetter) -> None:
        kept = LogOnChange(_log.warning, "unroutable.kept")
        while True:
            try:
                await self._bury(letter)
            except Unready as fault:
                kept(str(fault))
                await self._clock.sleep(RECONNECT_SECONDS)
            else:
                _log.warning("unroutable.dead", detail=letter.detail)
                return


def letter_of(delivery: Delivery, now: float) -> DeadLetter:
    """The dead letter of an unroutable message. Moved back, it is a replay like any other."""
    taken = delivered(Lane.UNITS, delivery, now)
    lane = ".".join(delivery.routing_key.split(".")[RUNGS:])
    detail = f"the message was due, and no queue is bound for {lane!r}"
    return DeadLetter(taken.body, "unroutable", detail, "delay", taken.state)
