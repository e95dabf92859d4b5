"""Records in Redis that operators read and change: destinations that are off or failing, and the suppression list."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields
from typing import cast

from notification_sender.adapters.redis.client import Store
from notification_sender.model.destination import Suppression
from notification_sender.model.timestamps import format_rfc3339
from notification_sender.policy.limits import SECOND, Arrivals

RECORD_FIELDS = ("failing", "off", "until", "hold")
SCAN_COUNT = 1000
"""Keys that Redis examines per step of a scan."""

COMMAND_BATCH = 200
"""Commands sent together, and keys per command. Redis serves no other client meanwhile."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One address of a destination that is off, failing or waiting. Times are epoch seconds; 0: not set."""

    organization_id: str
    destination_id: str
    address: str
    """The first characters of the address's hash: they distinguish addresses and reveal none."""
    off: str
    """Why it was switched off: ``gone`` or ``failing``. Stays set after ``until``, up to the next accepted delivery."""
    until: float
    failing_since: float
    hold_until: float
    waits_for: str = ""
    """Which of the operator's files is missing, and what to do."""

    def known(self) -> dict[str, str | None]:
        """As JSON has it."""
        times = {name: getattr(self, name) for name in ("until", "failing_since", "hold_until")}
        return {
            "organization_id": self.organization_id,
            "destination_id": self.destination_id,
            "address": self.address,
            "off": self.off,
            **{name: format_rfc3339(at, "seconds") if at else None for name, at in times.items()},
            "waits_for": self.waits_for,
        }


@dataclass(frozen=True, slots=True)
class Missing:
    """A destination to which nothing is sent until a file of the operator's is there. ``cause`` names the file."""

    organization_id: str
    destination_id: str
    cause: str


