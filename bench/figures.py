"""From what was seen to what it cost: only the middle of a run counts, when everybody was up and had work."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from bench.race import Run

EDGE = 6
"""One part in so many is left out at the beginning (imports, connections, cold caches) and at the end."""

MICRO = 1_000_000


@dataclass(frozen=True, slots=True)
class Figures:
    """``rate``: messages a second. ``cpu``: µs a message, of the worker's process; ``services``: of RabbitMQ and Redis.
    Shares: of one core each.
    """

    rate: float
    cpu: float
    services: float
    worker_share: float
    receiver_share: float
    peak_rss: float
    """MiB."""

    @property
    def all_parts(self) -> float:
        """CPU µs a message, of all that is needed to deliver it."""
        return self.cpu + self.services


def figures(run: Run, in_flight: int, skip: int = 0) -> Figures:
    """``skip``: arrivals that are left out at the beginning, where that are more than the edge.

    Raises:
        ValueError: too few messages for two readings in the middle.

    """
    times = [at for _, at, _ in run.arrivals]
    edge = len(times) // EDGE
    begin = max(edge, skip)
    middle = [reading for reading in run.readings if times[begin] <= reading.at <= times[-edge]]
    if len(middle) < 2:
        raise ValueError(f"{len(times)} messages were over too soon to be measured: take more")
    first, last = middle[0], middle[-1]
    messages = bisect_right(times, last.at) - bisect_right(times, first.at)
    seconds = last.at - first.at
    return Figures(
        rate=_rate(times[begin:-edge], in_flight),
        cpu=(last.worker - first.worker) / messages * MICRO,
        services=(last.services - first.services) / messages * MICRO,
        worker_share=(last.worker - first.worker) / seconds,
        receiver_share=(last.receiver - first.receiver) / seconds,
        peak_rss=run.peak_rss,
    )


def _rate(times: Sequence[float], in_flight: int) -> float:
    """Over whole waves: behind a slow receiver they arrive in waves as large as what is in flight."""
    waves = (len(times) - 1) // in_flight
    if not waves:
        raise ValueError(f"a run needs more than {in_flight * 3 // 2} messages")
    return waves * in_flight / (times[waves * in_flight] - times[0])


def typical(all_of: Sequence[Figures]) -> Figures:
    """The median of each."""
    return Figures(
        rate=median(it.rate for it in all_of),
        cpu=median(it.cpu for it in all_of),
        services=median(it.services for it in all_of),
        worker_share=median(it.worker_share for it in all_of),
        receiver_share=median(it.receiver_share for it in all_of),
        peak_rss=median(it.peak_rss for it in all_of),
    )


def body_bytes(run: Run) -> int:
    """The mean size of what was posted."""
    return round(sum(size for _, _, size in run.arrivals) / len(run.arrivals))


def percentile(values: Sequence[float], percent: int) -> float:
    return sorted(values)[min(len(values) * percent // 100, len(values) - 1)]
