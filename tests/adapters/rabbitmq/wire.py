"""The library's connection and channels over bytes that a test feeds, without a broker."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import pairwise
from struct import pack
from types import SimpleNamespace
from typing import Any

from notification_sender.adapters.rabbitmq.deliveries import Delivery
from notification_sender.adapters.rabbitmq.fast_path import DirectChannel, DirectConnection, WholeFrames
from tests.faults.raw import properties, short

FRAME_MAX = 4096
PLAIN = properties()
HEARTBEAT = b"\x08\x00\x00\x00\x00\x00\x00\xce"


def frame(kind: int, number: int, payload: bytes) -> bytes:
    return pack(">BHI", kind, number, len(payload)) + payload + b"\xce"


def method(number: int, tag: int, key: bytes = b"key") -> bytes:
    arguments = short(b"direct-%d-1" % number) + pack(">QB", tag, 0) + short(b"") + short(key)
    return frame(1, number, pack(">HH", 60, 60) + arguments)


def content(number: int, size: int, beside: bytes = PLAIN) -> bytes:
    return frame(2, number, pack(">HHQ", 60, 0, size) + beside)


def frames_of(number: int, tag: int, body: bytes, beside: bytes = PLAIN, longest: int = FRAME_MAX) -> list[bytes]:
    """The frames of one delivery; a body frame holds ``longest`` bytes at most."""
    bodies = [frame(3, number, body[at : at + longest]) for at in range(0, len(body), longest)]
    return [method(number, tag), content(number, len(body), beside), *bodies]


class Wire:
    """Channels 1 and 2 of a connection. ``taken``: the deliveries of both, in their order; ``library``: how many of
    them the library has read.
    """

    def __init__(self) -> None:
        self.taken: list[Delivery] = []
        self.library = 0
        self.stream = asyncio.StreamReader()
        self.connection: Any = DirectConnection("amqp://127.0.0.1")
        self.connection.heartbeat_timeout = 0
        self.connection.connection_tune = SimpleNamespace(frame_max=FRAME_MAX, heartbeat=0)
        self.connection.server_properties = {"capabilities": {"basic.nack": True}}
        self.channels = [self._channel(number) for number in (1, 2)]
        self.reading: asyncio.Task[None] | None = None

    def _channel(self, number: int) -> DirectChannel:
        channel = CountedChannel(self, number)
        channel.takers[b"direct-%d-1" % number] = self.taken.append
        self.connection.channels[number] = channel
        return channel

    async def feed(self, pieces: Iterable[bytes]) -> None:
        """Let the pieces arrive, and all that was sent be taken."""
        for piece in pieces:
            if piece:
                self.stream.feed_data(piece)
            await asyncio.sleep(0)
        await self.quiet()

    async def quiet(self) -> None:
        """Return when nobody has anything more to do. Each turn of the loop takes what the last one has left."""
        for _ in range(200):
            await asyncio.sleep(0)

    def write(self) -> list[bytes]:
        """All that is written from now on, in its order; ``write_next`` is the writer of the library."""
        written: list[bytes] = []
        self.connection._stream = SimpleNamespace(is_closing=lambda: False, write=written.append)
        return written

    def write_next(self) -> None:
        """Write the frame that is next in the queue."""
        self.connection._stream.write(self.connection.write_queue.get_nowait().payload)

    @property
    def seen(self) -> list[tuple[int, bytes]]:
        return [(it.delivery_tag, it.body) for it in self.taken]


class CountedChannel(DirectChannel):
    def __init__(self, wire: Wire, number: int) -> None:
        super().__init__(wire.connection, number, publisher_confirms=False, frame_buffer=10)
        self._wire = wire

    async def _on_deliver_frame(self, frame: Any) -> None:
        self._wire.library += 1
        await super()._on_deliver_frame(frame)


@asynccontextmanager
async def wire() -> AsyncIterator[Wire]:
    made = Wire()
    frames = WholeFrames(made.stream)
    frames.started = True
    made.reading = asyncio.create_task(made.connection._Connection__reader(frames))
    try:
        yield made
    finally:
        made.reading.cancel()
        await asyncio.gather(made.reading, return_exceptions=True)
        await asyncio.gather(*(it.close() for it in made.channels), return_exceptions=True)


def cut(written: bytes, places: Iterable[int]) -> list[bytes]:
    """The same bytes, in pieces."""
    cuts = sorted({0, len(written), *(it % (len(written) + 1) for it in places)})
    return [written[start:end] for start, end in pairwise(cuts)]
