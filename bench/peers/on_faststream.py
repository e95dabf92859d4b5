"""FastStream: ``faststream run bench.peers.on_faststream:app``; as a program it publishes the backlog."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
from faststream import AckPolicy, FastStream
from faststream.rabbit import Channel, QueueType, RabbitBroker, RabbitQueue

from bench.peers.async_post import post, session
from bench.peers.job import AMQP_URL, AT_ONCE, IN_FLIGHT, QUEUE, backlog, in_parts

queue = RabbitQueue(QUEUE, queue_type=QueueType.QUORUM)

broker = RabbitBroker(AMQP_URL, default_channel=Channel(prefetch_count=IN_FLIGHT), apply_types=False, logger=None)
sessions: list[aiohttp.ClientSession] = []


@asynccontextmanager
async def lifespan() -> AsyncIterator[None]:
    async with session() as opened:
        sessions.append(opened)
        yield


app = FastStream(broker, lifespan=lifespan)


@broker.subscriber(queue, ack_policy=AckPolicy.NACK_ON_ERROR)
async def deliver(job: dict[str, Any]) -> None:
    await post(sessions[0], job["webhook_id"])


async def publish() -> None:
    async with RabbitBroker(AMQP_URL, logger=None) as publisher:
        await publisher.declare_queue(queue)
        for some in in_parts(backlog(), AT_ONCE):
            jobs = [{"webhook_id": webhook_id, "unit": unit} for webhook_id, unit in some]
            await asyncio.gather(*(publisher.publish(job, queue, persist=True) for job in jobs))


if __name__ == "__main__":
    asyncio.run(publish())
