"""How much processor time this process gets, and how long it waits for more. Zeros where the system does not say."""

import os
import resource
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from threading import Thread, current_thread
from typing import NamedTuple

_CGROUPS = Path("/sys/fs/cgroup")
_OWN_CGROUPS = Path("/proc/self/cgroup")
_THROTTLED = {"throttled_usec": 1e6, "throttled_time": 1e9}
"""Units a second, in version 2 and 1 of cgroups."""


class ThreadTimes(NamedTuple):
    """Of one thread since its start."""

    ran: float = 0.0
    """Seconds for which it had a processor."""
    waited: float = 0.0
    """Seconds for which it was ready to run and had none."""
    turns: int = 0
    """Times that it got a processor."""


def cpu_times(thread: Thread) -> ThreadTimes | None:
    """None: the system does not say."""
    try:
        ran, waited, turns = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_bytes().split()
    except (OSError, ValueError):
        return None
    return ThreadTimes(int(ran) / 1e9, int(waited) / 1e9, int(turns))


def processor_totals(loop_thread: Thread) -> dict[str, float]:
    """Since the start: ``cpu`` and ``throttled`` seconds of the process, and the times of the loop's thread."""
    loop = cpu_times(loop_thread) or ThreadTimes()
    return {"cpu": time.process_time(), "throttled": _throttled()} | loop._asdict()


def waited_seconds() -> float:
    """Seconds since its start for which this thread was ready to run and had no processor."""
    return (cpu_times(current_thread()) or ThreadTimes()).waited


class IdleTime:
    """Seconds for which this thread had nothing to do, since the object was made: it waited for another machine.

    It is how long an answer took, without what this process and its machine need to see that the answer is there.
    """

    def __init__(self) -> None:
        self._began = _idle_seconds()

    def seconds(self) -> float:
        """Until now."""
        return max(0.0, _idle_seconds() - self._began)


def _idle_seconds() -> float:
    """Counted from any moment."""
    return time.perf_counter() - time.thread_time() - waited_seconds()


def resident_bytes() -> int:
    """Memory of this process now; where the system does not say, at most so far."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _throttled() -> float:
    for path in cpu_stats():
        with suppress(OSError, ValueError):
            lines = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
            return next((int(lines[name]) / units for name, units in _THROTTLED.items() if name in lines), 0.0)
    return 0.0


@cache
def cpu_stats() -> Sequence[Path]:
    """Where the system counts what it took from this process: in its own group, or at the top of a container."""
    found: list[Path] = []
    with suppress(OSError, ValueError):
        for line in _OWN_CGROUPS.read_text(encoding="utf-8").splitlines():
            _, controllers, group = line.split(":", 2)
            if "cpu" in controllers.split(",") or not controllers:
                top = _CGROUPS / "cpu" if controllers else _CGROUPS
                found += [top / group.lstrip("/") / "cpu.stat", top / "cpu.stat"]
    return found
