"""A thread that sees when the event loop is held, by what, and whether that was us or the machine."""

import math
import os
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

import structlog

from notification_sender.telemetry.lag import LATE, Beat, Stall

TICK = 0.1
"""Seconds between two looks of the thread."""

DEAD = 5.0
"""Seconds of no progress after which the process should be killed; a stall is told of then, though it goes on."""

DEEPEST = 24
"""Frames of the loop's stack that are named, the innermost."""

_PACKAGES = Path(__file__).parents[2]
_log = structlog.get_logger()


class Watchdog:
    """``counted`` is told the cause of each stall: ``work`` (our own computing), ``blocked`` (a call that waits), or
    ``machine`` (it was stopped, or others had the processor).
    """

    def __init__(self, beat: Beat, counted: Callable[[str], None]) -> None:
        self._beat = beat
        self._counted = counted
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
        self._looked = math.inf
        self._number = -1
        self._still = 0
        self._ran: tuple[float, float] | None = None
        self._cpu = 0.0
        self._blocked = 0.0
        self._stack: list[str] = []
        self._told = False

    @property
    def stuck(self) -> float:
        """Seconds without progress of the loop, or of this thread; 0.0 for none.

        The loop's are counted by looks of ours: a process that was stopped as a whole was not stuck.
        """
        own = time.monotonic() - self._looked
        return max(self._still * TICK, own if own > DEAD else 0.0)

    def start(self) -> None:
        """Begin to look: the beat goes already."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._ending.set()

    def _run(self) -> None:
        while not self._ending.wait(TICK):
            self.look()

    def look(self) -> None:
        """One look at the loop."""
        looked, self._looked = self._looked, time.monotonic()
        while self._beat.stalls:
            self._end(self._beat.stalls.popleft())
        if self._beat.number != self._number:
            self._number, self._still = self._beat.number, 0
            self._forget()
            return
        self._still += 1
        self._weigh(self._looked - looked)
        if self._beat.late >= LATE and not self._stack:
            self._stack = _stack(self._beat.thread)
        if self._still * TICK >= DEAD and not self._told:
            self._tell(self._beat.late, self._cpu, over=False)
            self._told = True

    def _end(self, stall: Stall) -> None:
        if not self._told:
            self._tell(stall.seconds, stall.cpu, over=True)
        self._told = False
        self._forget()

    def _forget(self) -> None:
        self._ran, self._cpu, self._blocked, self._stack = None, 0.0, 0.0, []

    def _weigh(self, passed: float) -> None:
        """Of the time since the last look that in which the loop's thread wanted no processor: it waited for something
        else. Where the look itself comes late, the machine is.
        """
        was, self._ran = self._ran, _ran(self._beat.thread)
        if was is not None and self._ran is not None and self._beat.late > TICK:
            cpu, waited = (now - before for now, before in zip(self._ran, was, strict=True))
            self._cpu += cpu
            self._blocked += max(0.0, min(passed, TICK) - cpu - waited)

    def _tell(self, seconds: float, cpu: float, *, over: bool) -> None:
        blocked = max(0.0, min(self._blocked, seconds - cpu))
        spent = {"work": cpu, "blocked": blocked, "machine": seconds - cpu - blocked}
        cause = max(spent, key=spent.__getitem__)
        self._counted(cause)
        _log.warning(
            "loop.stalled",
            cause=cause,
            ms=round(1000 * seconds),
            own_ms=round(1000 * (cpu + blocked)),
            over=over,
            stack=self._stack,
        )


def _stack(thread: threading.Thread) -> list[str]:
    """Where it is, innermost first. No values: they may be the content of a message."""
    frame: FrameType | None = sys._current_frames().get(thread.ident or 0)  # noqa: SLF001 - its documented name
    places: list[str] = []
    while frame is not None and len(places) < DEEPEST:
        code = frame.f_code
        places.append(f"{_short(code.co_filename)}:{frame.f_lineno}:{code.co_name}")
        frame = frame.f_back
    return places


def _short(path: str) -> str:
    """As a module is found, not where it is installed."""
    for root in (str(_PACKAGES), *sys.path):
        if root and path.startswith(root + os.sep):
            return path[len(root) + 1 :]
    return path


def _ran(thread: threading.Thread) -> tuple[float, float] | None:
    """Seconds for which it ran, and was kept waiting for a processor, since it began. None: nobody says."""
    try:
        ran, waited, _ = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_bytes().split()
    except (OSError, ValueError):
        return None
    return int(ran) / 1e9, int(waited) / 1e9
