"""One fetch of a fact for the whole fleet: look it up in the shared cache, then fetch it, or wait for the fetcher."""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from notification_sender.context.cache.facts import (
    LARGEST_KEPT,
    Fact,
    Wanted,
    decode,
    encode,
    satisfies_fence,
    usable,
)
from notification_sender.context.cache.leases import FetchWaiters, decode_fault, encode_fault, fetch_holding_leases
from notification_sender.context.cache.local import LocalCache
from notification_sender.context.upstream.errors import BadRecord, NotFound
from notification_sender.fleet.background import BackgroundTasks
from notification_sender.model.cause import Cause, Phase, record_progress
from notification_sender.model.errors import ContextUnavailable
from notification_sender.ports.cache import CacheEntry, CacheLookup, SharedCache
from notification_sender.ports.clock import Clock, Dice

SOFT = 0.8
"""Share of its time to live after which a fact is fetched anew in the background."""

TOMBSTONE = 30.0
"""Seconds at most for which an absence is remembered: a record that only came late is seen by then."""

UNREADABLE = 10.0
"""The same of a record that cannot be read: long enough that not every unit splits the bulk call again."""

JITTER = 0.1
"""Share by which a time to live varies up and down: facts that were fetched together must not expire together."""

CHUNK = 100
"""Ids of one bulk call, by contract."""

_SAFE = re.compile(r"[A-Za-z0-9_.,-]{1,128}")

Count = Callable[[str, str], None]
"""Called for each fact that this process did not hold, with its kind and how it came.

``shelf``: from the shared cache; ``revalidating``: the same, while some process fetches it anew; ``fetched``;
``waited``: for another process' fetch; ``stale``: in place of a fetch that failed."""


