"""The publisher: a steady pace of work units, and what a fault publishes beside it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

import aio_pika
import orjson
from aio_pika import DeliveryMode, Message
from aio_pika.abc import AbstractChannel

from bench.diagnose.units import Record

TICK = 0.1
"""Seconds between two looks at what is due."""

UNCONFIRMED = 200
"""Publishes under way at most. A broker that blocks gets no more: what is due meanwhile is not published."""

AGAIN = 0.5
"""Seconds until a broker that is away is dialled again."""

LOST = (OSError, aio_pika.exceptions.AMQPError, aio_pika.exceptions.ChannelInvalidStateError)
"""What a publish ends with where the broker went away."""

Make = Callable[[], Record]


@dataclass(slots=True)
class Stream:
    """``rate`` in units a second."""

    rate: float
    make: Make
    due: float = 0.0


class Load:
    """``published``: units that the broker has confirmed."""

    def __init__(self, url: str, queue: str, rate: float, make: Make) -> None:
        self._url = url
        self._queue = queue
        self._steady = Stream(rate, make)
        self._streams = [self._steady]
        self._under_way: set[asyncio.Task[None]] = set()
        self.published = 0

    @property
    def rate(self) -> float:
        """Of the steady pace."""
        return self._steady.rate

    @contextmanager
    def beside(self, rate: float, make: Make) -> Iterator[None]:
        """So many more units a second, for the length of the block."""
        stream = Stream(rate, make)
        self._streams.append(stream)
        try:
            yield
        finally:
            self._streams.remove(stream)

    @contextmanager
    def times(self, factor: float) -> Iterator[None]:
        """The steady pace so much faster, for the length of the block; 0: nobody publishes."""
        rate, self._steady.rate = self._steady.rate, factor * self._steady.rate
        try:
            yield
        finally:
            self._steady.rate = rate

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """For the length of the block."""
        task = asyncio.create_task(self._publish())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, *self._under_way, return_exceptions=True)

    async def _publish(self) -> None:
        while True:
            with contextlib.suppress(*LOST):
                async with await aio_pika.connect(self._url) as connection:
                    await self._publish_on(await connection.channel(publisher_confirms=True), connection)
            await asyncio.sleep(AGAIN)

    async def _publish_on(self, channel: AbstractChannel, connection: aio_pika.abc.AbstractConnection) -> None:
        looked = time.monotonic()
        while not connection.is_closed and not channel.is_closed:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            for unit in [unit for stream in self._streams for unit in _due(stream, now - looked)]:
                if len(self._under_way) < UNCONFIRMED:
                    task = asyncio.create_task(self._one(channel, unit))
                    self._under_way.add(task)
                    task.add_done_callback(self._under_way.discard)
            looked = now

    async def _one(self, channel: AbstractChannel, unit: Record) -> None:
        message = Message(orjson.dumps(unit), content_type="application/json", delivery_mode=DeliveryMode.PERSISTENT)
        with contextlib.suppress(*LOST, asyncio.CancelledError):
            await channel.default_exchange.publish(message, self._queue)
            self.published += 1


def _due(stream: Stream, passed: float) -> list[Record]:
    stream.due += stream.rate * passed
    number = int(stream.due)
    stream.due -= number
    return [stream.make() for _ in range(number)]
