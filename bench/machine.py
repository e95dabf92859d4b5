"""What the kernel says: the cores there are, and what a process has used of them."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")
CPU_FIELDS = slice(11, 13)
"""User and system time in ``/proc/PID/stat``, counted from behind the name: it may contain blanks."""


@dataclass(frozen=True, slots=True)
class Cores:
    """The worker has one to itself, the receiver another; where there is no third the services share that one."""

    worker: int
    receiver: int
    services: frozenset[int]

    @classmethod
    def of_this_machine(cls) -> "Cores":
        """Raises:
        RuntimeError: there is only one.

        """
        cores = sorted(os.sched_getaffinity(0))
        if len(cores) == 1:
            raise RuntimeError("a benchmark needs two cores: the worker must not share its own")
        return cls(cores[0], cores[1], frozenset(cores[2:] or cores[1:]))


@dataclass(frozen=True, slots=True)
class Reading:
    """CPU seconds (all threads, user and system) that the two had used at a time of the monotonic clock."""

    at: float
    worker: float
    receiver: float


def read(worker: int, receiver: int) -> Reading:
    """By process id."""
    return Reading(time.monotonic(), cpu_seconds(worker), cpu_seconds(receiver))


def cpu_seconds(pid: int) -> float:
    """To a tick, which is 10 ms on Linux."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[CPU_FIELDS])) / TICKS


def peak_rss(pid: int) -> float:
    """The most memory that it ever had resident, MiB."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024
