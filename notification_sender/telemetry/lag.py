"""How late the event loop is: what blocks it blocks every delivery of this process, its heartbeats and deadlines."""

import asyncio
import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from prometheus_client import Histogram

PERIOD = 0.02
"""Seconds between two looks: a block that is shorter may be missed, and matters to nobody. Costs half a thousandth."""

TOLERATED = 0.05
"""Seconds that a wake-up may be late without being counted as lost: a busy loop that is well is no later."""

LATE = 0.25
"""Seconds by which a wake-up is late that is told of as a stall."""

LONG = 1.0
"""Seconds by which a wake-up is late after which all that was under way looks slow, whoever it is for."""


@dataclass(frozen=True, slots=True)
class Stall:
    """One wake-up that was ``seconds`` late; the loop's thread computed for ``cpu`` s of these."""

    seconds: float
    cpu: float


class Beat:
    """Of one loop. ``turned`` is told after each look what one turn of the loop took: wall time and CPU time, s."""

    def __init__(self, lag: Histogram, turned: Callable[[float, float], None] = lambda _wall, _cpu: None) -> None:
        self._lag = lag
        self._turned = turned
        self._due = math.inf
        self._lost = 0.0
        self._held = -math.inf
        self.number = 0
        """Rises with every look: another thread sees by it that the loop goes on."""
        self.thread = threading.current_thread()
        """In which the loop runs."""
        self.stalls: deque[Stall] = deque(maxlen=100)
        """For the watchdog, which takes them away."""

    @property
    def late(self) -> float:
        """Seconds that the next wake-up is late already."""
        return max(0.0, time.monotonic() - self._due)

    @property
    def lost(self) -> float:
        """Seconds in all in which this process did not get on with what was due."""
        return self.lost_by(time.monotonic())

    def lost_by(self, now: float) -> float:
        """As ``lost``, for whoever has the time in hand: it is asked for ten times a message."""
        late = now - self._due - TOLERATED
        return self._lost + late if late > 0 else self._lost

    @property
    def held(self) -> float:
        """Until when it was late by ``LONG``, on the monotonic clock: until now, while it is."""
        now = time.monotonic()
        return now if now - self._due >= LONG else self._held

    async def watch(self) -> None:
        """To be run beside the work."""
        self.thread = threading.current_thread()
        _current.append(self)
        try:
            await self._watch()
        finally:
            _current.remove(self)

    async def _watch(self) -> None:
        while True:
            await self._look(PERIOD)
            self._turned(*await self._look(0.0))

    async def _look(self, pause: float) -> tuple[float, float]:
        """How late it comes back after so many seconds, and what was computed meanwhile, s."""
        cpu, self._due = time.thread_time(), time.monotonic() + pause
        await asyncio.sleep(pause)
        late, cpu = self.late, time.thread_time() - cpu
        self._lag.observe(late)
        self._lost += max(0.0, late - TOLERATED)
        self._held = self.held
        self._due = math.inf
        self.number += 1
        if late >= LATE:
            self.stalls.append(Stall(late, min(cpu, late)))
        return late, cpu


_current: list[Beat] = []
"""One a process, but in tests: whatever is looked up here is looked up for every call."""


def lost() -> float:
    """Seconds that the loop has lost since it began: the difference of two looks is nobody else's fault."""
    return _current[-1].lost_by(time.monotonic()) if _current else 0.0


def held() -> float:
    """Until when the loop itself kept everybody waiting, on the monotonic clock."""
    return _current[-1].held if _current else -math.inf


def had() -> float:
    """Monotonic, without what the running loop lost, s. Not by its own clock: one loop looks at that once a turn."""
    now = time.monotonic()
    return now - _current[-1].lost_by(now) if _current else now


class Deadline:
    """As ``asyncio.timeout``, but of the time that this process had: what its loop lost meanwhile is added.

    A process that was stopped for a minute finds two things together: the answers of that minute, and that its time is
    over. The other side is not to blame and its answer counts. So the deadline also ends one turn of the loop later.
    """

    def __init__(self, seconds: float | None = None) -> None:
        """None: it begins by ``begin``."""
        self._seconds = seconds
        self._timeout = asyncio.timeout(None)
        self._timer: asyncio.TimerHandle | None = None
        self._until = 0.0
        self._lost = 0.0

    @property
    def begun(self) -> bool:
        """Whether it runs."""
        return self._timer is not None

    def begin(self, seconds: float) -> None:
        """Let it end after so many seconds from now."""
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._until, self._lost = now + seconds, _current[-1].lost_by(now) if _current else 0.0
        self._timer = loop.call_at(self._until, self._look)

    def expired(self) -> bool:
        return self._timeout.expired()

    def _look(self) -> None:
        owed = lost() - self._lost
        if owed > 0:
            self._lost += owed
            self._until += owed
            self._timer = asyncio.get_running_loop().call_at(self._until, self._look)
        else:
            self._timeout.reschedule(0.0)

    async def __aenter__(self) -> Self:
        await self._timeout.__aenter__()
        if self._seconds is not None:
            self.begin(self._seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        await self._timeout.__aexit__(kind, error, trace)
