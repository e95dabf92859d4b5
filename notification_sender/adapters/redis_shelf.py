"""The shelf on Redis: facts for the whole fleet, worth a try and never an error."""

from collections.abc import Mapping, Sequence
from typing import Any

from notification_sender.adapters.redis import Store
from notification_sender.adapters.scripts import load
from notification_sender.model.errors import Unready
from notification_sender.ports import Keep, Look

LEASE = load("fact", "lease")
FILL = load("fact", "fill")
EXTEND = load("fact", "extend")

MILLION = 1_000_000

ALONE = Look(None, 0.0, 0.0, 0.0, "you")
"""The store is away: nothing is known, and nobody else can be asked to fetch it."""


class RedisShelf:
    """The keys are the caller's, complete. ``channel``: where those who wait for a fetch are woken; ``lease`` in s."""

    def __init__(self, *, redis: Store, channel: str, lease: float = 3.0) -> None:
        self._redis = redis
        self._channel = channel
        self._lease = round(lease * 1000)

    async def look(self, facts: Mapping[str, float], token: str) -> list[Look]:
        arguments = (token, self._lease, *(_micros(seen) for seen in facts.values()))
        try:
            replies = await self._redis.run(LEASE, _pairs(facts), arguments)
        except Unready:
            return [ALONE] * len(facts)
        return [_look(reply) for reply in replies]

    async def extend(self, keys: Sequence[str], token: str) -> None:
        await self._try(EXTEND, [_lease(key) for key in keys], (token, self._lease))

    async def fill(self, facts: Mapping[str, Keep | None], token: str, error: str = "") -> None:
        arguments: list[Any] = [token, self._channel, error]
        for keep in facts.values():
            arguments += _written(keep)
        await self._try(FILL, _pairs(facts), arguments)

    async def _try(self, script: Any, keys: Sequence[str], arguments: Sequence[Any]) -> None:
        try:
            await self._redis.run(script, keys, arguments)
        except Unready:
            return  # the leases end by themselves


def _pairs(facts: Mapping[str, object]) -> list[str]:
    return [key for fact in facts for key in (fact, _lease(fact))]


def _lease(fact: str) -> str:
    return f"{fact}:lease"


def _look(reply: Any) -> Look:
    who, left, body, fetched, soft, hard = reply
    fetcher: Any = who.decode()
    return Look(body, int(fetched or 0) / MILLION, soft / MILLION, hard / MILLION, fetcher, left / MILLION)


def _written(keep: Keep | None) -> tuple[Any, ...]:
    if keep is None:
        return (b"", 0, 0, 0, 0)
    milliseconds = (max(1, round(seconds * 1000)) for seconds in (keep.soft, keep.hard, keep.ttl))
    return (keep.body, _micros(keep.fetched), *milliseconds)


def _micros(seconds: float) -> int:
    return round(seconds * MILLION)
