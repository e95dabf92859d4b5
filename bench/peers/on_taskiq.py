"""taskiq: ``taskiq worker bench.peers.on_taskiq:broker``; as a program it publishes the backlog."""

import asyncio
from typing import Any

from taskiq import TaskiqEvents, TaskiqState
from taskiq.serializers import ORJSONSerializer
from taskiq_aio_pika import AioPikaBroker, Queue

from bench.peers.async_post import post, session
from bench.peers.job import AMQP_URL, AT_ONCE, IN_FLIGHT, QUEUE, backlog, in_parts

broker = AioPikaBroker(AMQP_URL, qos=IN_FLIGHT, task_queues=[Queue(name=QUEUE)])
broker = broker.with_serializer(ORJSONSerializer())


@broker.on_event(TaskiqEvents.WORKER_STARTUP)
async def open_session(state: TaskiqState) -> None:
    state.session = session()


@broker.on_event(TaskiqEvents.WORKER_SHUTDOWN)
async def close_session(state: TaskiqState) -> None:
    await state.session.close()


@broker.task(task_name="deliver")
async def deliver(webhook_id: str, unit: dict[str, Any]) -> None:  # noqa: ARG001 - a message carries its unit
    await post(broker.state.session, webhook_id)


async def publish() -> None:
    await broker.startup()
    for some in in_parts(backlog(), AT_ONCE):
        await asyncio.gather(*(deliver.kiq(webhook_id, unit) for webhook_id, unit in some))
    await broker.shutdown()


if __name__ == "__main__":
    asyncio.run(publish())
