"""How many worker processes are wanted, and how many processors there are for them."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

AUTO = "auto"
MOST = 64
"""Each process holds connections to RabbitMQ and Redis, and about 81 MiB of memory."""

_CGROUPS = Path("/sys/fs/cgroup")
_LIMITS = (("cpu.max",), ("cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"))
"""Of the container, by version 2 and 1 of cgroups: CPU time and period, in microseconds."""


def processes(text: str) -> int:
    """Read a number of processes, or ``auto``: one for each processor that this process may use.

    Raises:
        ValueError: it is neither, or out of range.
    """
    if text == AUTO:
        return min(processors(), MOST)
    if not (text.isascii() and text.isdecimal() and 1 <= int(text) <= MOST):
        raise ValueError(f"{text!r} is not a number from 1 to {MOST}, nor {AUTO}")
    return int(text)


def processors(cgroups: Path = _CGROUPS) -> int:
    """The processors of the affinity mask, or the CPU limit of the container in whole processors if that is less.

    A container with a limit of two processors on a machine of 64 has all 64 in its mask, and would start 64 workers.
    """
    # Not every system has a mask.
    mask = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min([mask, *_limits(cgroups)])


def _limits(cgroups: Path) -> Iterator[int]:
    for files in _LIMITS:
        with suppress(OSError, ValueError):  # the other version, or ``max``: no limit
            quota, period = (int(word) for file in files for word in (cgroups / file).read_text().split())
            if quota > 0:
                yield max(1, quota // period)
