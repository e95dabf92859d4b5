"""What stands in for the world: a clock that is moved, a shelf that is a dict, a loop whose time costs nothing."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any

from notification_sender.adapters.memory_fleet import MemoryFleet
from notification_sender.adapters.memory_news import MemoryNews
from notification_sender.adapters.memory_shelf import MemoryShelf
from notification_sender.context.cache import TOPIC, Cache
from notification_sender.context.guard import Guard
from notification_sender.ports import Clock, Keep, Look


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


class CountingShelf(MemoryShelf):
    """Counts its round trips; wakes whoever shares its ``news``."""

    def __init__(self, clock: MovedClock) -> None:
        self.news = MemoryNews()
        super().__init__(clock=clock, wake=partial(self.news.say, TOPIC))
        self.looks: list[list[str]] = []

    @property
    def kept(self) -> dict[str, Keep]:
        return {key: keep for key, (keep, _) in self._facts.items()}

    async def look(self, facts: Mapping[str, float], token: str) -> list[Look]:
        self.looks.append(list(facts))
        return await super().look(facts, token)


def cache_of(clock: MovedClock, shelf: CountingShelf, dice: Callable[[], float] = lambda: 0.5, **options: Any) -> Cache:
    """One process' worth."""
    return Cache(shelf=shelf, news=shelf.news, clock=clock, dice=dice, prefix="ns", **{"deadline": 10.0} | options)


def guard_of(api: str = "incidents", clock: Clock | None = None, **options: Any) -> Guard:
    """Of a process that is a fleet by itself."""
    clock = clock or MovedClock()
    given = {"fleet": MemoryFleet(clock=clock, period=1.0), "news": MemoryNews(), "dice": lambda: 0.5} | options
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
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.run(main)
        return loop.moment
