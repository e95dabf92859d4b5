"""A publisher who writes what stands beside the body byte by byte, as no library would."""

from collections.abc import Sequence
from dataclasses import dataclass
from struct import pack

import aiormq
from aiormq.abc import ChannelFrame

FLAGS = {
    name: 1 << 15 - place
    for place, name in enumerate(
        (
            *("content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id", "reply_to"),
            *("expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id"),
        )
    )
}
"""Of the properties, in the order in which they stand in a content header (AMQP 0-9-1, 4.2.6.1)."""


def short(text: bytes) -> bytes:
    return bytes((len(text),)) + text


def long(text: bytes) -> bytes:
    return pack(">I", len(text)) + text


def table(*fields: tuple[bytes, bytes]) -> bytes:
    """Of names and values, each with its type before it."""
    return long(b"".join(short(name) + value for name, value in fields))


def properties(**values: bytes) -> bytes:
    flags = sum(FLAGS[name] for name in values)
    return pack(">H", flags) + b"".join(values[name] for name in FLAGS if name in values)


@dataclass(frozen=True, slots=True)
class Raw:
    """A message; ``properties`` with the flags before them."""

    body: bytes
    properties: bytes
    exchange: bytes = b""
    key: bytes = b""


async def publish(url: str, messages: Sequence[Raw]) -> None:
    """On return the broker has them.

    Raises:
        AMQPError: it refuses one of them, and what came after it.
    """
    connection = await aiormq.connect(url)
    try:
        channel = await connection.channel(publisher_confirms=False)
        for it in messages:
            await channel.write_queue.put(ChannelFrame(_frames(channel.number, it), False, None))  # noqa: FBT003
        # Answered after all that was sent before.
        await channel.basic_qos(prefetch_count=1)
    finally:
        await connection.close()


def _frames(number: int, it: Raw) -> bytes:
    method = pack(">HHH", 60, 40, 0) + short(it.exchange) + short(it.key) + b"\x00"
    header = pack(">HHQ", 60, 0, len(it.body)) + it.properties
    return _frame(1, number, method) + _frame(2, number, header) + _frame(3, number, it.body)


def _frame(kind: int, number: int, payload: bytes) -> bytes:
    return pack(">BHI", kind, number, len(payload)) + payload + b"\xce"
