"""AMQP 0-9-1 as nobody's library writes it: any bytes in any property, and whether the broker took them."""

import asyncio
import struct
from urllib.parse import urlsplit

METHOD, HEADER, BODY, END = 1, 2, 3, b"\xce"
PROPERTIES = (
    *("content_type", "content_encoding", "headers", "delivery_mode", "priority", "correlation_id", "reply_to"),
    *("expiration", "message_id", "timestamp", "type", "user_id", "app_id", "cluster_id"),
)
"""In the order of their flags, the highest bit first."""
ACK = (60, 80)
VERDICTS = {ACK, (60, 120), (20, 40), (10, 50)}
"""Ack, nack, and the ends of a channel and of a connection."""
GREETING = b"AMQP\x00\x00\x09\x01"


def short(text: bytes) -> bytes:
    return bytes([len(text)]) + text


def long(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


def item(name: bytes, tag: bytes, value: bytes) -> bytes:
    """One entry of a table."""
    return short(name) + tag + value


def table(items: bytes) -> bytes:
    return long(items)


def content_header(properties: dict[str, bytes], size: int) -> bytes:
    flags = sum(1 << (15 - place) for place, name in enumerate(PROPERTIES) if name in properties)
    values = b"".join(properties[name] for name in PROPERTIES if name in properties)
    return struct.pack(">HHQH", 60, 0, size, flags) + values


def frame(kind: int, channel: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, channel, len(payload)) + payload + END


def method(channel: int, number: tuple[int, int], arguments: bytes = b"") -> bytes:
    return frame(METHOD, channel, struct.pack(">HH", *number) + arguments)


class Connection:
    """One channel that confirms, on a connection of its own: what is odd may end it."""

    def __init__(self, url: str) -> None:
        self._at = urlsplit(url)

    async def open(self) -> None:
        self._reader, self._writer = await asyncio.open_connection(self._at.hostname, self._at.port)
        login = b"\x00%s\x00%s" % (str(self._at.username).encode(), str(self._at.password).encode())
        self._writer.write(GREETING)
        await self._expect((10, 10))
        self._writer.write(method(0, (10, 11), table(b"") + short(b"PLAIN") + long(login) + short(b"en_US")))
        tune = await self._expect((10, 30))
        self._most = struct.unpack_from(">I", tune, 2)[0]
        self._writer.write(method(0, (10, 31), tune[:6] + b"\x00\x00"))
        self._writer.write(method(0, (10, 40), short(b"/") + short(b"") + b"\x00"))
        await self._expect((10, 41))
        self._writer.write(method(1, (20, 10), short(b"")))
        await self._expect((20, 11))
        self._writer.write(method(1, (85, 10), b"\x00"))
        await self._expect((85, 11))

    async def publish(self, queue: str, properties: dict[str, bytes], body: bytes) -> bool:
        """Whether the broker confirmed it."""
        self._writer.write(method(1, (60, 40), b"\x00\x00" + short(b"") + short(queue.encode()) + b"\x00"))
        self._writer.write(frame(HEADER, 1, content_header(properties, len(body))))
        size = self._most - 8
        for start in range(0, len(body), size):
            self._writer.write(frame(BODY, 1, body[start : start + size]))
        try:
            return await self._verdict() == ACK
        except (asyncio.IncompleteReadError, ConnectionError):
            return False

    def close(self) -> None:
        self._writer.close()

    async def _verdict(self) -> tuple[int, int]:
        while (number := (await self._method())[0]) not in VERDICTS:
            pass
        return number

    async def _expect(self, wanted: tuple[int, int]) -> bytes:
        number, arguments = await self._method()
        if number != wanted:
            raise ConnectionError(f"RabbitMQ says {number}, not {wanted}")
        return arguments

    async def _method(self) -> tuple[tuple[int, int], bytes]:
        while True:
            kind, _, size = struct.unpack(">BHI", await self._reader.readexactly(7))
            payload = (await self._reader.readexactly(size + 1))[:-1]
            if kind == METHOD:
                first, second = struct.unpack_from(">HH", payload)
                return (first, second), payload[4:]


async def publish(url: str, queue: str, properties: dict[str, bytes], body: bytes, *, copies: int = 1) -> bool:
    """Whether the broker took it, each time."""
    connection = Connection(url)
    await connection.open()
    try:
        taken = [await connection.publish(queue, properties, body) for _ in range(copies)]
    finally:
        connection.close()
    return all(taken)
