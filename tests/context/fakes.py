"""Test doubles: a clock that is moved, a shared cache that is a dict, a loop whose time costs nothing."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any
from unittest.mock import patch

from notification_sender.adapters.memory.pubsub import MemoryPubSub
from notification_sender.context.cache.read_through import TOPIC, Cache
from notification_sender.context.upstream.guard import Guard
from notification_sender.ports.cache import CacheEntry, CacheLookup
from notification_sender.ports.clock import Clock
from notification_sender.telemetry import lag
from tests.oracles.fleet import MemoryFleet
from tests.oracles.shared_cache import MemorySharedCache


class MovedClock:
    def __init__(self, now: float = 1_772_785_560.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time - 1_000_000_000.0

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class LoopClock(MovedClock):
    """Follows the loop, so that waiting takes time."""

    def now(self) -> float:
        return self.time + asyncio.get_running_loop().time()

    def monotonic(self) -> float:
        return self.now() - 1_000_000_000.0


class CountingSharedCache(MemorySharedCache):
    """Counts its round trips; wakes whoever shares its ``pubsub``."""

    def __init__(self, clock: MovedClock) -> None:
        self.pubsub = MemoryPubSub()
        super().__init__(clock=clock, wake=partial(self.pubsub.publish_now, TOPIC))
        self.looks: list[list[str]] = []

    @property
    def kept(self) -> dict[str, CacheEntry]:
        return {key: keep for key, (keep, _) in self._facts.items()}

    async def lookup(self, facts: Mapping[str, float], token: str) -> list[CacheLookup]:
        self.looks.append(list(facts))
        return await super().lookup(facts, token)


def cache_of(
    clock: MovedClock, shared: CountingSharedCache, dice: Callable[[], float] = lambda: 0.5, **options: Any
) -> Cache:
    """One process' worth."""
    return Cache(
        shared=shared, pubsub=shared.pubsub, clock=clock, dice=dice, prefix="ns", **{"deadline": 10.0} | options
    )


def guard_of(api: str = "incidents", clock: Clock | None = None, **options: Any) -> Guard:
    """Of a process that is a fleet by itself."""
    clock = clock or MovedClock()
    given = {"fleet": MemoryFleet(clock=clock, period=1.0), "pubsub": MemoryPubSub(), "dice": lambda: 0.5} | options
    return Guard(api=api, clock=clock, timeout=10.0, **given)


async def until(condition: Callable[[], bool]) -> None:
    """Give the loop turns, not time."""
    while not condition():  # noqa: ASYNC110 - what is waited for has no event, and comes within a few turns
        await asyncio.sleep(0)


class TimelessLoop(asyncio.SelectorEventLoop):
    """Jumps to the next timer where a real loop would wait for it."""

    def __init__(self) -> None:
        super().__init__()
        self.moment = 0.0

    def time(self) -> float:
        return self.moment

    def _run_once(self) -> None:
        if not self._ready and self._scheduled:  # type: ignore[attr-defined]
            self.moment = max(self.moment, self._scheduled[0]._when)  # type: ignore[attr-defined]
        super()._run_once()  # type: ignore[misc]


def run_timeless(main: Coroutine[Any, Any, float | None]) -> float:
    """How long ``main`` would have taken, s."""
    loop = TimelessLoop()
    with patch.object(lag.time, "monotonic", loop.time), asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main)
        return loop.moment