class RedisDestinations:
    """The records of destinations. Every query scans all keys: for operators, not for the hot path."""

    def __init__(self, *, redis: Store, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def troubled(self, organization_id: str | None = None) -> list[Trouble]:
        """Every destination that is off, failing, held or waiting, sorted by organization and id."""
        owner = organization_id or "*"
        found = [await self._read(key) async for key in self._keys(owner, "destination:*")]
        found += [await self._read_missing(key) async for key in self._keys(owner, "waiting:*")]
        return sorted(
            (it for it in found if it is not None), key=lambda it: (it.organization_id, it.destination_id, it.address)
        )

    async def enable(self, organization_id: str, destination_id: str) -> int:
        """Enable a destination at all its addresses; returns at how many it was off.

        The record keeps the reason until the destination accepts a delivery: only then has it recovered.
        """
        # An id may contain a colon, so the pattern may match the keys of other destinations.
        pattern, own = f"destination:{destination_id}:*", f"destination:{destination_id}".encode()
        keys = [key async for key in self._keys(organization_id, pattern) if key.rpartition(b":")[0].endswith(own)]
        return sum([cast("int", await self._redis.execute("HDEL", key, "until")) for key in keys])

    async def record_missing(self, missing: Iterable[Missing], seconds: float) -> None:
        """Record that these destinations wait for a file. A record expires after ``seconds``."""
        for it in missing:
            key = f"{self._prefix}:1:{{{it.organization_id}}}:waiting:{it.destination_id}"
            await self._redis.execute("SET", key, it.cause, "PX", round(1000 * seconds))

    async def _keys(self, organization_id: str, name: str) -> AsyncIterator[bytes]:
        pattern = f"{self._prefix}:1:{{{organization_id}}}:{name}"
        cursor = b"0"
        while True:
            cursor, found = await self._redis.execute("SCAN", cursor, "MATCH", pattern, "COUNT", SCAN_COUNT)
            for key in found:
                yield key
            if int(cursor) == 0:
                return

    async def _read_missing(self, key: bytes) -> Trouble | None:
        cause = await self._redis.execute("GET", key)
        owner, _, destination = key.decode().removeprefix(f"{self._prefix}:1:{{").partition("}:waiting:")
        return cause and Trouble(owner, destination, "", "", 0.0, 0.0, 0.0, waits_for=cause.decode())

    async def _read(self, key: bytes) -> Trouble | None:
        failing, off, until, hold = await self._redis.execute("HMGET", key, *RECORD_FIELDS)
        if not (failing or off or hold):
            return None
        owner, _, name = key.decode().removeprefix(f"{self._prefix}:1:{{").partition("}:destination:")
        destination, _, address = name.rpartition(":")
        ends, began, held = (int(value or 0) / SECOND for value in (until, failing, hold))
        return Trouble(owner, destination, address[:8], (off or b"").decode(), ends, began, held)


class RedisSuppressions:
    """The suppression list, by organization. A recipient is known by its ``recipient_hash``.

    Keys: ``<prefix>:1:{organization}:recipient:<hash>``, a string, the reason. ``admit.lua`` looks for the key.
    Every method raises Unready while Redis is away.
    """

    def __init__(self, *, redis: Store, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def suppress(self, organization_id: str, recipients: Sequence[str], *, seconds: float, reason: str) -> None:
        """Suppress for ``seconds`` from now. An earlier end is replaced."""
        for batch in _batches(recipients):
            keys = [self._at(organization_id, recipient) for recipient in batch]
            await asyncio.gather(
                *(self._redis.execute("SET", key, reason, "PX", round(seconds * 1000)) for key in keys)
            )

    async def is_suppressed(self, organization_id: str, recipient: str) -> bool:
        """Whether the recipient is on the list."""
        return bool(await self._redis.execute("EXISTS", self._at(organization_id, recipient)))

    async def unsuppress(self, organization_id: str, recipients: Sequence[str]) -> int:
        """Take recipients off the list; returns how many were on it."""
        removed = 0
        for batch in _batches(recipients):
            keys = [self._at(organization_id, recipient) for recipient in batch]
            removed += cast("int", await self._redis.execute("DEL", *keys))
        return removed

    async def suppressed(self, organization_id: str) -> list[Suppression]:
        """Every suppression of an organization, by hash. Scans all keys."""
        pattern = self._at(organization_id, "*")
        cursor, keys = b"0", set[bytes]()
        while True:
            cursor, found = await self._redis.execute("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            keys.update(found)
            if int(cursor) == 0:
                break
        listed: list[Suppression | None] = []
        for batch in _batches(sorted(key.decode() for key in keys)):
            listed += await asyncio.gather(*map(self._read, batch))
        return [it for it in listed if it is not None]

    async def _read(self, key: str) -> Suppression | None:
        left, reason = await asyncio.gather(self._redis.execute("PTTL", key), self._redis.execute("GET", key))
        if reason is None or left <= 0:  # it expired meanwhile
            return None
        return Suppression(recipient=key.rpartition(":")[2], left=left / 1000, reason=reason.decode())

    def _at(self, organization_id: str, recipient: str) -> str:
        return f"{self._prefix}:1:{{{organization_id}}}:recipient:{recipient}"


class RedisLimits:
    """The sends and bookings of the limits of an organization. ``admit.lua`` writes it."""

    def __init__(self, *, redis: Store, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix

    async def arrivals(self, organization_id: str, key: str) -> Arrivals:
        """Of one limit; nothing was sent and booked where there is no record, or another program wrote it."""
        stored = await self._redis.execute("GET", self._at(organization_id, key))
        numbers = (stored or b"").split()
        return Arrivals(*map(int, numbers)) if len(numbers) == len(fields(Arrivals)) else Arrivals(0, 0)

    async def forget(self, organization_id: str, name: str) -> None:
        """Begin anew with a full burst, and forget all bookings."""
        await self._redis.execute("DEL", self._at(organization_id, name))

    def _at(self, organization_id: str, key: str) -> str:
        return f"{self._prefix}:1:{{{organization_id}}}:limit:{key}"


def _batches(items: Sequence[str]) -> Iterator[Sequence[str]]:
    return (items[start : start + COMMAND_BATCH] for start in range(0, len(items), COMMAND_BATCH))
