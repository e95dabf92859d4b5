"""Counters and histograms that one thread writes: every message counts in six of them.

The library's own take a lock for each number and check each time that they may be written, which costs a message one
percent of its CPU. Prometheus reads the same from these.
"""

import time
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class LoopCounter(Collector):
    """A counter for each combination of label values that was counted."""

    def __init__(self, name: str, text: str, labels: Sequence[str], registry: CollectorRegistry) -> None:
        self._family = (name, text, labels)
        self._counts: dict[tuple[str, ...], int] = {}
        self._begun: dict[tuple[str, ...], float] = {}
        registry.register(self)

    def count(self, *values: str) -> None:
        """``values``: of the labels, in their order."""
        counts = self._counts
        if values in counts:
            counts[values] += 1
        else:
            counts[values], self._begun[values] = 1, time.time()

    def totals(self) -> dict[str, float]:
        """The counts so far, by the values of the labels."""
        return {" ".join(values): number for values, number in self._counts.items()}

    def collect(self) -> Iterable[Metric]:
        name, text, labels = self._family
        family = CounterMetricFamily(name, text, labels=labels)
        for values, number in list(self._counts.items()):  # a scrape is written in another thread
            family.add_metric(values, number, created=self._begun.get(values))
        yield family

    def describe(self) -> Iterator[Metric]:
        name, text, labels = self._family
        yield CounterMetricFamily(name, text, labels=labels)


class LoopHistogram(Collector):
    """A histogram for each value of one label that was observed. ``bounds``: of its buckets, s, without infinity."""

    def __init__(self, name: str, text: str, label: str, bounds: Sequence[float], registry: CollectorRegistry) -> None:
        self._family = (name, text, (label,))
        self._bounds = tuple(bounds)
        self._names = [*map(floatToGoString, bounds), "+Inf"]
        self._buckets: dict[str, list[int]] = {}
        self._begun: dict[str, float] = {}
        self._sums: dict[str, float] = {}
        registry.register(self)

    def observe(self, value: str, seconds: float) -> None:
        """``value``: of the label."""
        buckets = self._buckets.get(value)
        if buckets is None:
            buckets = self._buckets[value] = [0] * len(self._names)
            self._sums[value], self._begun[value] = 0.0, time.time()
        buckets[bisect_left(self._bounds, seconds)] += 1
        self._sums[value] += seconds

    def observe_all(self, values: Mapping[str, float]) -> None:
        """As ``observe`` for each of ``values``: s, by value of the label. The first bucket costs no call."""
        known, sums, bounds = self._buckets, self._sums, self._bounds
        first = bounds[0]
        for value in values:
            seconds = values[value]
            if value in known:
                known[value][0 if seconds <= first else bisect_left(bounds, seconds)] += 1
                sums[value] += seconds
            else:
                self.observe(value, seconds)

    def within(self, value: str, bound: float) -> tuple[int, int]:
        """How many were observed, and how many of them within ``bound`` s, which is one of the buckets' bounds."""
        buckets = self._buckets.get(value, [])
        return sum(buckets), sum(buckets[: self._bounds.index(bound) + 1])

    def collect(self) -> Iterable[Metric]:
        name, text, labels = self._family
        family = HistogramMetricFamily(name, text, labels=labels)
        for value, buckets in list(self._buckets.items()):
            upto = list(zip(self._names, accumulate(buckets), strict=True))
            family.add_metric((value,), upto, self._sums[value])
            family.add_sample(f"{name}_created", dict(zip(labels, (value,), strict=True)), self._begun[value])
        yield family

    def describe(self) -> Iterator[Metric]:
        name, text, labels = self._family
        yield HistogramMetricFamily(name, text, labels=labels)


class PolledSeries(Collector):
    """Values that a function returns, for each value of one label. The function runs on the loop, at ``refresh``."""

    def __init__(
        self,
        family: type[CounterMetricFamily] | type[GaugeMetricFamily],
        name: str,
        text: str,
        label: str,
        registry: CollectorRegistry,
    ) -> None:
        self._family = (name, text, (label,))
        self._kind = family
        self._read: Callable[[], Mapping[str, float]] = dict
        self._values: Mapping[str, float] = {}
        registry.register(self)

    def follow(self, read: Callable[[], Mapping[str, float]]) -> None:
        """``read`` returns the value for each value of the label."""
        self._read = read

    def refresh(self) -> None:
        self._values = dict(self._read())

    def collect(self) -> Iterable[Metric]:
        family = self._made()
        for value, number in self._values.items():
            family.add_metric((value,), number)
        yield family

    def describe(self) -> Iterator[Metric]:
        yield self._made()

    def _made(self) -> CounterMetricFamily | GaugeMetricFamily:
        name, text, labels = self._family
        return self._kind(name, text, labels=labels)
