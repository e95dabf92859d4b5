"""The stories of units and notifications, for operators: found by id, and read with their records."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from notification_sender.adapters.redis.client import Store
from notification_sender.adapters.redis.keys import STORY, UNIT, record_of, story_key
from notification_sender.policy.story import Chapter

SCAN_COUNT = 1000
"""Keys that Redis examines per step of a scan."""

KINDS = ("unit", "notification")

MOST = 500
"""Notifications of a unit that are read at most."""


class RedisStories:
    """Reads what ``record.lua`` writes. Without an organization a search scans all keys, in steps."""

    def __init__(self, *, redis: Store, prefix: str) -> None:
        self._redis = redis
        self._start = f"{prefix}:1:{{"

    async def find(self, id_: str, organization_id: str | None = None) -> list[Chapter]:
        """The records of a notification, or of a work unit with all its versions and slices."""
        pattern = f"{self._start}{organization_id or '*'}}}:*:{id_}*"
        names = [it async for it in self._names(pattern) if it[1] in KINDS and _is(it[2], id_)]
        return await asyncio.gather(*(self.read(*it) for it in sorted(names)))

    async def read(self, organization_id: str, kind: str, name: str) -> Chapter:
        """One record with its story. Both may be gone: then they are empty."""
        key = f"{self._start}{organization_id}}}:{kind}:{name}"
        flat, lines = await asyncio.gather(self._read("HGETALL", key), self._read("LRANGE", story_key(key), 0, -1))
        record = dict(zip(flat[::2], flat[1::2], strict=True))
        return Chapter(organization_id, kind, name, record, lines)

    async def _read(self, command: str, key: str, *arguments: int) -> list[str]:
        """The texts under a key; none where another program wrote something else there."""
        try:
            stored = await self._redis.execute(command, key, *arguments)
        except RuntimeError:
            return []
        return [it.decode(errors="replace") for it in stored]

    async def notifications(self, units: Sequence[Chapter]) -> list[Chapter]:
        """The notifications of these units, ``MOST`` of them."""
        names = [(it.organization_id, "notification", name) for it in units for name in it.notifications]
        return await asyncio.gather(*(self.read(*it) for it in dict.fromkeys(names[:MOST])))

    async def _names(self, pattern: str) -> AsyncIterator[tuple[str, str, str]]:
        """Organization, kind and name of each record, once. A story outlives no record, but its key may come first."""
        seen, cursor = set[str](), b"0"
        while True:
            cursor, found = await self._redis.execute("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            for key in found:
                text = key.decode()
                record = record_of(text) or text
                if record not in seen and not await self._is_of_before(text):
                    seen.add(record)
                    owner, _, rest = record.removeprefix(self._start).partition("}:")
                    kind, _, name = rest.partition(":")
                    yield owner, kind, name
            if int(cursor) == 0:
                return

    async def _is_of_before(self, key: str) -> bool:
        """Whether it is the story of a unit as the version before wrote it, where a unit's record may be."""
        return UNIT in key and key.endswith(STORY) and await self._redis.execute("TYPE", key) == b"list"


def _is(name: str, id_: str) -> bool:
    """Whether a record has this id: a version and a slice may follow it."""
    return name == id_ or name.startswith((f"{id_}@", f"{id_}/"))
