"""How many messages wait in each queue, and whether the broker takes messages at all. Nothing is changed."""

import asyncio
from contextlib import suppress

from aio_pika.exceptions import PublishError
from aiormq import Channel
from aiormq.exceptions import ChannelNotFoundEntity

from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.connection import BrokerConnection, within
from notification_sender.adapters.rabbitmq.delay_ladder import RUNGS
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.model.errors import Unready
from notification_sender.ports.broker import Lane, QueueDepths
from notification_sender.ports.clock import Clock

STEP_TIMEOUT = 5.0
"""Seconds for all questions together."""

ALARM_SECONDS = 2.0
"""Seconds without a confirm after which the broker takes no messages. Usually it confirms within milliseconds."""

PROBES = 2
"""Messages that are published: an alarm stops a connection only after its first one."""

NOWHERE = "notification-sender.no-such-queue"
"""A routing key that leads nowhere: the broker confirms the message and drops it."""


async def depths(link: BrokerConnection, topology: Topology) -> QueueDepths:
    """Ask for every queue on a channel of its own, by passive declares. A queue that is missing is empty.

    Raises:
        Unready: the broker is away.
    """
    names = [topology.queue(Lane.UNITS), topology.queue(Lane.NOTIFICATIONS), topology.dead]
    names += [topology.rung(number) for number in range(RUNGS)]
    found: list[int] = []
    async with within(STEP_TIMEOUT):
        while len(found) < len(names):
            async with link.spare_channel() as channel:
                await _count(channel, names, found)
    units, notifications, dead, *ladder = found
    return QueueDepths(units, notifications, dead, tuple(ladder))


async def _count(channel: Channel, names: list[str], found: list[int]) -> None:
    """Append the depths of the queues from the first unknown one on, up to one that is missing: it ends the channel."""
    for name in names[len(found) :]:
        try:
            declared = await channel.queue_declare(name, passive=True)
        except ChannelNotFoundEntity:
            found.append(0)
            return
        found.append(declared.message_count or 0)


def is_blocked(link: BrokerConnection) -> bool:
    """Whether the broker told this connection that it takes no publishes."""
    try:
        transport = link.connection.transport
    except Unready:
        return False
    if transport is None:
        return False
    waiting = transport.connection.ready()  # of the AMQP connection
    try:
        waiting.send(None)
    except StopIteration:
        return False
    waiting.close()
    return True


async def depths_at(address: BrokerAddress, topology: Topology, clock: Clock) -> QueueDepths:
    """Connect, ask and disconnect.

    Raises:
        ConfigurationFault: the broker refuses us, or its certificate is not trusted.
        Unready: the broker cannot be asked, or takes no messages; the text says why.
    """
    link = BrokerConnection(address=address, purpose="look", clock=clock)
    try:
        await link.open_once()
        found = await depths(link, topology)
        await _try_publish(link)
        return found
    finally:
        with suppress(TimeoutError):  # a broker with an alarm does not read the request to close
            async with asyncio.timeout(1.0):
                await link.close()


async def _try_publish(link: BrokerConnection) -> None:
    channel = await link.channel(confirms=True)
    try:
        async with asyncio.timeout(ALARM_SECONDS):
            for _ in range(PROBES):
                with suppress(PublishError):
                    await channel.basic_publish(b"", exchange="", routing_key=NOWHERE, mandatory=False)
    except TimeoutError:
        raise Unready(f"it has an alarm (memory or disk): it confirmed no message within {ALARM_SECONDS:g} s") from None
