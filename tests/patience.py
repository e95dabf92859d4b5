"""How long a test waits for what should come: seconds of a quiet machine, stretched by how slow this one is just now.

A bound here decides nothing but when to give up: what was waited for has come or not. On a quiet machine it is what is
written; beside other work it is as many times longer as a fixed piece of work takes longer. It is looked at again when
it is over, because others may have come to work meanwhile.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

QUIET = 0.017
"""Seconds that ``_work`` takes on a quiet machine of 2026."""

FRESH = 5.0
"""Seconds for which a measurement holds."""

MOST = 8.0
"""A test that hangs has to end. Up to here options that are stretched go with those that are not."""


class Machine:
    """What was measured last."""

    def __init__(self) -> None:
        self._measured = -FRESH
        self._slowness = 1.0

    def slowness(self) -> float:
        """How many times longer than on a quiet machine things take, at least 1."""
        if time.monotonic() - self._measured >= FRESH:
            self._slowness = min(MOST, max(1.0, _work() / QUIET, _wanted()))
            self._measured = time.monotonic()
        return self._slowness


def _work() -> float:
    """Wall seconds of a fixed piece of Python; the best of two, since a collection of garbage says nothing."""
    best = float("inf")
    for _ in range(2):
        begun, total = time.perf_counter(), 0
        for number in range(400_000):
            total += number * number % 7
        best = min(best, time.perf_counter() - begun)
    return best


def _wanted() -> float:
    """Processes that want a core for each that is there, over the last minute: a short piece of work may be let in
    at once where a long one has to share.
    """
    return os.getloadavg()[0] / (os.cpu_count() or 1)


_machine = Machine()


def slowness() -> float:
    return _machine.slowness()


def patient(seconds: float) -> float:
    """So many seconds of a quiet machine, in those of this one."""
    return seconds * slowness()


def option(seconds: float) -> str:
    """The same, as an option of the worker."""
    return f"{patient(seconds):.3f}s"


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """As ``asyncio.timeout``, in seconds of a quiet machine."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout_at(begun + patient(seconds)) as limit:
        watch = asyncio.create_task(_stretch(limit, begun, seconds))
        try:
            yield
        finally:
            watch.cancel()


async def _stretch(limit: asyncio.Timeout, begun: float, seconds: float) -> None:
    """Shortly before it is over: has the machine become slower meanwhile?"""
    loop = asyncio.get_running_loop()
    while not limit.expired():
        due = limit.when()
        assert due is not None
        await asyncio.sleep(max(0.0, due - loop.time() - 0.1))
        later = begun + patient(seconds)
        if later <= due:
            return
        limit.reschedule(later)
