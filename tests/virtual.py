"""A clock that jumps: a day of retries runs in milliseconds, in the same order every time."""

import asyncio
import heapq
from collections.abc import Callable
from itertools import count

START = 1_772_785_560.0
"""2026-03-06T08:26:00Z."""


class VirtualClock:
    def __init__(self, start: float = START) -> None:
        self._now = start
        self._order = count()
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    def monotonic(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._now + max(seconds, 0.0), next(self._order), woken))
        await woken

    def jump(self, seconds: float) -> None:
        """Let time pass while nobody watches; sleepers wake late, as after a suspended process."""
        self._now += seconds

    async def until(self, reached: Callable[[], bool], limit: float = 10 * 86_400) -> None:
        """Let time pass, sleeper by sleeper, until ``reached``; fails after ``limit`` seconds."""
        end = self._now + limit
        ready = asyncio.get_running_loop()._ready  # type: ignore[attr-defined]  # what can run without time passing
        while True:
            while ready:  # noqa: ASYNC110 - until nothing is left that could be awaited
                await asyncio.sleep(0)
            if reached():
                return
            while self._sleepers and self._sleepers[0][2].done():
                heapq.heappop(self._sleepers)
            if not self._sleepers:
                raise AssertionError("nobody sleeps and it is not reached: it never will be")
            moment, _, woken = heapq.heappop(self._sleepers)
            if moment > end:
                raise AssertionError(f"not reached in {limit} s")
            self._now = max(self._now, moment)
            woken.set_result(None)
