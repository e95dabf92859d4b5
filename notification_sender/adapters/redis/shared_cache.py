"""The shared cache on Redis: facts for the whole fleet. While Redis is away every lookup is a miss, never an error."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeVar

from notification_sender.adapters.redis.client import Store
from notification_sender.adapters.redis.constants import FETCH_LEASE_SECONDS, SECOND
from notification_sender.adapters.redis.scripts import Script, load
from notification_sender.model.errors import Unready
from notification_sender.ports.cache import CacheEntry, CacheLookup

LOOKUP = load("fact", "lookup")
STORE = load("fact", "store")
RENEW_LEASES = load("fact", "renew_leases")

FACTS_PER_CALL = 100
"""Facts per script call, two keys each. While a script runs, Redis serves no other client."""

V = TypeVar("V")

UNAVAILABLE = CacheLookup(None, 0.0, 0.0, 0.0, "you")
"""The reply while Redis is away: nothing is cached, and this process has to fetch the fact itself."""


class RedisSharedCache:
    """Callers pass complete keys. ``channel``: where waiters for a fetch are woken. ``lease``: seconds."""

    def __init__(self, *, redis: Store, channel: str, lease: float = FETCH_LEASE_SECONDS) -> None:
        self._redis = redis
        self._channel = channel
        self._lease = round(lease * 1000)

    # Each fact has a lease of its own, so one lookup may be several calls. Two processes that ask for the same facts at
    # once may each get the lease of some of them: each fetches its own facts before it waits for the other's.

    async def lookup(self, facts: Mapping[str, float], token: str) -> list[CacheLookup]:
        return [found for batch in _batches(facts) for found in await self._lookup(batch, token)]

    async def renew_leases(self, keys: Sequence[str], token: str) -> None:
        for batch in _batches(dict.fromkeys(keys)):
            await self._try(RENEW_LEASES, [_lease(key) for key in batch], (token, self._lease))

    async def store(self, facts: Mapping[str, CacheEntry | None], token: str, error: str = "") -> None:
        for batch in _batches(facts):
            written = [part for entry in batch.values() for part in _written(entry)]
            await self._try(STORE, _pairs(batch), (token, self._channel, error, *written))

    async def _lookup(self, facts: Mapping[str, float], token: str) -> list[CacheLookup]:
        arguments = (token, self._lease, *(_micros(seen) for seen in facts.values()))
        try:
            replies = await self._redis.run(LOOKUP, _pairs(facts), arguments)
        except Unready:
            return [UNAVAILABLE] * len(facts)
        return [_parse(reply) for reply in replies]

    async def _try(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> None:
        try:
            await self._redis.run(script, keys, arguments)
        except Unready:
            return  # the leases expire by themselves


def _batches(facts: Mapping[str, V]) -> Iterator[dict[str, V]]:
    keys = list(facts)
    return ({key: facts[key] for key in keys[at : at + FACTS_PER_CALL]} for at in range(0, len(keys), FACTS_PER_CALL))


def _pairs(facts: Mapping[str, object]) -> list[str]:
    return [key for fact in facts for key in (fact, _lease(fact))]


def _lease(fact: str) -> str:
    return f"{fact}:lease"


def _parse(reply: Any) -> CacheLookup:
    who, left, body, fetched, soft, hard = reply
    fetcher: Any = who.decode()
    return CacheLookup(body, int(fetched or 0) / SECOND, soft / SECOND, hard / SECOND, fetcher, left / SECOND)


def _written(entry: CacheEntry | None) -> tuple[Any, ...]:
    if entry is None:
        return (b"", 0, 0, 0, 0)
    milliseconds = (max(1, round(seconds * 1000)) for seconds in (entry.soft, entry.hard, entry.ttl))
    return (entry.body, _micros(entry.fetched), *milliseconds)


def _micros(seconds: float) -> int:
    return round(seconds * SECOND)
