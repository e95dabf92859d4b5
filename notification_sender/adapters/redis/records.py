"""What Redis keeps of each organization: its cached facts, what waits, its limits. For operators: it scans all keys."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from notification_sender.adapters.redis.client import Store
from notification_sender.adapters.redis.keys import (
    BATCH,
    UNIT,
    UNIT_STORY,
    each,
    found,
    in_batches,
    list_of,
    record_of,
    story_key,
)
from notification_sender.model.destination import SHORT_HASH
from notification_sender.model.override import Override
from notification_sender.model.timestamps import format_rfc3339
from notification_sender.policy.limits import ERA, SECOND
from notification_sender.policy.rates import Rates, in_force
from notification_sender.policy.recipients import recipients_of
from notification_sender.policy.story import began, is_of

CLAIMED = (b"claimed", b"transmitting")
LEASE = ":lease"
KEPT = frozenset({"recipient", "pauses"})
"""Kinds of records of an organization that are not erased with it."""


@dataclass(slots=True)
class CacheUse:
    """The cached facts of one kind."""

    kind: str
    facts: int = 0
    fresh: int = 0
    """Facts that are served without a fetch."""
    bytes: int = 0
    fetching: int = 0
    """Facts that a process fetches now."""


@dataclass(slots=True)
class OrganizationState:
    """What an organization has in the ledger now."""

    organization_id: str
    claimed: int = 0
    """Units and notifications that a process has claimed, and not ended yet."""
    waiting: int = 0
    """Those whose parked copies come back later."""
    limits: dict[str, int] = field(default_factory=dict)
    """Of the waiting, by the limit whose slot they have booked."""
    next_due: float = 0.0
    """When the next of them comes back, epoch seconds; 0: none does later than now."""
    booked_until: dict[str, float] = field(default_factory=dict)
    """By limit: until when all its slots are taken, epoch seconds."""
    due: int = 0
    """Of the waiting, those whose time has come. They wait in the queue for a worker."""
    reasons: dict[str, float] = field(default_factory=dict)
    """What its deliveries wait for, by reason: how many, on average, as the processes report."""
    overrides: list[Override] = field(default_factory=list)
    """What operators have set for it."""

    def known(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self) | {
            "next_due": format_rfc3339(self.next_due, "seconds") if self.next_due else None,
            "booked_until": {name: format_rfc3339(until, "seconds") for name, until in self.booked_until.items()},
            "overrides": [it.known() for it in self.overrides],
        }


class RedisRecords:
    """All keys of an organization begin with ``<prefix>:1:{organization}:``."""

    def __init__(self, *, redis: Store, prefix: str) -> None:
        self._redis = redis
        self._start = f"{prefix}:1:{{"

    async def now(self) -> float:
        """The time of Redis, epoch seconds: all times in its records are by that clock."""
        seconds, micros = await self._redis.execute("TIME")
        return int(seconds) + int(micros) / SECOND

    async def seen(self, organization_id: str | None, since: float, until: float) -> dict[str, list[str]]:
        """The ledger ids of the units that were first taken in this time (epoch seconds), by organization: claimed, or
        ended without a claim, or deferred before it.
        """
        times: dict[str, dict[str, float]] = defaultdict(dict)

        def note(key: str, name: str, at: float) -> None:
            own = times[self._owner(key)]
            own[name] = min(at, own.get(name, at))

        async def pick(keys: Sequence[str]) -> None:
            units = _whole_units(keys)
            for key, ends in zip(units, await each(self._redis, "HMGET", units, "first", "noted"), strict=True):
                if first := next(filter(None, ends), None):
                    note(key, key.partition(UNIT)[2], int(first.split()[0]) / SECOND)

        async def pick_story(keys: Sequence[str]) -> None:
            units = _whole_units(keys)
            for key, event in zip(units, await each(self._redis, "LINDEX", units, 0), strict=True):
                if at := began(event):
                    note(key, key.partition(UNIT_STORY)[2], at)

        await in_batches(self._keys(organization_id, "unit:*", "hash"), pick)
        await in_batches(self._keys(organization_id, "unit-story:*", "list"), pick_story)
        chosen = {
            owner: sorted(name for name, at in own.items() if since <= at < until) for owner, own in times.items()
        }
        return {owner: ids for owner, ids in sorted(chosen.items()) if ids}

    async def existing(self, organization_id: str, ids: Sequence[str]) -> list[str]:
        """Those of these units (ledger ids) that have a record."""
        there: list[str] = []
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            keys = [f"{self._start}{organization_id}}}:unit:{it}" for it in batch]
            found_ = await each(self._redis, "EXISTS", keys)
            there += [it for it, exists in zip(batch, found_, strict=True) if exists]
        return there

    async def cached(self, organization_id: str | None, now: float) -> list[CacheUse]:
        """The use of the shared cache by kind, the largest first; None: of all organizations."""
        uses: dict[str, CacheUse] = {}

        async def count(keys: Sequence[str]) -> None:
            facts = [it for it in keys if not it.endswith(LEASE)]
            sizes = await each(self._redis, "HSTRLEN", facts, "body")
            soft = await each(self._redis, "HGET", facts, "soft")
            for key, size, until in zip(facts, sizes, soft, strict=True):
                use = _use(uses, key)
                use.facts, use.bytes = use.facts + 1, use.bytes + int(size)
                use.fresh += int(until or 0) / SECOND > now
            for key in keys:
                if key.endswith(LEASE):
                    _use(uses, key).fetching += 1

        await in_batches(self._keys(organization_id, "fact:*"), count)
        return sorted(uses.values(), key=lambda it: -it.bytes)

    async def purge(self, organization_id: str) -> int:
        """Delete the cached facts of an organization; returns how many. A fetch that is under way may store its own."""
        return await self._delete(self._keys(organization_id, "fact:*"), counted=lambda key: not key.endswith(LEASE))

    async def organizations(self, organization_id: str | None, now: float, rates: Rates) -> list[OrganizationState]:
        """What each organization has claimed and waiting. ``rates``: those that operators set."""
        states: dict[str, OrganizationState] = {}

        async def count(keys: Sequence[str]) -> None:
            records = await each(self._redis, "HMGET", keys, "state", "due", "limit")
            for key, record in zip(keys, records, strict=True):
                _count(states.setdefault(self._owner(key), OrganizationState(self._owner(key))), record, now)

        async def bookings(keys: Sequence[str]) -> None:
            for key, value in zip(keys, await each(self._redis, "GET", keys), strict=True):
                owner, limit = self._owner(key), key.partition("}:limit:")[2]
                booked, skew = (int(it) / SECOND for it in (value or b"0 0 0").split()[::2])
                if booked - skew > now and in_force(owner, limit, rates):
                    state = states.setdefault(owner, OrganizationState(owner))
                    state.booked_until[limit.partition(ERA)[0]] = booked - skew

        for kind in ("unit", "notification"):
            await in_batches(self._keys(organization_id, f"{kind}:*", "hash"), count)
        await in_batches(self._keys(organization_id, "limit:*"), bookings)
        busy = [it for it in states.values() if it.claimed or it.waiting or it.booked_until]
        return sorted(busy, key=lambda it: it.organization_id)

    async def knows(self, organization_id: str) -> bool:
        """Whether there is any record of an organization."""
        async for _ in self._keys(organization_id, "*"):
            return True
        return False

    async def erase(self, organization_id: str) -> dict[str, int]:
        """Delete every record of an organization; returns how many, by kind. The suppression list stays, and what is
        paused or switched off by an operator: else what waits would be sent.
        """
        erased: dict[str, int] = defaultdict(int)

        async def delete(keys: Sequence[str]) -> None:
            mine = [(key, _kind(key)) for key in keys]
            gone = [(key, kind) for key, kind in mine if kind not in KEPT]
            for (_, kind), number in zip(
                gone, await each(self._redis, "UNLINK", [key for key, _ in gone]), strict=True
            ):
                erased[kind] += int(number)

        await in_batches(self._keys(organization_id, "*"), delete)
        return dict(erased)

    async def erase_recipient(
        self, organization_id: str, recipient: str, notifications: Sequence[str]
    ) -> dict[str, int]:
        """Delete what is known of one recipient (hash): the records of its destinations, and what was withheld from it.
        So are the stories of what was sent to it and of these notifications: they may repeat its answers. The
        suppression list stays.
        """
        start = f"{self._start}{organization_id}}}:"
        places = self._keys(organization_id, f"destination:*:{recipient[:SHORT_HASH]}")
        of_letters = await each(self._redis, "UNLINK", [story_key(f"{start}notification:{it}") for it in notifications])
        stories = self._of_recipient(organization_id, recipient)
        return {
            "destination": await self._delete(places, counted=lambda _: True),
            "story": sum(map(int, of_letters)) + await self._delete(stories, counted=lambda _: True),
            "withheld": await self._forget_withheld(organization_id, recipient),
        }

    async def _of_recipient(self, organization_id: str, recipient: str) -> AsyncIterator[str]:
        """The keys of the stories of what was sent to it: its first attempt says so."""
        async for key in self._keys(organization_id, "notification:*:story", "list"):
            if any(is_of(event, recipient) for event in await self._redis.execute("LRANGE", key, 0, -1)):
                yield key

    async def _forget_withheld(self, organization_id: str, recipient: str) -> int:
        number = 0
        async for key in self._keys(organization_id, "withheld:*", "list"):
            mine = {it async for it in list_of(self._redis, key) if recipient in recipients_of(it)}
            for message in mine:
                number += int(await self._redis.execute("LREM", key, 0, message))
        return number

    async def _delete(self, keys: AsyncIterator[str], *, counted: Callable[[str], bool]) -> int:
        total = 0

        async def delete(batch: Sequence[str]) -> None:
            nonlocal total
            for key, number in zip(batch, await each(self._redis, "UNLINK", batch), strict=True):
                total += int(number) * counted(key)

        await in_batches(keys, delete)
        return total

    def _keys(self, organization_id: str | None, name: str, type_: str | None = None) -> AsyncIterator[str]:
        return found(self._redis, f"{self._start}{organization_id or '*'}}}:{name}", type_)

    def _owner(self, key: str) -> str:
        return key.removeprefix(self._start).partition("}:")[0]


def _whole_units(keys: Sequence[str]) -> list[str]:
    """Without slices: a slice ends its unit's name with its own."""
    return [it for it in keys if "/" not in it.partition("}:")[2]]


def _kind(key: str) -> str:
    return "story" if record_of(key) else key.partition("}:")[2].partition(":")[0]


def _use(uses: dict[str, CacheUse], key: str) -> CacheUse:
    # The version of a recipe, its name, the source, and the id.
    kind = ":".join(key.partition("}:fact:")[2].split(":")[1:3])
    return uses.setdefault(kind, CacheUse(kind))


def _count(state: OrganizationState, record: Sequence[bytes | None], now: float) -> None:
    what, due, limit = record
    if what in CLAIMED:
        state.claimed += 1
    elif what == b"waiting":
        state.waiting += 1
        comes = int(due or 0) / SECOND
        if comes <= now:
            state.due += 1
        else:
            state.next_due = min(state.next_due or comes, comes)
        if limit:
            name = limit.decode().partition(ERA)[0]
            state.limits[name] = state.limits.get(name, 0) + 1
