"""How much processor time this process gets, and how long it waits for more. Zeros where the system does not say."""

import os
import resource
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

from notification_sender.telemetry.stalls import cpu_times

_CPU_STATS = (Path("/sys/fs/cgroup/cpu.stat"), Path("/sys/fs/cgroup/cpu/cpu.stat"))
_THROTTLED = {"throttled_usec": 1e6, "throttled_time": 1e9}
"""Units a second, in version 2 and 1 of cgroups."""


def processor_totals(loop_thread: Thread) -> dict[str, float]:
    """Seconds since the start: ``cpu`` of the process; ``ran`` and ``waited`` of the loop's thread; ``throttled``."""
    ran, waited = cpu_times(loop_thread) or (0.0, 0.0)
    return {"cpu": time.process_time(), "ran": ran, "waited": waited, "throttled": _throttled()}


def resident_bytes() -> int:
    """Memory of this process now; where the system does not say, at most so far."""
    with suppress(OSError, ValueError, IndexError):
        return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _throttled() -> float:
    for path in _CPU_STATS:
        with suppress(OSError, ValueError):
            lines = dict(line.split() for line in path.read_text(encoding="ascii").splitlines())
            return next((int(lines[name]) / units for name, units in _THROTTLED.items() if name in lines), 0.0)
    return 0.0
