"""Timeouts of tests, in seconds of an idle machine. They are multiplied by the slowness of this machine.

A timeout only decides when a test gives up. The slowness is the time that a fixed computation takes, divided by its
time on an idle machine. It is measured again when a timeout ends, because other work may have started meanwhile.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

QUIET = 0.017
"""Seconds that ``_work`` takes on an idle machine of 2026."""

FRESH = 5.0
"""Seconds for which a measurement is used."""

MOST = 8.0
"""The largest slowness: a test that hangs has to end. Up to it, multiplied options are valid beside the others."""


class Machine:
    """The machine, with the last measurement."""

    def __init__(self) -> None:
        self._measured = -FRESH
        self._slowness = 1.0
        self._of_options: float | None = None

    def slowness(self) -> float:
        """Return how many times slower than an idle machine this one is, at least 1."""
        if time.monotonic() - self._measured >= FRESH:
            self._slowness = min(MOST, max(1.0, _work() / QUIET, _wanted()))
            self._measured = time.monotonic()
        return self._slowness

    @property
    def of_options(self) -> float:
        """``slowness()`` at the start of the test, or at the first use outside of a test."""
        if self._of_options is None:
            self.begin()
        assert self._of_options is not None
        return self._of_options

    def begin(self) -> None:
        """Measure for the options of the test that starts now."""
        self._of_options = self.slowness()


def _work() -> float:
    """Return the wall time of a fixed computation in s: the shorter of two, because garbage collection may slow one."""
    best = float("inf")
    for _ in range(2):
        begun, total = time.perf_counter(), 0
        for number in range(400_000):
            total += number * number % 7
        best = min(best, time.perf_counter() - begun)
    return best


def _wanted() -> float:
    """Return the processes that wanted a core over the last minute, for each core.

    A short computation may run at once although a long one would have to share the cores.
    """
    return os.getloadavg()[0] / (os.cpu_count() or 1)


_machine = Machine()


def slowness() -> float:
    return _machine.slowness()


def patient(seconds: float) -> float:
    """Convert seconds of an idle machine to seconds of this one."""
    return seconds * slowness()


def begin() -> None:
    """Measure for the options of the test that starts now."""
    _machine.begin()


def stretched(seconds: float) -> float:
    """Return ``seconds`` times the slowness at the start of the test, for durations that must fit its options."""
    return seconds * _machine.of_options


def option(seconds: float) -> str:
    """Return ``stretched(seconds)`` as an option of the worker.

    All options of a test have one factor. A lease must be longer than a send: with two measurements it may be shorter,
    and then the worker refuses to start.
    """
    return f"{stretched(seconds):.3f}s"


@asynccontextmanager
async def patience(seconds: float) -> AsyncIterator[None]:
    """``asyncio.timeout`` in seconds of an idle machine."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    async with asyncio.timeout_at(begun + patient(seconds)) as limit:
        watch = asyncio.create_task(_stretch(limit, begun, seconds))
        try:
            yield
        finally:
            watch.cancel()


async def _stretch(limit: asyncio.Timeout, begun: float, seconds: float) -> None:
    """Extend the timeout shortly before its end if the machine has become slower."""
    loop = asyncio.get_running_loop()
    while not limit.expired():
        due = limit.when()
        assert due is not None
        await asyncio.sleep(max(0.0, due - loop.time() - 0.1))
        later = begun + patient(seconds)
        if later <= due:
            return
        limit.reschedule(later)
