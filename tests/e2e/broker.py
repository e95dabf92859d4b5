"""What a publisher and an operator do with RabbitMQ, without any of the product's code."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractIncomingMessage

Record = dict[str, Any]


class Broker:
    """A connection for each thing done: a test may have taken the broker away in between."""

    def __init__(self, url: str, prefix: str) -> None:
        self._url = url
        self._prefix = prefix

    @asynccontextmanager
    async def _channel(self) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
        async with await aio_pika.connect(self._url) as connection:
            yield await connection.channel(publisher_confirms=True, on_return_raises=True)

    async def publish(self, bodies: Iterable[bytes | Record], *, lane: str = "units", headers: Any = None) -> None:
        async with self._channel() as channel:
            for body in bodies:
                message = aio_pika.Message(
                    body if isinstance(body, bytes) else orjson.dumps(body),
                    headers=headers,
                    content_type="application/json",
                    delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
                )
                await channel.default_exchange.publish(message, f"{self._prefix}.{lane}")

    async def depth(self, name: str) -> int:
        return (await self.depths([name]))[name]

    async def depths(self, names: Iterable[str]) -> dict[str, int]:
        """How many messages are ready in each queue."""
        depths = {}
        async with self._channel() as channel:
            for name in names:
                queue = await channel.declare_queue(f"{self._prefix}.{name}", passive=True)
                depths[name] = int(queue.declaration_result.message_count or 0)
        return depths

    async def drained(self, name: str) -> None:
        """Wait until nothing is ready in a queue."""
        async with asyncio.timeout(30):
            while await self.depth(name):  # noqa: ASYNC110 - it cannot be awaited, only asked
                await asyncio.sleep(0.05)

    async def hear(self) -> None:
        """Bind the queue ``heard`` to all events."""
        async with self._channel() as channel:
            queue = await channel.declare_queue(f"{self._prefix}.heard", durable=True)
            await queue.bind(f"{self._prefix}.events", "#")

    async def dead(self, count: int) -> list[AbstractIncomingMessage]:
        """The next ``count`` dead letters, taken out."""
        return await self.take("dead", count)

    async def take(self, name: str, count: int = 1) -> list[AbstractIncomingMessage]:
        """The next ``count`` messages of a queue, taken out."""
        letters: list[AbstractIncomingMessage] = []
        async with self._channel() as channel:
            queue = await channel.declare_queue(f"{self._prefix}.{name}", passive=True)
            async with queue.iterator(timeout=30) as arriving:
                async for letter in arriving:
                    await letter.ack()
                    letters.append(letter)
                    if len(letters) == count:
                        break
        return letters
