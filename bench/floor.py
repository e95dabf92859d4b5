"""The floor, as a process: the least that aio-pika and aiohttp need to take a message, post a body, and ack.

``python -m bench.floor AMQP_URL QUEUE TARGET_URL BYTES PREFETCH``. No claim, no context, no template, no signature,
no log, no retry: what the full job costs above it is what those cost. A message that names another target in its
``reply-to`` is posted there.
"""

import asyncio
import sys

import aio_pika
import aiohttp
from aio_pika.abc import AbstractIncomingMessage

from bench.machine import raise_open_files


async def work(amqp_url: str, queue_name: str, target: str, size: int, prefetch: int) -> None:
    """Until the process is ended."""
    body = b"x" * size
    raise_open_files()
    connection = await aio_pika.connect_robust(amqp_url)
    channel = await connection.channel()
    await channel.set_qos(prefetch_count=prefetch)
    queue = await channel.get_queue(queue_name, ensure=False)
    # aiohttp's own limit of 100 connections would halve what is in flight.
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def post(message: AbstractIncomingMessage) -> None:
            to = message.reply_to or target
            headers = {"content-type": "application/json", "webhook-id": message.message_id or ""}
            async with session.post(to, data=body, headers=headers) as response:
                await response.read()
            await message.ack()

        await queue.consume(post)
        await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(work(sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
