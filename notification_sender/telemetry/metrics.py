"""Metrics of one process, for Prometheus, built from the table in ``declared``."""

import math
import time
from collections.abc import Callable
from typing import Any

import prometheus_client
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics import exposition

from notification_sender.telemetry.declared import DECLARED
from notification_sender.telemetry.loop_series import LoopCounter, LoopHistogram, PolledSeries
from notification_sender.telemetry.top_organizations import TopOrganizations
from notification_sender.telemetry.wait_causes import WaitCauses


class _PolledGauge(Gauge):
    """A gauge whose function ``Metrics.refresh`` calls on the loop: a scrape is written in another thread."""

    def __init__(self, *args: Any, polled: list[tuple[Gauge, Callable[[], float]]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kwargs["polled"] = self._functions = polled  # each of its series is made with these

    def set_function(self, f: Callable[[], float]) -> None:
        self._functions.append((self, f))


class Metrics:
    """One registry for each worker, so that two workers in one test count separately.

    Every attribute is built by its name in ``declared.DECLARED``, which has its labels and its meaning.
    ``top_organizations``: how many organizations have series of their own.
    """

    def __init__(self, *, top_organizations: int = 20) -> None:
        self.registry = CollectorRegistry()
        self.held = WaitCauses(time.monotonic)
        """What deliveries wait for: no series, but a part of this process's report."""
        self._functions: list[tuple[Gauge, Callable[[], float]]] = []
        self._polled_series: list[PolledSeries | TopOrganizations] = []
        # Memory, CPU time and open files under the names that every dashboard knows (``process_…``, on Linux).
        ProcessCollector(registry=self.registry)
        self._of_the_work()
        self.organizations = self._top(top_organizations)
        self._of_the_context()
        self._of_the_process()
        self._of_the_fleet()

    def _of_the_work(self) -> None:
        self.outcomes = self._loop_counter("outcomes_total")
        self.stages = self._loop_histogram("stage_seconds")
        self.slot_seconds = self._polled("slot_seconds_total")
        self.slots = self._polled("slots")
        self.in_hand = self._gauge("in_hand")
        self.admissions = self._loop_counter("admissions_total")
        self.relevance_unknown = self._counter("relevance_unknown_total")
        self.unrecorded = self._counter("unrecorded_acceptances_total")
        self.events_dropped = self._counter("events_dropped_total")
        self.bugs = self._counter("unexpected_errors_total")
        self.audit_missing = self._gauge("audit_missing")
        self.hosts_out = self._gauge("hosts_out")
        self.templates_failing = self._gauge("templates_failing")

    def _of_the_context(self) -> None:
        self.calls = self._histogram("api_call_seconds")
        self.phases = self._histogram("api_phase_seconds")
        self.servers = self._histogram("api_server_seconds")
        self.api_state = self._gauge("api_state")
        self._facts = self._counter("facts_total")
        self.foreign = self._counter("foreign_records_total")

    def _of_the_process(self) -> None:
        self.build_info = self._gauge("build_info")
        self.ready = self._gauge("ready")
        self.tasks = self._gauge("tasks")
        self.lag = self._histogram("loop_lag_seconds")
        self.stalls = self._counter("loop_stalls_total")
        self.clock_offset = self._gauge("clock_offset_seconds")
        self.redis_used = self._gauge("redis_used_bytes")
        self.redis_max = self._gauge("redis_max_bytes")
        self.redis_evicted = self._gauge("redis_evicted_keys")

    def _of_the_fleet(self) -> None:
        """Create what the fleet's reports say. Every process that reads the reports sets them."""
        self.backlog = self._gauge("fleet_backlog")
        self.oldest_age = self._unknown("fleet_oldest_age_seconds")
        self.eta = self._unknown("fleet_eta_seconds")
        self.processes = self._unknown("fleet_processes")
        self.reports_stale = self._unknown("fleet_reports_stale")
        self.arrivals = self._unknown("fleet_arrivals_per_minute")
        self.deliveries = self._unknown("fleet_deliveries_per_minute")
        self.scale_hint = self._unknown("scale_hint")
        self.limit = self._gauge("limit")

    def admission(self, answer: object) -> None:
        """Count an admission decision of the ledger."""
        self.admissions.count(type(answer).__name__.lower())

    def redis_memory(self, used: int, most: int, evicted: int) -> None:
        """Record how many bytes Redis uses and may use, and how many keys it has evicted."""
        self.redis_used.set(used)
        self.redis_max.set(most)
        self.redis_evicted.set(evicted)

    def fact(self, kind: str, how: str) -> None:
        """Count a fact that the local cache did not have. ``how`` says how it was found."""
        self._facts.labels(how, kind.rpartition(":")[2]).inc()

    def _gauge(self, name: str) -> Gauge:
        it = DECLARED[name]
        return _PolledGauge(it.whole, it.text, tuple(it.labels), registry=self.registry, polled=self._functions)

    def _unknown(self, name: str) -> Gauge:
        """A gauge without a number until it is set: no alert compares with it."""
        gauge = self._gauge(name)
        gauge.set(math.nan)
        return gauge

    def _loop_counter(self, name: str) -> LoopCounter:
        it = DECLARED[name]
        return LoopCounter(it.whole, it.text, tuple(it.labels), self.registry)

    def _loop_histogram(self, name: str) -> LoopHistogram:
        it = DECLARED[name]
        [label] = it.labels
        return LoopHistogram(it.whole, it.text, label, it.bounds, self.registry)

    def _polled(self, name: str) -> PolledSeries:
        it = DECLARED[name]
        [label] = it.labels
        kind = CounterMetricFamily if it.kind == "counter" else GaugeMetricFamily
        series = PolledSeries(kind, it.whole, it.text, label, self.registry)
        self._polled_series.append(series)
        return series

    def _top(self, most: int) -> TopOrganizations:
        it = DECLARED["organization_outcomes_total"]
        top = TopOrganizations(it.whole, it.text, tuple(it.labels), most=most, registry=self.registry)
        self._polled_series.append(top)
        return top

    def _counter(self, name: str) -> Counter:
        it = DECLARED[name]
        return Counter(it.whole, it.text, tuple(it.labels), registry=self.registry)

    def _histogram(self, name: str) -> Histogram:
        it = DECLARED[name]
        return Histogram(it.whole, it.text, tuple(it.labels), buckets=it.bounds, registry=self.registry)

    def refresh(self) -> None:
        """Set the polled values. It runs on the worker's loop, where they change."""
        for gauge, ask in self._functions:
            gauge.set(ask())
        for series in self._polled_series:
            series.refresh()

    def expose(self, *, openmetrics: bool = False) -> bytes:
        """The text that Prometheus reads, from any thread. OpenMetrics has the exemplars as well."""
        text: bytes = (exposition if openmetrics else prometheus_client).generate_latest(self.registry)
        return text
