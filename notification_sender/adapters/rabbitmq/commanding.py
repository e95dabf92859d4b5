"""What every command does with queues: how many messages are there, and one is published with a confirm."""

from collections.abc import Mapping
from typing import Any, cast

from aio_pika.exceptions import ChannelNotFoundEntity, PublishError
from aiormq import Channel
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from notification_sender.adapters.rabbitmq.connection import within
from notification_sender.model.errors import Unready

STEP_TIMEOUT = 4.0
"""Seconds for one step of a command: a broker that stops in the middle of it is said as soon as one that is away."""

PERSISTENT_MODE = 2

BROKER_HEADERS = ("x-death", "x-first-death-", "x-last-death-", "x-delivery-count")
"""Prefixes of headers that RabbitMQ writes. On a moved message it would read them as that message's own history."""


async def depth_of(channel: Channel, queue: str) -> int:
    """The messages of a queue that nobody has taken.

    Raises:
        Unready: there is no such queue.
    """
    async with within(STEP_TIMEOUT):
        try:
            declared = await channel.queue_declare(queue, passive=True)
        except ChannelNotFoundEntity:
            raise Unready(
                f"RabbitMQ has no queue {queue!r}: no worker has run with this NS_AMQP_URL and NS_TOPOLOGY_PREFIX "
                "yet; check both"
            ) from None
    return int(declared.message_count or 0)


async def publish(
    channel: Channel, queue: str, body: bytes, headers: Mapping[str, Any], *, left_out: tuple[str, ...] = ()
) -> None:
    """Publish a message, and return when the broker has it. ``left_out``: prefixes of headers, besides the broker's.

    Raises:
        Unready: the broker is away, or has no such queue.
    """
    left_out = (*BROKER_HEADERS, *left_out)
    properties = Basic.Properties(
        headers={name: it for name, it in headers.items() if not name.startswith(left_out)},
        content_type="application/json",
        delivery_mode=PERSISTENT_MODE,
    )
    async with within(STEP_TIMEOUT):
        try:
            await channel.basic_publish(body, exchange="", routing_key=queue, properties=properties, mandatory=True)
        except PublishError as fault:
            raise Unready(f"RabbitMQ has no queue {queue!r}") from fault


def headers_of(message: DeliveredMessage) -> dict[str, Any]:
    """The headers of a message, as they came."""
    return cast("dict[str, Any]", message.header.properties.headers or {})
