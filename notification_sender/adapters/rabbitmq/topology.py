"""The names and the declarations of every queue and exchange in RabbitMQ.

All queues are durable quorum queues. Dead-lettering, which the delay ladder uses, is at-least-once, and that needs
``reject-publish``. Such a queue stops for three minutes when 32 dead-lettered messages are not accepted, so messages
without a bound queue take another way (``unroutable``). The delivery limit is explicit and high: the default of
RabbitMQ 4 (20) would dead-letter a message that was only requeued often.
"""

import asyncio
import json
import shlex
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from aio_pika.exceptions import AMQPChannelError, ChannelClosed, ChannelInvalidStateError
from aiormq import Channel
from aiormq.exceptions import (
    ChannelAccessRefused,
    ChannelLockedResource,
    ChannelNotFoundEntity,
    ChannelPreconditionFailed,
)

from notification_sender.adapters.rabbitmq.delay_ladder import RUNGS, binding, routing_key, whole_seconds
from notification_sender.model.errors import ConfigurationFault
from notification_sender.ports.broker import Lane

Arguments = dict[str, Any]
Open = Callable[[], AbstractAsyncContextManager[Channel]]
"""Opens a channel that a refusal may end."""

Waits = Mapping[str, Any]
"""Whether a declaration waits for the broker's answer."""

_AT_ONCE: Waits = MappingProxyType({"nowait": True})
_ONE_BY_ONE: Waits = MappingProxyType({})
_ALTERNATE = "alternate-exchange"
_QUORUM: Arguments = {"x-queue-type": "quorum", "x-delivery-limit": 1000}
# No queue is behind the dead letters: at the delivery limit RabbitMQ would drop a letter that was read too often.
_DEAD: Arguments = {"x-queue-type": "quorum", "x-delivery-limit": 2**31 - 1}
_AT_LEAST_ONCE: Arguments = {"x-dead-letter-strategy": "at-least-once", "x-overflow": "reject-publish"}


@dataclass(frozen=True, slots=True)
class Address:
    """A publish address: an exchange (``""`` is the default exchange) and a routing key."""

    exchange: str
    routing_key: str


