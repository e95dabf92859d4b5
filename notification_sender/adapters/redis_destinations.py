"""The records of destinations, for people: which are off or failing, and switching one on again."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

from notification_sender.adapters.redis import Store
from notification_sender.policy.limits import SECOND

FIELDS = ("failing", "off", "until", "hold")
COUNT = 1000
"""Keys looked at in one step of a scan."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One address of a destination with which something is wrong. Epoch times, s; 0 where that is not so."""

    organization_id: str
    destination_id: str
    address: str
    """The start of its hash: tells one address of a destination from another, and is none."""
    off: str
    """Why it was switched off: ``gone``, ``failing``; also after that time, until something is accepted again."""
    until: float
    failing_since: float
    hold_until: float


class RedisDestinations:
    """Looks through all keys: for people, not for the hot path."""

    def __init__(self, *, redis: Store, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def troubled(self, organization_id: str | None = None) -> list[Trouble]:
        """Every destination that is off, failing, or wants nothing for a while, by organization and id."""
        found = [await self._read(key) async for key in self._keys(organization_id or "*", "*")]
        return sorted(
            (it for it in found if it is not None), key=lambda it: (it.organization_id, it.destination_id, it.address)
        )

    async def enable(self, organization_id: str, destination_id: str) -> int:
        """Switch a destination on again at every address; at how many it was off.

        Why it was off stays written there until something is accepted: then it has recovered.
        """
        # An id may hold a colon itself: the pattern finds others, too.
        pattern, own = f"{destination_id}:*", f"destination:{destination_id}".encode()
        keys = [key async for key in self._keys(organization_id, pattern) if key.rpartition(b":")[0].endswith(own)]
        return sum([cast("int", await self._redis.execute("HDEL", key, "until")) for key in keys])

    async def _keys(self, organization_id: str, name: str) -> AsyncIterator[bytes]:
        pattern = f"{self._prefix}:1:{{{organization_id}}}:destination:{name}"
        cursor = b"0"
        while True:
            cursor, found = await self._redis.execute("SCAN", cursor, "MATCH", pattern, "COUNT", COUNT)
            for key in found:
                yield key
            if int(cursor) == 0:
                return

    async def _read(self, key: bytes) -> Trouble | None:
        failing, off, until, hold = await self._redis.execute("HMGET", key, *FIELDS)
        if not (failing or off or hold):
            return None
        owner, _, name = key.decode().removeprefix(f"{self._prefix}:1:{{").partition("}:destination:")
        destination, _, address = name.rpartition(":")
        moments = [int(value or 0) / SECOND for value in (until, failing, hold)]
        return Trouble(owner, destination, address[:8], (off or b"").decode(), *moments)
