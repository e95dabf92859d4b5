"""One fetch a fact for the whole fleet: ask the shelf, then fetch, or wait for whoever does."""

import asyncio
import hashlib
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from notification_sender.context.at_hand import AtHand
from notification_sender.context.facts import Copy, Wanted, accepted, decoded, encoded, lets
from notification_sender.context.leads import Wakes, led
from notification_sender.context.upstream import NotFound
from notification_sender.model.errors import ContextUnavailable
from notification_sender.ports import Clock, Dice, Keep, Look, Shelf

SOFT = 0.8
"""Share of its time to live after which a fact is fetched anew in the background."""

TOMBSTONE = 30.0
"""Seconds at most that it is remembered that there is none: what only came late is seen by then."""

JITTER = 0.1
"""A time to live is spread by this share up and down: what was fetched together must not expire together."""

CHUNK = 100
"""Ids of one bulk call, by contract."""

_SAFE = re.compile(r"[A-Za-z0-9_.,-]{1,128}")

Origin = Literal["shelf", "fetched", "stale"]

Count = Callable[[str, str], None]
"""Is told of each fact that was not at hand: its kind, and how it came. ``shelf``, ``revalidating`` (from the shelf,
while somebody fetches it anew), ``fetched``, ``waited`` (for somebody else's fetch), ``stale`` (none could be had)."""


@dataclass(frozen=True, slots=True)
class Landed:
    """A fact, and where it came from."""

    copy: Copy
    origin: Origin


