"""Every queue and exchange in RabbitMQ: what it is called, and how it is declared.

All queues are durable quorum queues; what leaves a queue by dead-lettering (the ladder does) leaves it at least
once, which needs ``reject-publish``. The delivery limit is explicit and far above anything of ours: the default
of RabbitMQ 4 (20) would end a message that was only handed back often.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from aio_pika.exceptions import ChannelClosed
from aiormq import Channel
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource, ChannelPreconditionFailed

from notification_sender.model.errors import ConfigurationFault
from notification_sender.policy.ladder import RUNGS, binding, routing_key, whole_seconds
from notification_sender.ports import Lane

Arguments = dict[str, Any]
_QUORUM: Arguments = {"x-queue-type": "quorum", "x-delivery-limit": 1000}
# Nothing is behind the dead letters: at its limit a message that people looked at too often would be dropped.
_DEAD: Arguments = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}
_AT_LEAST_ONCE: Arguments = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


@dataclass(frozen=True, slots=True)
class Address:
    """Where a message is published: an exchange (the default one is ``""``) and a routing key."""

    exchange: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """``units_queue``: another name for the queue that publishers know."""

    prefix: str = "notification-sender"
    units_queue: str | None = None

    @property
    def dead(self) -> str:
        return f"{self.prefix}.dead"

    @property
    def events(self) -> str:
        return f"{self.prefix}.events"

    @property
    def exit(self) -> str:
        """The exchange below the last rung: it sorts what is due into the lanes."""
        return f"{self.prefix}.delay.due"

    def queue(self, lane: Lane) -> str:
        if lane is Lane.UNITS and self.units_queue:
            return self.units_queue
        return f"{self.prefix}.{lane}"

    def rung(self, number: int) -> str:
        """A queue and the exchange before it have one name."""
        return f"{self.prefix}.delay.{number:02}"

    def below(self, number: int) -> str:
        """Where a message goes that does not wait on this rung, or has waited."""
        return self.rung(number - 1) if number else self.exit

    def entrance(self, lane: Lane, delay: float) -> Address:
        """Its highest rung: the ones above it would only hand it down. Less than a second: the lane itself."""
        seconds = whole_seconds(delay)
        if seconds == 0:
            return Address("", self.queue(lane))
        return Address(self.rung(seconds.bit_length() - 1), routing_key(seconds, lane))

    def lane_arguments(self) -> Arguments:
        """What the broker gives up on (the delivery limit) ends among the dead letters."""
        return _QUORUM | _AT_LEAST_ONCE | {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": self.dead}

    def rung_arguments(self, number: int) -> Arguments:
        return (
            _QUORUM | _AT_LEAST_ONCE | {"x-message-ttl": 2**number * 1000, "x-dead-letter-exchange": self.below(number)}
        )

    def lane_pattern(self, lane: Lane) -> str:
        return f"#.{lane}"

    async def declare(self, channel: Channel) -> None:
        """Declare all of it; what is there already stays as it is.

        The highest rung comes last. RabbitMQ 3.10 writes the name of a queue down with the next one, or after half a
        second; killed before that, it has the last one back without what was in it and without a leader. On this one
        waits what waits for 36 hours or more.

        Raises:
            ConfigurationFault: something of that name is there and differs, or we may not look.
        """
        for name in (self.exit, self.events, *map(self.rung, range(RUNGS))):
            with _explained("exchange", name):
                await channel.exchange_declare(name, exchange_type="topic", durable=True)
        await _declare_queue(channel, self.dead, _DEAD)
        for lane in Lane:
            await _declare_queue(channel, self.queue(lane), self.lane_arguments())
            await channel.queue_bind(self.queue(lane), self.exit, self.lane_pattern(lane))
        for number in range(RUNGS):
            await _declare_queue(channel, self.rung(number), self.rung_arguments(number))
            await channel.queue_bind(self.rung(number), self.rung(number), binding(number, waits=True))
            await channel.exchange_bind(
                destination=self.below(number),
                source=self.rung(number),
                routing_key=binding(number, waits=False),
            )


async def _declare_queue(channel: Channel, name: str, arguments: Arguments) -> None:
    with _explained("queue", name):
        await channel.queue_declare(name, durable=True, arguments=arguments)


@contextmanager
def _explained(what: str, name: str) -> Iterator[None]:
    try:
        yield
    except ChannelPreconditionFailed as fault:
        raise ConfigurationFault(
            f"the {what} {name!r} is in RabbitMQ already and differs: {said(fault)}. Empty and delete it "
            f"(rabbitmqctl delete_{what} {name}), or choose other names (NS_TOPOLOGY_PREFIX, NS_UNITS_QUEUE)"
        ) from None
    except (ChannelAccessRefused, ChannelLockedResource) as fault:
        raise ConfigurationFault(
            f"the {what} {name!r} cannot be declared: {said(fault)}. Let the user of NS_AMQP_URL configure, "
            f"write and read everything that its name begins with"
        ) from None


def said(fault: ChannelClosed) -> str:
    """The broker's own words."""
    return str(fault.args[-1]) if fault.args else type(fault).__name__
