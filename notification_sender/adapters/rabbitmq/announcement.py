"""Publishes one event with a confirm, for a command: the events of a worker leave in the background."""

from aio_pika.exceptions import ChannelNotFoundEntity
from pamqp.commands import Basic

from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.connection import BrokerConnection, within
from notification_sender.adapters.rabbitmq.events import CONTENT_TYPE
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.ports.clock import Clock

STEP_TIMEOUT = 5.0
"""Seconds to connect, and again to publish: what the event is about is done already."""

PERSISTENT_MODE = 2


async def publish_once(address: BrokerAddress, topology: Topology, clock: Clock, *, topic: str, event: bytes) -> None:
    """Connect, publish one event and disconnect. Where no exchange of events exists, no queue can be bound to it: the
    event is dropped.

    Raises:
        ConfigurationFault: the broker refuses us, or its certificate is not trusted.
        Unready: the broker did not confirm it; the text says why.
    """
    link = BrokerConnection(address=address, purpose="change", clock=clock)
    properties = Basic.Properties(content_type=CONTENT_TYPE.decode(), delivery_mode=PERSISTENT_MODE)
    try:
        async with within(STEP_TIMEOUT):
            await link.open_once()
        async with within(STEP_TIMEOUT):
            channel = await link.channel(confirms=True)
            try:
                await channel.basic_publish(event, exchange=topology.events, routing_key=topic, properties=properties)
            except ChannelNotFoundEntity:
                return
    finally:
        await link.close()