class Fetches:
    """``deadline`` s for one fetch, and for waiting for somebody else's."""

    def __init__(
        self, *, shelf: Shelf, at_hand: AtHand, clock: Clock, dice: Dice, prefix: str, deadline: float, count: Count
    ) -> None:
        self.wakes = Wakes()
        self._shelf = shelf
        self._at_hand = at_hand
        self._clock = clock
        self._dice = dice
        self._prefix = prefix
        self._deadline = deadline
        self._count = count
        self._background: set[asyncio.Task[None]] = set()

    async def obtain(self, wanted: Wanted, ids: Sequence[str], unusable: Mapping[str, float]) -> dict[str, Landed]:
        """All of these that can be told; ``unusable``: by id when a copy was fetched that the caller cannot use.

        Raises:
            ContextUnavailable: a fetch failed, and no copy may stand in for it.
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
                search.found[id_] = Landed(search.old[id_], "stale")
                self._count(wanted.kind.name, "stale")
        return search.found

    async def close(self) -> None:
        """End what is still being fetched anew."""
        for task in self._background:
            task.cancel()
        await asyncio.gather(*self._background, return_exceptions=True)

    async def _complete(self, search: "_Search", ids: Sequence[str]) -> None:
        deadline = self._clock.monotonic() + self._deadline
        left = {id_: self._key(search.wanted, id_) for id_ in ids}
        while left:
            token = secrets.token_hex(8)
            with self.wakes.listening(left.values()) as woken:
                looks = await self._shelf.look({key: search.unusable.get(id_, 0.0) for id_, key in left.items()}, token)
                sorted_ = self._sort(search, dict(zip(left, looks, strict=True)))
                if sorted_.old:
                    self._renew(search.wanted, {id_: left[id_] for id_ in sorted_.old}, token)
                if sorted_.mine:
                    await self._lead(search, {id_: left[id_] for id_ in sorted_.mine}, token)
                elif sorted_.others and not sorted_.again:
                    search.waited.update(sorted_.others)
                    await self._wait(woken, min(sorted_.others.values()), deadline)
            left = {id_: left[id_] for id_ in (*sorted_.others, *sorted_.again)}
            if left and self._clock.monotonic() >= deadline:
                await self._lead(search, left, token)  # nobody else will, it seems
                return

    def _sort(self, search: "_Search", looks: Mapping[str, Look]) -> "_Sorted":
        wanted, into = search.wanted, _Sorted()
        for id_, look in looks.items():
            copy = self._usable(search, id_, look)
            served = copy is not None and look.hard > 0
            if copy is not None and served:
                self._serve(search, id_, copy, look.hard)
            elif copy is not None and copy.value is not None:
                search.old[id_] = copy
            if look.fetcher == "you":
                (into.old if served else into.mine).append(id_)
            elif not served and look.fetcher == "other" and (look.body is None or look.hard <= 0):
                into.others[id_] = look.lease
            elif not served:  # the shelf believes that we are: nobody would wake us
                search.unusable[id_] = look.fetched
                into.again.append(id_)
            if served:
                how = "waited" if id_ in search.waited else "shelf" if look.soft > 0 else "revalidating"
                self._count(wanted.kind.name, how)
        return into

    def _usable(self, search: "_Search", id_: str, look: Look) -> Copy | None:
        if look.body is None:
            return None
        wanted = search.wanted
        key, fresh_until = self._key(wanted, id_), self._clock.now() + look.soft
        copy = decoded(key, wanted.organization_id, look.body, look.fetched, fresh_until)
        if copy is None or accepted(copy, wanted.fence, subject=wanted.subject):
            return copy
        # Fetched since we asked: asking once more would find the same.
        just_now = id_ in search.waited and copy.fetched_at >= search.asked and copy.value is not None
        return copy if just_now else None

    def _serve(self, search: "_Search", id_: str, copy: Copy, hard: float) -> None:
        wanted = search.wanted
        search.found[id_] = Landed(copy, "fetched" if id_ in search.waited else "shelf")
        self._at_hand.hold(wanted.kind, wanted.organization_id, id_, copy, hard)

    async def _wait(self, woken: "asyncio.Future[str]", lease: float, deadline: float) -> None:
        """Until their fetch has ended, or their lease, or our patience."""
        seconds = max(0.0, min(lease, deadline - self._clock.monotonic()))
        await asyncio.wait({woken}, timeout=seconds)
        if woken.done() and woken.result():
            raise ContextUnavailable(woken.result())

    def _renew(self, wanted: Wanted, keys: dict[str, str], token: str) -> None:
        """Fetch anew while everybody is served what there is."""
        task = asyncio.create_task(self._revalidate(_Search(wanted, self._clock.now(), {}), keys, token))
        self._background.add(task)
        task.add_done_callback(self._background.discard)

    async def _revalidate(self, search: "_Search", keys: dict[str, str], token: str) -> None:
        try:
            await self._lead(search, keys, token)
        except (ContextUnavailable, NotFound):
            # There is a copy, for a while; whoever looks next tries again, and says so when there is none any more.
            return

    async def _lead(self, search: "_Search", keys: dict[str, str], token: str) -> None:
        ids = list(keys)
        chunks = [ids[start : start + CHUNK] for start in range(0, len(ids), CHUNK)]
        fetches = (self._fetch(search, {id_: keys[id_] for id_ in chunk}, token) for chunk in chunks)
        for end in await asyncio.gather(*fetches, return_exceptions=True):
            if end is not None:
                raise end

    async def _fetch(self, search: "_Search", keys: dict[str, str], token: str) -> None:
        wanted, asked = search.wanted, self._clock.now()
        kept: dict[str, Keep | None] = dict.fromkeys(keys.values())
        error = ""
        try:
            values = await led(wanted.load(list(keys)), self._shelf, list(kept), token, self._deadline)
            for id_, key in keys.items():
                if id_ in values:
                    self._count(wanted.kind.name, "fetched")
                    kept[key] = self._land(search, id_, values[id_], asked)
        except ContextUnavailable as fault:
            error = str(fault)
            raise
        finally:
            await self._shelf.fill(kept, token, error)

    def _land(self, search: "_Search", id_: str, value: Any, asked: float) -> Keep | None:
        """The fact as fetched; what of it is kept."""
        wanted, kind = search.wanted, search.wanted.kind
        dice = self._dice()
        ttl = kind.ttl * (1 + JITTER * (2 * dice - 1))
        copy = _copy(value, asked, asked + SOFT * ttl)
        search.found[id_] = Landed(copy, "fetched")
        age = self._clock.now() - asked
        if copy.value is not None and lets(wanted.fence, copy):
            keep = Keep(b"", asked, SOFT * ttl - age, ttl - age, ttl + kind.stale - age)
        elif wanted.subject:
            return None
        else:
            short = min(ttl, TOMBSTONE * (1 - JITTER * dice))
            copy = replace(copy, value=None, fresh_until=asked + short)
            keep = Keep(b"", asked, short - age, short - age, short - age)
        if keep.hard <= 0:
            return None
        self._at_hand.hold(kind, wanted.organization_id, id_, copy, keep.hard)
        return replace(keep, body=encoded(self._key(wanted, id_), wanted.organization_id, copy))

    def _key(self, wanted: Wanted, id_: str) -> str:
        return f"{self._prefix}:1:{{{wanted.organization_id}}}:fact:{wanted.kind.name}:{_safe(id_)}"


@dataclass(slots=True)
class _Search:
    """How far one search has come."""

    wanted: Wanted
    asked: float
    unusable: dict[str, float]
    found: dict[str, Landed]
    old: dict[str, Copy]
    waited: set[str]

    def __init__(self, wanted: Wanted, asked: float, unusable: dict[str, float]) -> None:
        self.wanted = wanted
        self.asked = asked
        self.unusable = unusable
        self.found, self.old, self.waited = {}, {}, set()


@dataclass(slots=True)
class _Sorted:
    """What one look says of who does what next."""

    mine: list[str]
    old: list[str]
    """Ours as well, but served meanwhile."""
    others: dict[str, float]
    """And for how long, s."""
    again: list[str]
    """What there is cannot be used: ask once more, and say so."""

    def __init__(self) -> None:
        self.mine, self.old, self.others, self.again = [], [], {}, []


def _copy(value: Any, now: float, until: float) -> Copy:
    if isinstance(value, NotFound):
        return Copy(None, now, until, words=str(value) or type(value).__name__)
    return Copy(value, now, until)


def _safe(id_: str) -> str:
    """Ids of others may hold anything, also colons and megabytes; ``~`` is no safe character, so none collides."""
    return id_ if _SAFE.fullmatch(id_) else f"~{hashlib.blake2b(id_.encode(), digest_size=20).hexdigest()}"
