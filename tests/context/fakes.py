"""What stands in for the world: a clock that is moved, a shelf that is a dict, a loop whose time costs nothing."""

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from notification_sender.context.cache import Cache


class MovedClock:
    def __init__(self, now: float = 1_772_785_560.0) -> None:
        self.time = now

    def now(self) -> float:
        return self.time

    def monotonic(self) -> float:
        return self.time - 1_000_000_000.0

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


class DictShelf:
    """Counts its round trips; ``ttls`` by key as they were written."""

    def __init__(self) -> None:
        self.bodies: dict[str, bytes] = {}
        self.ttls: dict[str, float] = {}
        self.reads: list[list[str]] = []

    async def read(self, keys: Sequence[str]) -> list[bytes | None]:
        self.reads.append(list(keys))
        return [self.bodies.get(key) for key in keys]

    async def write(self, facts: Mapping[str, bytes], ttl: float) -> None:
        self.bodies |= facts
        self.ttls |= dict.fromkeys(facts, ttl)


def cache_of(clock: MovedClock, shelf: DictShelf, dice: Callable[[], float] = lambda: 0.5) -> Cache:
    return Cache(shelf=shelf, clock=clock, dice=dice, prefix="ns")


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
