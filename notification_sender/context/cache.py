"""Facts that were fetched: at hand in the process, on the shelf for the fleet, else fetched, once for all who ask."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from notification_sender.context.facts import Copy, Kind, Wanted, decoded, encoded, lets, precedes
from notification_sender.context.flights import Flights
from notification_sender.context.upstream import NotFound
from notification_sender.model.errors import ContextUnavailable
from notification_sender.ports import Clock, Dice, Shelf

AT_HAND = 5.0
"""Seconds that a process trusts its own copy: an invalidation or a newer fact elsewhere is seen by then."""

TOMBSTONE = 30.0
"""Seconds at most that it is remembered that there is none: what only came late is seen by then."""

JITTER = 0.1
"""A time to live is spread by this share up and down: what was fetched together must not expire together."""

CHUNK = 100
"""Ids of one bulk call, by contract."""

_SAFE = re.compile(r"[A-Za-z0-9_.,-]{1,128}")

Origin = Literal["shelf", "fetched", "stale"]


@dataclass(frozen=True, slots=True)
class Found:
    """What is known, by id, also that there is none; the least direct way that one of them came."""

    copies: dict[str, Copy]
    origin: Origin


class Cache:
    """Read-through over the shelf. Only whole answers are kept, and for a short time that the API has none: no error,
    and of what the fence refuses no more than that it was refused.
    """

    def __init__(self, *, shelf: Shelf, clock: Clock, dice: Dice, prefix: str, capacity: int = 4096) -> None:
        self._shelf = shelf
        self._clock = clock
        self._dice = dice
        self._prefix = prefix
        self._capacity = capacity
        self._at_hand: dict[tuple[str, str, str], tuple[Copy, float]] = {}
        self._flights: Flights[tuple[str, str, str], dict[str, Copy]] = Flights()

    def at_hand(self, kind: Kind, organization_id: str, ids: Iterable[str]) -> dict[str, Copy | None]:
        """By id, in their order: a fresh copy in this process, which costs no wait."""
        now, name = self._clock.monotonic(), kind.name
        copies: dict[str, Copy | None] = {}
        for id_ in ids:
            copy, until = self._at_hand.get((organization_id, name, id_), _NOTHING)
            copies[id_] = copy if until > now else None
        return copies

    async def find(self, wanted: Wanted, ids: Sequence[str]) -> Found:
        """What is known of these, from the shelf where it may be used, else fetched.

        Raises:
            ContextUnavailable: a fetch failed, and no copy may stand in for it.
            Whatever else the fetch raises.

        """
        found, old = await self._read(wanted, ids)
        missing = [id_ for id_ in ids if id_ not in found]
        if not missing:
            return Found(found, "shelf")
        try:
            found |= await self._fetch(wanted, missing)
        except ContextUnavailable:
            if not old.keys() >= set(missing):
                raise
            return Found(found | {id_: old[id_] for id_ in missing}, "stale")
        return Found(found, "fetched")

    async def _read(self, wanted: Wanted, ids: Sequence[str]) -> tuple[dict[str, Copy], dict[str, Copy]]:
        """What the shelf has: fresh copies, and those that are past their time."""
        fresh: dict[str, Copy] = {}
        old: dict[str, Copy] = {}
        bodies = await self._shelf.read([self._key(wanted, id_) for id_ in ids])
        now = self._clock.now()
        # Somebody may have fetched it while the shelf was read.
        at_hand = self.at_hand(wanted.kind, wanted.organization_id, ids)
        for id_, body in zip(ids, bodies, strict=True):
            copy = at_hand[id_] or decoded(wanted.organization_id, body)
            if copy is None or not wanted.accepts(copy):
                continue
            if copy.fresh_until > now:
                fresh[id_] = copy
                self._hold(wanted, id_, copy)
            elif copy.value is not None:
                old[id_] = copy
        return fresh, old

    async def _fetch(self, wanted: Wanted, ids: Sequence[str]) -> dict[str, Copy]:
        asked = self._clock.now()
        found = await self._land(wanted, ids)
        early = [id_ for id_, copy in found.items() if _too_early(wanted.fence, copy, asked)]
        if early:  # what is under way now began after we came
            found |= await self._land(wanted, early)
        return found

    async def _land(self, wanted: Wanted, ids: Sequence[str]) -> dict[str, Copy]:
        """Join what is under way, start the rest in chunks."""
        flights = set()
        rest = []
        for id_ in dict.fromkeys(ids):
            flight = self._flights.under_way(_place(wanted, id_))
            if flight is None:
                rest.append(id_)
            else:
                flights.add(flight)
        now = self._clock.now()
        for start in range(0, len(rest), CHUNK):
            chunk = rest[start : start + CHUNK]
            places = [_place(wanted, id_) for id_ in chunk]
            flights.add(self._flights.start(places, self._load(wanted, chunk, now)))
        landed: dict[str, Copy] = {}
        for copies in await self._flights.land(flights):
            landed |= copies
        return {id_: landed[id_] for id_ in ids if id_ in landed}

    async def _load(self, wanted: Wanted, ids: Sequence[str], now: float) -> dict[str, Copy]:
        values = await wanted.load(ids)
        dice = self._dice()
        ttl = wanted.kind.ttl * (1 + JITTER * (2 * dice - 1))
        short = min(ttl, TOMBSTONE * (1 - JITTER * dice))
        copies: dict[str, Copy] = {}
        kept: dict[str, Copy] = {}
        tombstones: dict[str, Copy] = {}
        for id_ in values.keys() & ids:
            value = values[id_]
            if value is None or isinstance(value, NotFound):
                copies[id_] = tombstones[id_] = Copy(None, now, now + short, str(value or ""))
                continue
            copies[id_] = copy = Copy(value, now, now + ttl)
            if lets(wanted.fence, copy):
                kept[id_] = copy
            else:
                tombstones[id_] = Copy(None, now, now + short)
        await self._keep(wanted, kept, ttl + wanted.kind.stale)
        if not wanted.subject:
            await self._keep(wanted, tombstones, short)
        return copies

    async def _keep(self, wanted: Wanted, copies: Mapping[str, Copy], ttl: float) -> None:
        for id_, copy in copies.items():
            self._hold(wanted, id_, copy)
        if copies:
            organization_id = wanted.organization_id
            bodies = {self._key(wanted, id_): encoded(organization_id, copy) for id_, copy in copies.items()}
            await self._shelf.write(bodies, ttl)

    def _hold(self, wanted: Wanted, id_: str, copy: Copy) -> None:
        held, now = self._at_hand, self._clock.monotonic()
        held[_place(wanted, id_)] = (copy, now + min(copy.fresh_until - self._clock.now(), AT_HAND))
        held.move_to_end(_place(wanted, id_))
        # The least used come first, and none lasts long: what nobody asks for any more leaves the memory here.
        while len(held) > self._capacity or (held and next(iter(held.values()))[1] <= now):
            held.popitem(last=False)

    def _key(self, wanted: Wanted, id_: str) -> str:
        return f"{self._prefix}:1:{{{wanted.organization_id}}}:fact:{wanted.kind.name}:{_safe(id_)}"


def _place(wanted: Wanted, id_: str) -> tuple[str, str, str]:
    return wanted.organization_id, wanted.kind.name, id_


def _safe(id_: str) -> str:
    """Ids of others may hold anything, also colons and megabytes; ``~`` is no safe character, so none collides."""
    return id_ if _SAFE.fullmatch(id_) else f"~{hashlib.blake2b(id_.encode(), digest_size=20).hexdigest()}"


def _too_early(fence: Fence | None, copy: Copy, asked: float) -> bool:
    """Somebody else's fetch that began before we asked, and before what this unit is about had happened."""
    if copy.fetched_at >= asked or fence is None or lets(fence, copy):
        return False
    since = fence.modified or fence.fetched
    return since is not None and copy.fetched_at < since.timestamp()


def _encoded(wanted: Wanted, copy: Copy) -> bytes:
    return orjson.dumps(
        {
            "organization_id": wanted.organization_id,
            "fetched_at": copy.fetched_at,
            "fresh_until": copy.fresh_until,
            "value": copy.value,
        }
    )


def _decoded(wanted: Wanted, body: bytes | None) -> Copy | None:
    """What cannot be read, or is somebody else's, is not there."""
    try:
        entry = orjson.loads(body or b"null")
    except orjson.JSONDecodeError:
        return None
    match entry:
        case {"organization_id": wanted.organization_id, "fetched_at": float(at), "fresh_until": float(until)}:
            return Copy(entry["value"], at, until) if entry.get("value") is not None else None
    return None