@dataclass(frozen=True, slots=True)
class Topology:
    """The names of all queues and exchanges. ``units_queue``: another name for the input queue."""

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
        """The exchange below the last rung, which routes due messages to the lanes."""
        return f"{self.prefix}.delay.due"

    @property
    def unroutable(self) -> str:
        """A queue and its exchange, for due messages whose lane has no queue. The queue has no limit."""
        return f"{self.prefix}.delay.unroutable"

    def queue(self, lane: Lane) -> str:
        if lane is Lane.UNITS and self.units_queue:
            return self.units_queue
        return f"{self.prefix}.{lane}"

    def rung(self, number: int) -> str:
        """The name of a rung's queue, and of its exchange."""
        return f"{self.prefix}.delay.{number:02}"

    def below(self, number: int) -> str:
        """The exchange below a rung, for messages that have waited on the rung or skip it."""
        return self.rung(number - 1) if number else self.exit

    def entrance(self, lane: Lane, delay: float) -> Address:
        """The address for a delay: its highest rung, since the rungs above would only pass the message down. For less
        than a second it is the lane itself.
        """
        seconds = whole_seconds(delay)
        if seconds == 0:
            return Address("", self.queue(lane))
        return Address(self.rung(seconds.bit_length() - 1), routing_key(seconds, lane))

    def lane_arguments(self) -> Arguments:
        """A message at the delivery limit goes to the dead letters."""
        return _QUORUM | _AT_LEAST_ONCE | {"x-dead-letter-exchange": "", "x-dead-letter-routing-key": self.dead}

    def rung_arguments(self, number: int) -> Arguments:
        return (
            _QUORUM | _AT_LEAST_ONCE | {"x-message-ttl": 2**number * 1000, "x-dead-letter-exchange": self.below(number)}
        )

    def lane_pattern(self, lane: Lane) -> str:
        return f"#.{lane}"

    def policy(self, virtual_host: str) -> str:
        """The command that gives an older ladder its way out: an exchange's arguments cannot be changed."""
        pattern = f"^{self.exit}$".replace(".", "\\.")
        where = () if virtual_host == "/" else ("-p", virtual_host)
        name, definition = f"{self.prefix}-unroutable", json.dumps({_ALTERNATE: self.unroutable})
        return shlex.join(
            (
                "rabbitmqctl",
                "set_policy",
                *where,
                "--priority",
                "10",
                "--apply-to",
                "exchanges",
                name,
                pattern,
                definition,
            )
        )

    async def declare(self, opened: Open) -> bool:
        """Declare everything; what exists stays as it is. Returns whether the exit has its way out by argument: an exit
        that an older version declared has none.

        The highest rung is declared last. RabbitMQ 3.10 persists a queue's name with the next declaration, or after
        half a second. If it is killed before, the last queue returns empty and without a leader. The highest rung only
        holds delays of 36 hours and more.

        All declarations leave without a wait between them. If the broker refuses one, a second pass waits for each
        answer: only that answer belongs to a name.

        Raises:
            ConfigurationFault: a queue or exchange exists with other arguments, or this user may not declare it.
        """
        way_out = await self.declare_exit(opened)
        try:
            await self._declare_all(opened, _AT_ONCE)
        except (AMQPChannelError, ChannelInvalidStateError):
            await self._declare_all(opened, _ONE_BY_ONE)
        return way_out

    async def _declare_all(self, opened: Open, waits: Waits) -> None:
        async with opened() as channel:
            await self.declare_unroutable(channel, waits)
            for name in (self.events, *map(self.rung, range(RUNGS))):
                with _explained("exchange", name):
                    await channel.exchange_declare(name, exchange_type="topic", durable=True, **waits)
            await self._declare_queues(channel, waits)
            # Its answer comes after all others.
            await channel.queue_declare(self.rung(RUNGS - 1), passive=True)

    async def missing(self, opened: Open) -> list[str]:
        """The queues and exchanges that do not exist. Nothing is declared; their arguments cannot be seen this way.

        Raises:
            ConfigurationFault: this user may not look.
        """
        rungs = [self.rung(number) for number in range(RUNGS)]
        queues = [*map(self.queue, Lane), self.dead, self.unroutable, *rungs]
        exchanges = [self.events, self.exit, self.unroutable, *rungs]
        checks = [_there(opened, "queue", it) for it in queues] + [_there(opened, "exchange", it) for it in exchanges]
        return [name for name in await asyncio.gather(*checks) if name]

    async def differing(self, opened: Open, missing: Sequence[str]) -> list[str]:
        """The faults of queues that exist with other arguments than ours. Declaring what exists changes nothing, and
        is the only way to compare.

        Raises:
            ConfigurationFault: this user may not declare.
        """
        arguments = {self.queue(lane): self.lane_arguments() for lane in Lane}
        arguments |= {self.dead: _DEAD, self.unroutable: _DEAD}
        arguments |= {self.rung(number): self.rung_arguments(number) for number in range(RUNGS)}
        there = [(name, own) for name, own in arguments.items() if f"queue {name}" not in missing]
        faults = await asyncio.gather(*(_differs(opened, *it) for it in there))
        return [fault for fault in faults if fault]

    async def declare_exit(self, opened: Open) -> bool:
        """Declare the exit. Only the exit gets a way out: a message for a missing rung must return to the publisher,
        who then declares the rung again.
        """
        async with opened() as channel:
            with _explained("exchange", self.exit):
                try:
                    await channel.exchange_declare(
                        self.exit, exchange_type="topic", durable=True, arguments={_ALTERNATE: self.unroutable}
                    )
                except ChannelPreconditionFailed as fault:
                    if f"arg '{_ALTERNATE}'" not in said(fault):
                        raise
                    return False
        return True

    async def declare_unroutable(self, channel: Channel, waits: Waits = _ONE_BY_ONE) -> None:
        with _explained("exchange", self.unroutable):
            await channel.exchange_declare(self.unroutable, exchange_type="fanout", durable=True, **waits)
        await _declare_queue(channel, self.unroutable, _DEAD, waits)
        await channel.queue_bind(self.unroutable, self.unroutable, **waits)

    async def declare_lane(self, channel: Channel, lane: Lane, waits: Waits = _ONE_BY_ONE) -> None:
        """Declare the lane's queue and its binding to the delay ladder."""
        await _declare_queue(channel, self.queue(lane), self.lane_arguments(), waits)
        await channel.queue_bind(self.queue(lane), self.exit, self.lane_pattern(lane), **waits)

    async def _declare_queues(self, channel: Channel, waits: Waits) -> None:
        await _declare_queue(channel, self.dead, _DEAD, waits)
        for lane in Lane:
            await self.declare_lane(channel, lane, waits)
        for number in range(RUNGS):
            await _declare_queue(channel, self.rung(number), self.rung_arguments(number), waits)
            await channel.queue_bind(self.rung(number), self.rung(number), binding(number, waits=True), **waits)
            await channel.exchange_bind(
                destination=self.below(number),
                source=self.rung(number),
                routing_key=binding(number, waits=False),
                **waits,
            )


async def _there(opened: Open, what: str, name: str) -> str | None:
    """The name of a queue or exchange if it does not exist. On its own channel: a refusal closes the channel."""
    async with opened() as channel:
        try:
            with _explained(what, name):
                if what == "queue":
                    await channel.queue_declare(name, passive=True)
                else:
                    await channel.exchange_declare(name, passive=True)
        except ChannelNotFoundEntity:
            return f"{what} {name}"
    return None


async def _differs(opened: Open, name: str, arguments: Arguments) -> str:
    async with opened() as channel:
        try:
            await channel.queue_declare(name, durable=True, arguments=arguments)
        except ChannelPreconditionFailed as fault:
            return f"queue {name}: {said(fault)}"
        except ChannelAccessRefused as fault:
            raise ConfigurationFault(f"the queue {name!r} cannot be compared: {said(fault)}") from None
    return ""


async def _declare_queue(channel: Channel, name: str, arguments: Arguments, waits: Waits) -> None:
    with _explained("queue", name):
        await channel.queue_declare(name, durable=True, arguments=arguments, **waits)


@contextmanager
def _explained(what: str, name: str) -> Iterator[None]:
    try:
        yield
    except ChannelPreconditionFailed as fault:
        raise ConfigurationFault(
            f"the {what} {name!r} exists in RabbitMQ with other arguments: {said(fault)}. Empty and delete it "
            f"(rabbitmqctl delete_{what} {name}), or choose other names (NS_TOPOLOGY_PREFIX, NS_UNITS_QUEUE)"
        ) from None
    except (ChannelAccessRefused, ChannelLockedResource) as fault:
        raise ConfigurationFault(
            f"the {what} {name!r} cannot be declared: {said(fault)}. Give the user of NS_AMQP_URL permission to "
            f"configure, write and read every name that begins with the prefix (rabbitmqctl set_permissions)"
        ) from None


def said(fault: ChannelClosed) -> str:
    """The broker's own text of an error."""
    return str(fault.args[-1]) if fault.args else type(fault).__name__