class FleetFetch:
    """``deadline``: seconds for one fetch, and for the wait for another process' fetch."""

    def __init__(
        self,
        *,
        shared: SharedCache,
        local: LocalCache,
        clock: Clock,
        dice: Dice,
        prefix: str,
        deadline: float,
        count: Count,
    ) -> None:
        self.waiters = FetchWaiters()
        self._shared = shared
        self._local = local
        self._clock = clock
        self._dice = dice
        self._prefix = prefix
        self._deadline = deadline
        self._count = count
        self._background = BackgroundTasks()

    async def get(self, wanted: Wanted, ids: Sequence[str], unusable: Mapping[str, float]) -> dict[str, Fact]:
        """The facts of these ids, as far as they are known. ``unusable``: by id when a fact was fetched that the
        caller cannot use.

        Raises:
            ContextUnavailable: a fetch failed, and no kept fact may stand in for it.
            NotFound: the fetch raised it.

        """
        search = _Search(wanted, self._clock.now(), dict(unusable))
        try:
            await self._complete(search, ids)
        except ContextUnavailable:
            missing = {id_ for id_ in ids if id_ not in search.found}
            if not search.old.keys() >= missing:
                raise
            for id_ in missing:
                search.found[id_] = replace(search.old[id_], origin="stale")
                self._count(wanted.kind.name, "stale")
        return search.found

    async def close(self) -> None:
        """Cancel the fetches in the background."""
        await self._background.close()

    async def _complete(self, search: "_Search", ids: Sequence[str]) -> None:
        deadline = self._clock.monotonic() + self._deadline
        left = {id_: self._key(search.wanted, id_) for id_ in ids}
        while left:
            token = secrets.token_hex(8)
            with self.waiters.listening(left.values()) as woken:
                unusable = {key: search.unusable.get(id_, 0.0) for id_, key in left.items()}
                lookups = await self._shared.lookup(unusable, token)
                steps = await self._next_steps(search, dict(zip(left, lookups, strict=True)))
                if steps.renew:
                    self._renew(search, {id_: left[id_] for id_ in steps.renew}, token)
                if steps.fetch:
                    await self._fetch(search, {id_: left[id_] for id_ in steps.fetch}, token)
                elif steps.wait and not steps.lookup_again:
                    search.waited.update(steps.wait)
                    await self._wait(woken, min(steps.wait.values()), deadline)
            left = {id_: left[id_] for id_ in (*steps.wait, *steps.lookup_again)}
            if left and self._clock.monotonic() >= deadline:
                await self._fetch(search, left, token)  # the other process did not, so it seems
                return

    async def _next_steps(self, search: "_Search", lookups: Mapping[str, CacheLookup]) -> "_Steps":
        steps = _Steps()
        for id_, lookup in lookups.items():
            fact = await self._usable(search, id_, lookup)
            served = fact is not None and lookup.hard > 0
            if fact is not None and served:
                self._serve(search, id_, fact, lookup)
            elif fact is not None and fact.value is not None:
                search.old[id_] = fact
            if lookup.fetcher == "you":
                (steps.renew if served else steps.fetch).append(id_)
            elif not served and lookup.fetcher == "other" and (lookup.body is None or lookup.hard <= 0):
                steps.wait[id_] = lookup.lease
            elif not served:  # the shared cache takes the fact for usable: no fetch would end the wait
                search.unusable[id_] = lookup.fetched
                steps.lookup_again.append(id_)
        return steps

    async def _usable(self, search: "_Search", id_: str, lookup: CacheLookup) -> Fact | None:
        if lookup.body is None:
            return None
        wanted = search.wanted
        key, fresh_until = self._key(wanted, id_), self._clock.now() + lookup.soft
        fact = await decode(key, wanted.organization_id, lookup.body, lookup.fetched, fresh_until)
        if fact is None or usable(fact, wanted.fence, subject=wanted.subject):
            return fact
        # Fetched since this search began: another fetch would find the same.
        just_now = id_ in search.waited and fact.fetched_at >= search.asked and fact.value is not None
        return fact if just_now else None

    def _serve(self, search: "_Search", id_: str, fact: Fact, lookup: CacheLookup) -> None:
        wanted, waited = search.wanted, id_ in search.waited
        search.found[id_] = replace(fact, origin="fetched") if waited else fact
        self._hold(wanted, id_, fact, lookup.hard)
        self._count(wanted.kind.name, "waited" if waited else "shelf" if lookup.soft > 0 else "revalidating")

    async def _wait(self, woken: "asyncio.Future[str]", lease: float, deadline: float) -> None:
        """Wait for the end of another process' fetch, of its lease, or of the deadline."""
        record_progress(Cause(phase=Phase.SHARED))
        seconds = max(0.0, min(lease, deadline - self._clock.monotonic()))
        await asyncio.wait({woken}, timeout=seconds)
        if woken.done() and woken.result():
            raise decode_fault(woken.result())

    def _renew(self, search: "_Search", keys: dict[str, str], token: str) -> None:
        """Fetch anew in the background; meanwhile all units are served the facts that were found."""
        renewal = _Search(search.wanted, self._clock.now(), {})
        renewal.old = {id_: search.found[id_] for id_ in keys}
        self._background.start(self._revalidate(renewal, keys, token))

    async def _revalidate(self, search: "_Search", keys: dict[str, str], token: str) -> None:
        try:
            await self._fetch(search, keys, token)
        except (ContextUnavailable, NotFound):
            # The old fact is served for a while. The next lookup fetches again, and fails once there is no fact left.
            return

    async def _fetch(self, search: "_Search", keys: dict[str, str], token: str) -> None:
        ids = list(keys)
        chunks = [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
        fetches = (self._fetch_chunk(search, {id_: keys[id_] for id_ in chunk}, token) for chunk in chunks)
        for end in await asyncio.gather(*fetches, return_exceptions=True):
            if end is not None:
                raise end

    async def _fetch_chunk(self, search: "_Search", keys: dict[str, str], token: str) -> None:
        wanted, asked = search.wanted, self._clock.now()
        entries: dict[str, CacheEntry | None] = dict.fromkeys(keys.values())
        error = ""
        try:
            fetch = wanted.load(list(keys))
            values = await fetch_holding_leases(fetch, self._shared, list(entries), token, self._deadline)
            for id_, key in keys.items():
                if id_ in values:
                    self._count(wanted.kind.name, "fetched")
                    entries[key] = self._fetched(search, id_, values[id_], asked)
        except ContextUnavailable as fault:
            error = encode_fault(fault)
            raise
        finally:
            await self._shared.store(entries, token, error)

    def _fetched(self, search: "_Search", id_: str, value: Any, asked: float) -> CacheEntry | None:
        """Note the fact as fetched; what to store of it."""
        wanted, kind = search.wanted, search.wanted.kind
        old = search.old.get(id_)
        if isinstance(value, BadRecord) and old is not None and old.value is not None:
            search.found[id_] = replace(old, origin="stale")  # and it stays stored: better than a tombstone
            return None
        dice = self._dice()
        ttl = kind.ttl * (1 + JITTER * (2 * dice - 1))
        fact = _fact(value, asked, asked + SOFT * ttl)
        search.found[id_] = fact
        age = self._clock.now() - asked
        if fact.value is not None and satisfies_fence(wanted.fence, fact):
            entry = CacheEntry(b"", asked, SOFT * ttl - age, ttl - age, ttl + kind.stale - age)
        elif wanted.subject:
            return None
        else:
            short = min(ttl, (UNREADABLE if fact.bad else TOMBSTONE) * (1 - JITTER * dice))
            fact = replace(fact, value=None, fresh_until=asked + short)
            entry = CacheEntry(b"", asked, short - age, short - age, short - age)
        if entry.hard <= 0:
            return None
        self._hold(wanted, id_, fact, entry.hard)
        body = encode(self._key(wanted, id_), wanted.organization_id, fact)
        return replace(entry, body=body) if len(body) <= LARGEST_KEPT else None

    def _hold(self, wanted: Wanted, id_: str, fact: Fact, hard: float) -> None:
        if not fact.bad:  # a caller of the local cache takes the value alone, and would take this one for an absence
            self._local.put(wanted.kind, wanted.organization_id, id_, fact, hard)

    def _key(self, wanted: Wanted, id_: str) -> str:
        return f"{self._prefix}:1:{{{wanted.organization_id}}}:fact:{wanted.kind.name}:{_safe(id_)}"


@dataclass(slots=True)
class _Search:
    """How far one search has come."""

    wanted: Wanted
    asked: float
    """When the search began, epoch time."""
    unusable: dict[str, float]
    """When a fact was fetched that this search cannot use, by id."""
    found: dict[str, Fact] = field(default_factory=dict)
    old: dict[str, Fact] = field(default_factory=dict)
    """Facts past their time, which may stand in for a fetch that fails."""
    waited: set[str] = field(default_factory=set)
    """Ids for which this search waited for another process' fetch."""


@dataclass(slots=True)
class _Steps:
    """What to do next after one lookup, by id."""

    fetch: list[str] = field(default_factory=list)
    renew: list[str] = field(default_factory=list)
    """Fetch in the background: the fact is served meanwhile."""
    wait: dict[str, float] = field(default_factory=dict)
    """Wait for another process' fetch, for so many seconds."""
    lookup_again: list[str] = field(default_factory=list)
    """Look up once more, and say that the fact there cannot be used."""


def _fact(value: Any, now: float, until: float) -> Fact:
    if isinstance(value, NotFound):
        words = str(value) or type(value).__name__
        return Fact(None, now, until, words=words, cause=value.cause, origin="fetched")
    if isinstance(value, BadRecord):
        return Fact(None, now, until, words=str(value), bad=True, cause=value.cause, origin="fetched")
    return Fact(value, now, until, origin="fetched")


def _safe(id_: str) -> str:
    """Ids come from outside and may hold anything, also colons and megabytes. ``~`` is no safe character, so no id
    collides with the digest of another.
    """
    return id_ if _SAFE.fullmatch(id_) else f"~{hashlib.blake2b(id_.encode(), digest_size=20).hexdigest()}"
