"""What a publisher and an operator do with RabbitMQ, without any of the product's code."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import aio_pika
import orjson
from aio_pika.abc import AbstractIncomingMessage

from tests.patience import patience, patient

Record = dict[str, Any]

UNCONFIRMED = 50
"""Publishes under way at once. One after the other, each would wait for a write of the broker to its disk."""


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
        """In their order, ``UNCONFIRMED`` at once."""
        messages = [
            aio_pika.Message(
                body if isinstance(body, bytes) else orjson.dumps(body),
                headers=headers,
                content_type="application/json",
                delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            )
            for body in bodies
        ]
        async with self._channel() as channel:
            publish = partial(channel.default_exchange.publish, routing_key=f"{self._prefix}.{lane}")
            for start in range(0, len(messages), UNCONFIRMED):
                await asyncio.gather(*map(publish, messages[start : start + UNCONFIRMED]))

    async def depth(self, name: str) -> int:
        return (await self.depths([name]))[name]

    async def depths(self, names: Iterable[str]) -> dict[str, int]:
        """How many messages are ready in each queue."""
        async with self._channel() as channel:
            return {name: await self._depth(channel, name) for name in names}

    async def _depth(self, channel: aio_pika.abc.AbstractChannel, name: str) -> int:
        queue = await channel.declare_queue(f"{self._prefix}.{name}", passive=True)
        return int(queue.declaration_result.message_count or 0)

    async def drained(self, name: str) -> None:
        """Wait until nothing is ready in a queue."""
        await self.holds(name, 0)

    async def holds(self, name: str, count: int) -> None:
        """Wait until so many are ready in a queue: what a consumer had is back some time after it is gone."""
        async with patience(30), self._channel() as channel:
            while await self._depth(channel, name) != count:  # noqa: ASYNC110 - it cannot be awaited, only asked
                await asyncio.sleep(0.05)

    async def replace(self, name: str) -> None:
        """Make a queue another one, which workers cannot use. They may declare theirs again in between."""
        async with patience(30):
            while not await self._replaced(f"{self._prefix}.{name}"):
                pass

    async def _replaced(self, queue: str) -> bool:
        async with self._channel() as channel:
            underlay = await channel.get_underlay_channel()
            await underlay.queue_delete(queue)
            try:
                await underlay.queue_declare(queue, durable=True)
            except aio_pika.exceptions.ChannelPreconditionFailed:
                return False
            return True

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
            async with queue.iterator(timeout=patient(30)) as arriving:
                async for letter in arriving:
                    await letter.ack()
                    letters.append(letter)
                    if len(letters) == count:
                        break
        return letters
