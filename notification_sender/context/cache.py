"""Facts that were fetched: at hand in the process, on the shelf for the fleet, else fetched, once for all who ask."""

import hashlib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Literal

from notification_sender.context.facts import Copy, Kind, Wanted, accepted, decoded, encoded, lets, precedes
from notification_sender.context.flights import Flights
from notification_sender.context.upstream import NotFound
from notification_sender.model.errors import ContextUnavailable
from notification_sender.policy.freshness import Fence
from notification_sender.ports import Clock, Dice, Shelf

AT_HAND = 5.0
"""Seconds that a process trusts its own copy: an invalidation or a newer fact elsewhere is seen by then."""

TOMBSTONE = 30.0
"""Seconds at most that it is remembered that there is none: what only came late is seen by then."""

JITTER = 0.1
"""A time to live is spread by this share up and down: what was fetched together must not expire together."""

CHUNK = 100
"""Ids of one bulk call, by contract."""

_NEVER = (None, -math.inf)

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

    def at_hand(self, kind: Kind, organization_id: str, id_: str) -> Copy | None:
        """A fresh copy in this process: costs no wait."""
        copy, until = self._at_hand.get((organization_id, kind.name, id_), _NEVER)
        return copy if until > self._clock.monotonic() else None

    def all_at_hand(self, kind: Kind, organization_id: str, ids: Iterable[str]) -> tuple[dict[str, Any], list[str]]:
        """The values of those that are at hand, None where there is none; the ids of the others."""
        now, name = self._clock.monotonic(), kind.name
        values: dict[str, Any] = {}
        others = []
        for id_ in ids:
            copy, until = self._at_hand.get((organization_id, name, id_), _NEVER)
            if copy is not None and until > now:
                values[id_] = copy.value
            else:
                others.append(id_)
        return values, others

    async def find(self, wanted: Wanted, ids: Sequence[str]) -> Found:
        """What is known of these, from the shelf where it may be used, else fetched.

        Raises:
            ContextUnavailable: a fetch failed, and no copy may stand in for it.
            NotFound: the fetch raised it, and nothing of that is remembered.

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
        for id_, body in zip(ids, bodies, strict=True):
            # Somebody may have fetched it while the shelf was read.
            at_hand = self.at_hand(wanted.kind, wanted.organization_id, id_)
            copy = _best(wanted, decoded(wanted.organization_id, body), at_hand)
            if copy is None:
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
        copies = {id_: _copy(values[id_], now, now + ttl) for id_ in ids if id_ in values}
        kept = {id_: copy for id_, copy in copies.items() if copy.value is not None and lets(wanted.fence, copy)}
        await self._keep(wanted, kept, ttl + wanted.kind.stale)
        if not wanted.subject:
            buried = {id_: copy for id_, copy in copies.items() if id_ not in kept}
            tombstones = {id_: replace(copy, value=None, fresh_until=now + short) for id_, copy in buried.items()}
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
        held, place, now = self._at_hand, _place(wanted, id_), self._clock.monotonic()
        held.pop(place, None)
        held[place] = (copy, now + min(copy.fresh_until - self._clock.now(), AT_HAND))
        # The oldest come first, and none lasts long: what nobody asks for any more leaves the memory here.
        while len(held) > self._capacity or (held and next(iter(held.values()))[1] <= now):
            del held[next(iter(held))]

    def _key(self, wanted: Wanted, id_: str) -> str:
        return f"{self._prefix}:1:{{{wanted.organization_id}}}:fact:{wanted.kind.name}:{_safe(id_)}"


def _place(wanted: Wanted, id_: str) -> tuple[str, str, str]:
    return wanted.organization_id, wanted.kind.name, id_


def _safe(id_: str) -> str:
    """Ids of others may hold anything, also colons and megabytes; ``~`` is no safe character, so none collides."""
    return id_ if _SAFE.fullmatch(id_) else f"~{hashlib.blake2b(id_.encode(), digest_size=20).hexdigest()}"


def _copy(value: Any, now: float, until: float) -> Copy:
    if isinstance(value, NotFound):
        return Copy(None, now, until, words=str(value) or type(value).__name__)
    return Copy(value, now, until)


def _best(wanted: Wanted, *copies: Copy | None) -> Copy | None:
    """Of those that may be used the one that lasts longest: neither place may hide what the other one knows."""
    usable = (copy for copy in copies if copy and accepted(copy, wanted.fence, subject=wanted.subject))
    return max(usable, key=attrgetter("fresh_until"), default=None)


def _too_early(fence: Fence | None, copy: Copy, asked: float) -> bool:
    """Somebody else's fetch that began before we asked, and before what this unit is about had happened."""
    return fence is not None and copy.fetched_at < asked and precedes(copy, fence) and not lets(fence, copy)
