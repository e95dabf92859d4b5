"""Finds keys for operators' commands, in steps that do not block Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from notification_sender.adapters.redis.client import Store

SCAN_COUNT = 1000
"""Keys that Redis examines per step of a scan."""

BATCH = 200
"""Commands sent together. Redis serves no other client meanwhile."""

T = TypeVar("T")


async def found(redis: Store, pattern: str) -> AsyncIterator[str]:
    """Every key that matches, some twice."""
    cursor = b"0"
    while True:
        cursor, keys = await redis.execute("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
        for key in keys:
            yield key.decode()
        if int(cursor) == 0:
            return


async def in_batches(of: AsyncIterator[T], work: Callable[[Sequence[T]], Awaitable[Any]]) -> None:
    """Call ``work`` with at most ``BATCH`` different items at once."""
    batch: dict[T, None] = {}
    async for it in of:
        batch[it] = None
        if len(batch) == BATCH:
            await work([*batch])
            batch = {}
    if batch:
        await work([*batch])


async def each(redis: Store, command: str, keys: Sequence[str], *arguments: Any) -> list[Any]:
    """The command on each key; the replies in their order."""
    return await asyncio.gather(*(redis.execute(command, key, *arguments) for key in keys))
