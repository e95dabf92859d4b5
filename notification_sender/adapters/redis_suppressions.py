"""Recipients who want nothing of an organization, in Redis: a key each, that ends by itself."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import cast

from notification_sender.adapters.redis import Store
from notification_sender.model.destination import Suppression

AT_ONCE = 500
"""Commands that wait for an answer together."""


class RedisSuppressions:
    """The suppression list, by organization. A recipient is what ``recipient_hash`` makes of its address.

    Keys: ``<prefix>:1:{organization}:recipient:<hash>``, a string, the reason. ``admit`` looks whether it is there.
    Everything raises Unready while Redis is away.
    """

    def __init__(self, *, redis: Store, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def suppress(self, organization_id: str, recipients: Sequence[str], *, seconds: float, reason: str) -> None:
        """From now on for ``seconds``, however long it was before."""
        for some in _some(recipients):
            keys = [self._at(organization_id, recipient) for recipient in some]
            await asyncio.gather(
                *(self._redis.execute("SET", key, reason, "PX", round(seconds * 1000)) for key in keys)
            )

    async def unsuppress(self, organization_id: str, recipients: Sequence[str]) -> int:
        """Tell them again; how many were on the list."""
        removed = 0
        for some in _some(recipients):
            keys = [self._at(organization_id, recipient) for recipient in some]
            removed += cast("int", await self._redis.execute("DEL", *keys))
        return removed

    async def suppressed(self, organization_id: str) -> list[Suppression]:
        """All of an organization, by hash. Looks through all keys."""
        pattern = self._at(organization_id, "*")
        cursor, keys = b"0", set[bytes]()
        while True:
            cursor, found = await self._redis.execute("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            keys.update(found)
            if int(cursor) == 0:
                break
        listed: list[Suppression | None] = []
        for some in _some(sorted(key.decode() for key in keys)):
            listed += await asyncio.gather(*map(self._read, some))
        return [it for it in listed if it is not None]

    async def _read(self, key: str) -> Suppression | None:
        left, reason = await asyncio.gather(self._redis.execute("PTTL", key), self._redis.execute("GET", key))
        if reason is None or left <= 0:  # it ended meanwhile
            return None
        return Suppression(recipient=key.rpartition(":")[2], left=left / 1000, reason=reason.decode())

    def _at(self, organization_id: str, recipient: str) -> str:
        return f"{self._prefix}:1:{{{organization_id}}}:recipient:{recipient}"


def _some(all_of_them: Sequence[str]) -> Iterator[Sequence[str]]:
    return (all_of_them[start : start + AT_ONCE] for start in range(0, len(all_of_them), AT_ONCE))
