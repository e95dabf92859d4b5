"""How late the event loop is. A blocked loop delays every delivery, heartbeat and deadline of this process."""

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

CHECK_SECONDS = 0.02
"""Seconds between two checks. A shorter block may be missed and matters to nobody. The checks take 0.05 % of a core."""

TOLERATED_SECONDS = 0.05
"""A wake-up that is at most so late counts as punctual: a busy loop without a fault is no later."""

STALL_SECONDS = 0.25
"""A wake-up that is later than this is reported as a stall."""

LONG_TURN = 0.1
"""Computing time of one turn, s. Turns of usual work take a quarter of it (``policy.allowance``)."""

BLOCKED_SECONDS = 1.0
"""A wake-up that is later than this makes everything in progress look slow, for whichever organization it is."""


@dataclass(frozen=True, slots=True)
class Stall:
    """A wake-up that was ``seconds`` late. The loop's thread computed for ``cpu`` s of these."""

    seconds: float
    cpu: float


class LoopMonitor:
    """Measures how late one event loop wakes up.

    ``on_turn`` is called after each check, with the wall time and the CPU time that one turn of the loop took, in s.
    """

    def __init__(self, lag: Histogram, on_turn: Callable[[float, float], None] = lambda _wall, _cpu: None) -> None:
        self._lag = lag
        self._on_turn = on_turn
        self._due = math.inf
        self._lost_seconds = 0.0
        self.own_seconds = 0.0
        """Seconds of turns in which the loop's own thread computed for ``LONG_TURN`` or more."""
        self._blocked_until = -math.inf
        self.checks = 0
        """The number of checks so far. Another thread sees by it that the loop makes progress."""
        self.thread = threading.current_thread()
        """The thread in which the loop runs."""
        self.stalls: deque[Stall] = deque(maxlen=100)
        """The stalls that the watchdog has not taken yet."""

    @property
    def late(self) -> float:
        """Seconds by which the next wake-up is overdue now."""
        return max(0.0, time.monotonic() - self._due)

    @property
    def lost_seconds(self) -> float:
        """Seconds in total for which due work waited because the loop was late."""
        return self.lost_seconds_at(time.monotonic())

    def lost_seconds_at(self, now: float) -> float:
        """``lost_seconds`` at ``now``. A caller that knows the time saves a clock call: there are ten a message."""
        late = now - self._due - TOLERATED_SECONDS
        return self._lost_seconds + late if late > 0 else self._lost_seconds

    def blocked_until(self, now: float) -> float:
        """The end of the last delay of ``BLOCKED_SECONDS`` or more, on the monotonic clock; ``now`` while one lasts."""
        return now if now - self._due >= BLOCKED_SECONDS else self._blocked_until

    async def watch(self) -> None:
        """Measure until the task is cancelled. It runs beside the work."""
        self.thread = threading.current_thread()
        _current.append(self)
        try:
            await self._watch()
        finally:
            _current.remove(self)

    async def _watch(self) -> None:
        while True:
            await self._measure(CHECK_SECONDS)
            self._on_turn(*await self._measure(0.0))

    async def _measure(self, pause: float) -> tuple[float, float]:
        """Sleep for ``pause`` s. Return how late the wake-up was and how long the thread computed meanwhile, in s."""
        cpu, self._due = time.thread_time(), time.monotonic() + pause
        await asyncio.sleep(pause)
        late, cpu = self.late, time.thread_time() - cpu
        self._lag.observe(late)
        if late > TOLERATED_SECONDS:
            self._lost_seconds += late - TOLERATED_SECONDS
        if cpu >= LONG_TURN:
            self.own_seconds += cpu
        self._blocked_until = self.blocked_until(time.monotonic())
        self._due = math.inf
        self.checks += 1
        if late >= STALL_SECONDS:
            self.stalls.append(Stall(late, min(cpu, late)))
        return late, cpu


_current: list[LoopMonitor] = []
"""The monitors that run. A process has one; tests may have several."""


def lost_seconds() -> float:
    """Seconds that the running loop has lost since it began. Subtract them from a duration before you blame others."""
    return _current[-1].lost_seconds_at(time.monotonic()) if _current else 0.0


def blocked_until(now: float) -> float:
    """Until when the running loop was blocked, on the monotonic clock; at most ``now``."""
    return _current[-1].blocked_until(now) if _current else -math.inf


def responsive_time() -> float:
    """Monotonic time in s without the seconds that the running loop lost.

    The loop's own clock will not do: some loops update it once a turn only.
    """
    now = time.monotonic()
    return now - _current[-1].lost_seconds_at(now) if _current else now


class Deadline:
    """As ``asyncio.timeout``, but extended by the seconds that the loop loses meanwhile.

    A process that was stopped for a minute finds the answers of that minute and an expired timeout at the same time.
    The other side is not to blame, and its answer counts. So the deadline also expires one turn of the loop later.

    It cancels by itself what it limits: around ``asyncio.timeout`` each send would take a dozen calls more.
    """

    def __init__(self, seconds: float | None = None) -> None:
        """Without ``seconds`` the deadline starts with ``begin``."""
        self._seconds = seconds
        self._timer: asyncio.Handle | None = None
        self._until = 0.0
        self._lost_seconds = 0.0
        self._expired = False

    @property
    def begun(self) -> bool:
        """Whether the deadline has started."""
        return self._timer is not None

    def begin(self, seconds: float) -> None:
        """Start the deadline: it expires in ``seconds``."""
        loop = self._loop
        now = loop.time()
        self._until, self._lost_seconds = now + seconds, _current[-1].lost_seconds_at(now) if _current else 0.0
        self._timer = loop.call_at(self._until, self._check)

    def expired(self) -> bool:
        return self._expired

    def _check(self) -> None:
        owed = lost_seconds() - self._lost_seconds
        if owed > 0:
            self._lost_seconds += owed
            self._until += owed
            self._timer = self._loop.call_at(self._until, self._check)
        else:
            self._timer = self._loop.call_soon(self._expire)

    def _expire(self) -> None:
        self._expired = True
        self._task.cancel()

    async def __aenter__(self) -> Self:
        self._loop = loop = asyncio.get_running_loop()
        task = asyncio.current_task(loop)
        if task is None:
            raise RuntimeError("a deadline limits a task, and there is none")
        self._task, self._cancelled_before = task, task.cancelling()
        if self._seconds is not None:
            self.begin(self._seconds)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._timer is not None:
            self._timer.cancel()
        # A cancellation of somebody else goes on, also where this deadline has passed as well.
        if self._expired and self._task.uncancel() <= self._cancelled_before and kind is asyncio.CancelledError:
            raise TimeoutError from error
