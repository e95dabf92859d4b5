"""What the kernel says: the cores there are, and what a process has used of them."""

import os
import resource
import time
from collections.abc import Iterable
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
    """CPU seconds (all threads, user and system) that each had used at a time of the monotonic clock."""

    at: float
    worker: float
    receiver: float
    services: float
    """RabbitMQ and Redis together."""


def read(worker: int, receiver: int, services: Iterable[int]) -> Reading:
    """By process id."""
    return Reading(
        time.monotonic(), family_cpu_seconds(worker), cpu_seconds(receiver), sum(cpu_seconds(pid) for pid in services)
    )


def cpu_seconds(pid: int) -> float:
    """Of one process, to a tick, which is 10 ms on Linux."""
    fields = _said(pid, "stat").rpartition(")")[2].split()
    return sum(map(int, fields[CPU_FIELDS])) / TICKS


def family_cpu_seconds(pid: int) -> float:
    """What the process has started counts too, for as long as that runs."""
    return sum(cpu_seconds(it) for it in family(pid))


def raise_open_files() -> None:
    """Of this process, to what it may have: thousands of hosts are as many connections."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def peak_rss(pid: int) -> float:
    """The most memory that it and what it has started ever had resident, MiB: pages they share count for each."""
    return sum(_peak_kib(it) for it in family(pid)) / 1024


def family(pid: int) -> list[int]:
    """The process and those that its main thread has started, and theirs. Whoever starts one from another thread hides
    it: asking each of two hundred threads would cost what is to be measured.
    """
    children = _said(pid, f"task/{pid}/children").split()
    return [pid, *(it for child in children for it in family(int(child)))]


def _peak_kib(pid: int) -> int:
    peaks = [line for line in _said(pid, "status").splitlines() if line.startswith("VmHWM:")]
    return sum(int(peak.split()[1]) for peak in peaks)


def _said(pid: int, file: str) -> str:
    """Nothing of a process that has ended since it was seen."""
    try:
        return Path(f"/proc/{pid}/{file}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""
