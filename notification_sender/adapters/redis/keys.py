"""Finds keys for operators' commands, in steps that do not block Redis."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, TypeVar

from notification_sender.adapters.redis.client import Store

SCAN_COUNT = 1000
"""Keys that Redis examines per step of a scan."""

BATCH = 200
"""Commands sent together. Redis serves no other client meanwhile."""

PAGE = 100
"""Items of a list that are read at once: each may have some KB."""

UNIT, UNIT_STORY, NOTIFICATION, STORY = "}:unit:", "}:unit-story:", "}:notification:", ":story"

T = TypeVar("T")


def story_key(record: str) -> str:
    """Where ``record.lua`` keeps the story of a record. The id of a unit may end with ``:story``, so its story has a
    kind of its own; a notification's id is a UUID.
    """
    start, unit, name = record.partition(UNIT)
    return f"{start}{UNIT_STORY}{name}" if unit else f"{record}{STORY}"


def record_of(key: str) -> str | None:
    """The record whose story this key has; None: it has none."""
    start, story, name = key.partition(UNIT_STORY)
    if story:
        return f"{start}{UNIT}{name}"
    return key.removesuffix(STORY) if key.endswith(STORY) and NOTIFICATION in key else None


async def found(redis: Store, pattern: str, type_: str | None = None) -> AsyncIterator[str]:
    """Every key that matches, some twice; only those of one type, if that is given."""
    cursor, of = b"0", () if type_ is None else ("TYPE", type_)
    while True:
        cursor, keys = await redis.execute("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT, *of)
        for key in keys:
            yield key.decode()
        if int(cursor) == 0:
            return


async def list_of(redis: Store, key: str) -> AsyncIterator[bytes]:
    """The items of a list, a page at a time. Nothing may be removed meanwhile."""
    for start in range(0, int(await redis.execute("LLEN", key)), PAGE):
        for item in await redis.execute("LRANGE", key, start, start + PAGE - 1):
            yield item


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
