"""A thread that reports when the event loop is blocked, by what, and whether this process or the machine caused it."""

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import structlog

from notification_sender.telemetry.lag import STALL_SECONDS, LoopMonitor, Stall
from notification_sender.telemetry.processor import ThreadTimes, cpu_times

CHECK_SECONDS = 0.1
"""Seconds between two checks of the thread."""

STUCK_SECONDS = 5.0
"""A stall of so long is reported before its end: from ``NS_LIVENESS`` on the process may be killed in it."""

MAX_FRAMES = 24
"""The innermost frames of the loop's stack that a report names, at most."""

_PACKAGES = Path(__file__).parents[2]
_log = structlog.get_logger()


class Watchdog:
    """Reports each stall in the log, and calls ``on_stall`` with its cause.

    ``work``: the loop's thread computed. ``blocked``: it waited in a call. ``machine``: the process was stopped, or
    other programs had the processor.
    """

    def __init__(self, monitor: LoopMonitor, on_stall: Callable[[str], None]) -> None:
        self._monitor = monitor
        self._on_stall = on_stall
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._checked_at = math.inf
        self._checks = -1
        self._unchanged = 0
        self._last_times: ThreadTimes | None = None
        self._cpu = 0.0
        self._blocked = 0.0
        self._stack: list[str] = []
        self._reported = False

    @property
    def stuck(self) -> float:
        """Seconds without progress of the loop or of this thread; 0.0: both make progress.

        The loop's seconds are counted in checks of this thread. A process that was stopped as a whole was not stuck.
        """
        own = time.monotonic() - self._checked_at
        return max(self._unchanged * CHECK_SECONDS, own if own > STUCK_SECONDS else 0.0)

    def start(self) -> None:
        """Start the thread. The monitor runs already."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread."""
        self._ending.set()

    def _run(self) -> None:
        while not self._ending.wait(CHECK_SECONDS):
            self.check()

    def check(self) -> None:
        """Check the loop once."""
        checked_at, self._checked_at = self._checked_at, time.monotonic()
        while self._monitor.stalls:
            self._end(self._monitor.stalls.popleft())
        if self._monitor.checks != self._checks:
            self._checks, self._unchanged = self._monitor.checks, 0
            self._forget()
            return
        self._unchanged += 1
        self._account(self._checked_at - checked_at)
        if self._monitor.late >= STALL_SECONDS and not self._stack:
            self._stack = _stack(self._monitor.thread)
        if self._unchanged * CHECK_SECONDS >= STUCK_SECONDS and not self._reported:
            self._report(self._monitor.late, self._cpu, over=False)
            self._reported = True

    def _end(self, stall: Stall) -> None:
        if not self._reported:
            self._report(stall.seconds, stall.cpu, over=True)
        self._reported = False
        self._forget()

    def _forget(self) -> None:
        self._last_times, self._cpu, self._blocked, self._stack = None, 0.0, 0.0, []

    def _account(self, passed: float) -> None:
        """Add how long the loop's thread computed and waited in a call since the last check.

        A thread that neither computes nor waits for a processor waits in a call. If this check itself is late, the
        machine is the cause.
        """
        was, self._last_times = self._last_times, cpu_times(self._monitor.thread)
        if was is not None and self._last_times is not None and self._monitor.late > CHECK_SECONDS:
            cpu = self._last_times.ran - was.ran
            self._cpu += cpu
            self._blocked += max(0.0, min(passed, CHECK_SECONDS) - cpu - (self._last_times.waited - was.waited))

    def _report(self, seconds: float, cpu: float, *, over: bool) -> None:
        blocked = max(0.0, min(self._blocked, seconds - cpu))
        seconds_by_cause = {"work": cpu, "blocked": blocked, "machine": seconds - cpu - blocked}
        cause = max(seconds_by_cause, key=seconds_by_cause.__getitem__)
        self._on_stall(cause)
        _log.warning(
            "loop.stalled",
            cause=cause,
            ms=round(1000 * seconds),
            own_ms=round(1000 * (cpu + blocked)),
            over=over,
            stack=self._stack,
        )


def _stack(thread: threading.Thread) -> list[str]:
    """The places on the thread's stack, innermost first. Values are left out: they may be the content of a message."""
    frame: FrameType | None = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - its documented name
    places: list[str] = []
    while frame is not None and len(places) < MAX_FRAMES:
        code = frame.f_code
        places.append(f"{_short(code.co_filename)}:{frame.f_lineno}:{code.co_name}")
        frame = frame.f_back
    return places


def _short(path: str) -> str:
    """The path from the folder of the package on, without the place where it is installed."""
    for root in (str(_PACKAGES), *sys.path):
        if root and path.startswith(root + os.sep):
            return path[len(root) + 1 :]
    return path
