"""Moves the messages of an old topology into a new one, whose queues have other names or other arguments.

RabbitMQ cannot change the arguments of a queue, so the new topology stands beside the old. The old delay ladder keeps
what is parked on it: its exit is bound to the new lanes, and the messages come to them when they are due.
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aio_pika.exceptions import ChannelNotFoundEntity
from aiormq import Channel
from pamqp.commands import Basic

from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.commanding import STEP_TIMEOUT, headers_of, publish
from notification_sender.adapters.rabbitmq.connection import BrokerConnection, within
from notification_sender.adapters.rabbitmq.delay_ladder import RUNGS
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.model.errors import ConfigurationFault
from notification_sender.ports.broker import Lane
from notification_sender.ports.clock import Clock


@dataclass(frozen=True, slots=True)
class Left:
    """What the old topology still holds. Messages that a worker has in hand are not seen."""

    ready: Mapping[str, int] = field(default_factory=dict)
    """Messages of each old queue that exists and holds any."""
    parked: int = 0
    """Messages on the old delay ladder."""
    longest: int = 0
    """Seconds until the last of them is due, at most."""

    @property
    def nothing(self) -> bool:
        return not self.ready and not self.parked


class Migration:
    """The move from ``old`` to ``new``. Each step may be repeated; a message that is copied twice is delivered once."""

    def __init__(self, link: BrokerConnection, channel: Channel, old: Topology, new: Topology) -> None:
        self._link = link
        self._channel = channel
        self._old = old
        self._new = new

    async def redirect(self) -> None:
        """Let the old delay ladder end in the new lanes.

        The new lane is bound before the old one is unbound: a due message between both comes twice, and is not lost.

        Raises:
            ConfigurationFault: there is no old topology, or this user may not bind.
            Unready: the broker is away.
        """
        if f"exchange {self._old.exit}" in await self._old.missing(self._link.spare_channel):
            raise ConfigurationFault(
                f"RabbitMQ has no exchange {self._old.exit!r}: is {self._old.prefix!r} the old prefix?"
            )
        async with within(STEP_TIMEOUT):
            for lane in Lane:
                pattern = self._old.lane_pattern(lane)
                await self._channel.queue_bind(self._new.queue(lane), self._old.exit, pattern)
                if self._new.queue(lane) != self._old.queue(lane):
                    await self._channel.queue_unbind(self._old.queue(lane), self._old.exit, pattern)

    async def messages(self) -> AsyncIterator[str]:
        """Move what waits in the old lanes and in the old dead letters. Yields the old queue of each message.

        A message is removed after the broker has confirmed its copy. Messages that arrive meanwhile are not moved.

        Raises:
            Unready: the broker is away; what was moved stays moved.
        """
        for old, new in self._pairs():
            for _ in range(await self._count(old)):
                if not await self._move_one(old, new):
                    break
                yield old

    async def left(self) -> Left:
        """Count the messages that are still to be moved or to come due.

        Raises:
            Unready: the broker is away.
        """
        ready = {old: number for old, _ in self._pairs() if (number := await self._count(old))}
        rungs = [await self._count(self._old.rung(number)) for number in range(RUNGS)]
        highest = max((number for number, count in enumerate(rungs) if count), default=-1)
        return Left(ready, sum(rungs), 2 ** (highest + 1) if highest >= 0 else 0)

    def _pairs(self) -> list[tuple[str, str]]:
        every = [(self._old.queue(lane), self._new.queue(lane)) for lane in Lane]
        every += [(self._old.dead, self._new.dead), (self._old.unroutable, self._new.unroutable)]
        return [(old, new) for old, new in every if old != new]

    async def _count(self, queue: str) -> int:
        """Its ready messages; 0 if there is no such queue. On a spare channel, which a refusal may end."""
        async with self._link.spare_channel() as channel, within(STEP_TIMEOUT):
            try:
                declared = await channel.queue_declare(queue, passive=True)
            except ChannelNotFoundEntity:
                return 0
        return int(declared.message_count or 0)

    async def _move_one(self, old: str, new: str) -> bool:
        async with within(STEP_TIMEOUT):
            message = await self._channel.basic_get(old)
        if isinstance(message.delivery, Basic.GetEmpty):
            return False
        await publish(self._channel, new, message.body, headers_of(message))
        async with within(STEP_TIMEOUT):
            await self._channel.basic_ack(message.delivery_tag or 0)
        return True


@asynccontextmanager
async def migration(address: BrokerAddress, old: Topology, new: Topology, clock: Clock) -> AsyncIterator[Migration]:
    """Connect for the length of the block.

    Raises:
        ConfigurationFault: the broker refuses us, or its certificate is not trusted.
        Unready: the broker cannot be reached; the text says why.
    """
    link = BrokerConnection(address=address, purpose="migration", clock=clock)
    try:
        await link.open_once()
        yield Migration(link, await link.channel(confirms=True), old, new)
    finally:
        await link.close()
