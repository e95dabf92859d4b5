"""What a core could do at one time and at another: machines are shared, and what others take is nobody's fault here."""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from statistics import fmean

from bench.machine import TICKS

TURNS = 10_000
"""Of a loop that does nothing: a third of a ms or so."""

PAUSE = 0.05
"""Seconds between two tries how fast it is: half a percent of the core."""

IDLE = slice(3, 5)
"""Idle and waiting for a disk, in a line of ``/proc/stat`` (``man proc_stat``); the last two columns count twice."""


@dataclass(frozen=True, slots=True)
class Power:
    """``speed``: turns a CPU second, on average. ``left``: the part of the core that nobody else used."""

    speed: float
    left: float

    def compared(self, other: "Power") -> float:
        """How much more than then can be done."""
        return self.speed * self.left / (other.speed * other.left)


class Core:
    """``number`` as the kernel counts. While it is ``watched``: ``begin``, and ask for its ``power`` since."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._speeds: list[float] = []
        self._began, self._busy = time.monotonic(), self._busy_seconds()

    @asynccontextmanager
    async def watched(self) -> AsyncIterator[None]:
        """For the length of the block."""
        pinned = partial(os.sched_setaffinity, 0, {self._number})  # 0 is the calling thread
        with ThreadPoolExecutor(max_workers=1, initializer=pinned) as pool:
            task = asyncio.create_task(self._try_for_ever(pool))
            try:
                yield
            finally:
                task.cancel()

    def begin(self) -> None:
        self._began, self._busy = time.monotonic(), self._busy_seconds()
        self._speeds.clear()

    def power(self, used: float) -> Power:
        """``used``: the CPU seconds of whoever it is for."""
        others = max(0.0, self._busy_seconds() - self._busy - used) / (time.monotonic() - self._began)
        return Power(fmean(self._speeds), 1.0 - others)

    async def _try_for_ever(self, pool: ThreadPoolExecutor) -> None:
        while True:
            self._speeds.append(await asyncio.get_running_loop().run_in_executor(pool, _speed))
            await asyncio.sleep(PAUSE)

    def _busy_seconds(self) -> float:
        (line,) = (it for it in Path("/proc/stat").read_text().splitlines() if it.startswith(f"cpu{self._number} "))
        ticks = [int(word) for word in line.split()[1:9]]
        return (sum(ticks) - sum(ticks[IDLE])) / TICKS


def _speed() -> float:
    began = time.thread_time()
    for _ in range(TURNS):
        pass
    return TURNS / (time.thread_time() - began)
