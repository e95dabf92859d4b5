"""What a process or a service holds, over time: whether it rises."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

MIB = 1024 * 1024

SCRAPED = {
    "RSS MiB": ("process_resident_memory_bytes", MIB),
    "fds": ("process_open_fds", 1),
    "tasks": ("notification_sender_tasks", 1),
}
"""Of ``/metrics``: name there, and by what it is divided."""

BOUNDS = {"RSS MiB": 4.0, "fds": 10.0, "tasks": 10.0, "channels": 2.0, "connections": 2.0, "redis clients": 2.0}
"""By how much each may rise from the first third of a run to its end, along the line through its quietest moments.

It is no rate: a run of 30 minutes allows 12 MiB an hour, one of eight hours 0.75. What an allocator wobbles by stays
below it, so do connections that are kept or not; a leak of one file, task or channel at every second fault does not.
"""


def scraped(text: str) -> dict[str, float]:
    """The gauges of a worker, out of its metrics."""
    found = dict(re.findall(r"^(\w+) (\S+)$", text, re.MULTILINE))
    return {name: float(found[metric]) / unit for name, (metric, unit) in SCRAPED.items()}


@dataclass(frozen=True, slots=True)
class Trend:
    """Of one gauge. ``rise``: over the last two thirds; ``slope``: the same an hour."""

    start: float
    end: float
    slope: float
    rise: float


def trend(points: Sequence[tuple[float, float]], quiet: float) -> Trend:
    """``points``: time in seconds, and value. ``quiet``: of so many seconds the least value counts, for what is in hand
    at the moment says nothing.
    """
    least = list(_least(points, quiet))
    judged = [it for it in least if it[0] >= least[0][0] + (least[-1][0] - least[0][0]) / 3]
    slope = _slope(judged)
    return Trend(least[0][1], least[-1][1], 3600 * slope, slope * (judged[-1][0] - judged[0][0]))


def _least(points: Sequence[tuple[float, float]], quiet: float) -> Iterator[tuple[float, float]]:
    """Of every ``quiet`` seconds."""
    spans: dict[int, list[tuple[float, float]]] = {}
    for at, value in points:
        spans.setdefault(int((at - points[0][0]) / quiet), []).append((at, value))
    for span in spans.values():
        yield span[len(span) // 2][0], min(value for _, value in span)


def _slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the line with the least squares, a second."""
    middle = sum(at for at, _ in points) / len(points)
    spread = sum((at - middle) ** 2 for at, _ in points)
    return sum((at - middle) * value for at, value in points) / spread if spread else 0.0


class Series:
    """Gauges of one who has them, as they were read."""

    def __init__(self) -> None:
        self._points: dict[str, list[tuple[float, float]]] = {}

    def add(self, at: float, values: dict[str, float]) -> None:
        for name, value in values.items():
            self._points.setdefault(name, []).append((at, value))

    def since(self, begin: float) -> "Series":
        """What was read from then on."""
        later = Series()
        later._points = {name: [it for it in all_of if it[0] >= begin] for name, all_of in self._points.items()}
        return later

    def lines(self, whose: str, quiet: float) -> Iterator[tuple[str, bool]]:
        """A line a gauge, and whether it stayed within its bound."""
        for name, points in self._points.items():
            if len(points) > 2:
                it = trend(points, quiet)
                well = it.rise <= BOUNDS[name]
                seen = f"{it.start:>8.1f}{it.end:>8.1f}{it.slope:>11.1f}{it.rise:>8.1f}{BOUNDS[name]:>9g}"
                yield f"{whose:<12}{name:<14}{seen}  {'as expected' if well else 'IT GROWS'}", well


HEAD = f"{'':<12}{'':<14}{'start':>8}{'end':>8}{'an hour':>11}{'rise':>8}{'at most':>9}"
