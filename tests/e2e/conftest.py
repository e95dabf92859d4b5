"""The whole product as it is run: real workers, RabbitMQ and Redis; only the platform and the recipients are ours."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aio_pika
import orjson
import pytest
from aio_pika.abc import AbstractIncomingMessage

from notification_sender.sandbox.sandbox import Sandbox

Record = dict[str, Any]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    async with Sandbox(tmp_path) as running:
        yield running


@pytest.fixture
def environment(sandbox: Sandbox, amqp_url: str, redis_server: str, topology_prefix: str) -> dict[str, str]:
    """A worker's variables."""
    return sandbox.environment | {
        "NS_AMQP_URL": amqp_url,
        "NS_REDIS_URL": redis_server,
        "NS_TOPOLOGY_PREFIX": topology_prefix,
        "NS_THROTTLE_WEBHOOK": "off",
        "NS_THROTTLE_EMAIL": "off",
        "NS_HTTP_HOST": "127.0.0.1",
        "NS_HTTP_PORT": "0",
    }


@pytest.fixture
def hasty(environment: dict[str, str]) -> dict[str, str]:
    """Short leases and delays: trouble is over in seconds."""
    return environment | {"NS_RETRY_SCHEDULE": "1s 1s 1s", "NS_LEASE": "4s", "NS_SEND_TIMEOUT": "3s"}


class Broker:
    """What a publisher and an operator do with RabbitMQ, without any of the product's code.

    A connection for each: a test may have taken the broker away in between.
    """

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
        async with self._channel() as channel:
            queue = await channel.declare_queue(f"{self._prefix}.{name}", passive=True)
            return int(queue.declaration_result.message_count or 0)

    async def drained(self, name: str) -> None:
        """Wait until nothing is ready in a queue."""
        async with asyncio.timeout(30):
            while await self.depth(name):  # noqa: ASYNC110 - it cannot be awaited, only asked
                await asyncio.sleep(0.05)

    async def dead(self, count: int) -> list[AbstractIncomingMessage]:
        """The next ``count`` dead letters, taken out."""
        letters: list[AbstractIncomingMessage] = []
        async with self._channel() as channel:
            queue = await channel.declare_queue(f"{self._prefix}.dead", passive=True)
            async with queue.iterator(timeout=30) as arriving:
                async for letter in arriving:
                    await letter.ack()
                    letters.append(letter)
                    if len(letters) == count:
                        break
        return letters


@pytest.fixture
def broker(amqp_url: str, topology_prefix: str) -> Broker:
    return Broker(amqp_url, topology_prefix)


@pytest.fixture
def unit(sandbox: Sandbox) -> Callable[..., Record]:
    """A work unit of its own about an incident of the world, for one webhook unless told otherwise."""

    def make(**fields: Any) -> Record:
        [made] = sandbox.world.work_units(1)
        made.pop("batch")
        made["work_unit_id"] = f"wu-{secrets.token_hex(6)}"
        return made | {"channels": ["webhook"]} | fields

    return make


@pytest.fixture
def hook(sandbox: Sandbox) -> Callable[..., Record]:
    """A webhook destination of its own in the inbox."""

    def make(destination_id: str, **fields: Any) -> Record:
        url = sandbox.inbox.webhook_url(destination_id)
        return {"destination_id": destination_id, "channel": "webhook", "url": url, "template": "intel"} | fields

    return make


Make = Callable[..., Record]
Publish = Callable[..., Awaitable[None]]
