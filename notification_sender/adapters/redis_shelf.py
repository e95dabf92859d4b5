"""The shelf on Redis: facts for the whole fleet, worth a try and never an error."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import cast

from notification_sender.adapters.redis import Store
from notification_sender.model.errors import Unready


class RedisShelf:
    """The keys are the caller's, complete."""

    def __init__(self, *, redis: Store) -> None:
        self._redis = redis

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        """In the order of ``keys``; None for what is not there."""
        if not keys:
            return []
        try:
            return cast("list[bytes | None]", await self._redis.execute("MGET", *keys))
        except Unready:
            return [None] * len(keys)

    async def write(self, facts: Mapping[str, bytes], ttl: float) -> None:
        """``ttl`` in seconds."""
        milliseconds = max(1, round(ttl * 1000))
        writes = (self._redis.execute("SET", key, fact, "PX", milliseconds) for key, fact in facts.items())
        for end in await asyncio.gather(*writes, return_exceptions=True):
            if isinstance(end, BaseException) and not isinstance(end, Unready):
                raise end
