"""What a process or a service holds, over time: whether it rises."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

MIB = 1024 * 1024

SCRAPED = {
    "RSS MiB": ("process_resident_memory_bytes", MIB),
    "fds": ("process_open_fds", 1),
    "tasks": ("notification_sender_tasks", 1),
}
"""Of ``/metrics``: name there, and by what it is divided."""

BOUNDS = {"RSS MiB": 3.0, "fds": 10.0, "tasks": 10.0, "channels": 2.0, "connections": 2.0, "redis clients": 2.0}
"""By how much the least of the last quarter of a run may be above the least of the quarter before: what is in hand at
some moment says nothing, and the first half is for caches to fill and for the allocator to meet every fault.

It is no rate: a run of 30 minutes allows 24 MiB an hour, one of eight hours 1.5. What an allocator wobbles by stays
below it, so do connections that are kept or not; a leak of a few files, tasks or channels at every fault does not.
"""


def scraped(text: str) -> dict[str, float]:
    """The gauges of a worker, out of its metrics."""
    found = dict(re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE))
    return {name: float(found[metric]) / unit for name, (metric, unit) in SCRAPED.items()}


@dataclass(frozen=True, slots=True)
class Trend:
    """Of one gauge. ``rise``: from the least of the third quarter to that of the last; ``slope``: the same an hour."""

    start: float
    end: float
    rise: float
    slope: float


def trend(points: Sequence[tuple[float, float]]) -> Trend:
    """``points``: time in seconds, and value; of three at least."""
    (began, start), (ended, end) = points[0], points[-1]
    quarter = (ended - began) / 4
    before = [value for at, value in points if 2 * quarter <= at - began < 3 * quarter]
    last = [value for at, value in points if at - began >= 3 * quarter]
    rise = min(last) - min(before or [start])
    return Trend(start, end, rise, 3600 * rise / quarter)


class Series:
    """Gauges of one who has them, as they were read."""

    def __init__(self) -> None:
        self._points: dict[str, list[tuple[float, float]]] = {}

    def add(self, at: float, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._points.setdefault(name, []).append((at, value))

    @property
    def length(self) -> float:
        """Seconds from the first reading to the last."""
        moments = [at for points in self._points.values() for at, _ in points]
        return max(moments) - min(moments) if moments else 0.0

    def last(self, name: str) -> float:
        """The latest reading; 0 where there is none."""
        points = self._points.get(name)
        return points[-1][1] if points else 0.0

    def since(self, begin: float) -> "Series":
        """What was read from then on."""
        later = Series()
        later._points = {name: [it for it in all_of if it[0] >= begin] for name, all_of in self._points.items()}
        return later

    def lines(self, whose: str, bounds: Mapping[str, float] = BOUNDS) -> Iterator[tuple[str, bool]]:
        """A line for each gauge that has a bound, and whether it stayed within it."""
        for name, bound in bounds.items():
            points = self._points.get(name, ())
            if len(points) > 2:
                it = trend(points)
                well = it.rise <= bound
                seen = f"{it.start:>8.1f}{it.end:>8.1f}{it.slope:>11.1f}{it.rise:>8.1f}{bound:>9g}"
                yield f"{whose:<12}{name:<14}{seen}  {'as expected' if well else 'IT GROWS'}", well


HEAD = f"{'':<12}{'':<14}{'start':>8}{'end':>8}{'an hour':>11}{'rise':>8}{'at most':>9}"
