"""Metrics of one process, for Prometheus. No label has values for work units, destinations or organizations."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

from notification_sender.telemetry.loop_series import LoopCounter, LoopHistogram

PREFIX = "notification_sender_"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)


class _PolledGauge(Gauge):
    """A gauge whose function ``Metrics.refresh`` calls on the loop: a scrape is written in another thread."""

    def __init__(self, *args: Any, polled: list[tuple[Gauge, Callable[[], float]]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kwargs["polled"] = self._functions = polled  # each of its series is made with these

    def set_function(self, f: Callable[[], float]) -> None:
        self._functions.append((self, f))


class Metrics:
    """One registry for each worker, so that two workers in one test count separately."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._functions: list[tuple[Gauge, Callable[[], float]]] = []
        # Memory, CPU time and open files under the names that every dashboard knows (``process_…``, on Linux).
        ProcessCollector(registry=self.registry)
        self.outcomes = self._loop_counter(
            "outcomes", "Outcomes of work units and notifications, by reason", "what", "outcome", "reason"
        )
        self.stages = LoopHistogram(
            f"{PREFIX}stage_seconds",
            "Seconds of wall time for each stage of a delivery",
            "stage",
            SECONDS,
            self.registry,
        )
        self.calls = self._histogram(
            "api_call_seconds", "Seconds for each call of an internal API, by result", "api", "endpoint", "result"
        )
        self.phases = self._histogram("api_phase_seconds", "Seconds for each phase of an API call", "api", "phase")
        self.servers = self._histogram(
            "api_server_seconds", "Seconds that an API reports for its own work (Server-Timing)", "api", "name"
        )
        self._facts = self._counter(
            "facts", "Facts that the local cache did not have, by the way they were found", "how", "fact"
        )
        self.admissions = self._loop_counter("admissions", "Admission decisions of the ledger, by result", "answer")
        self.foreign = self._counter(
            "foreign_records", "Records that were dropped because they belong to another organization", "source"
        )
        self.relevance_unknown = self._counter(
            "relevance_unknown", "Notifications that were sent without knowing whether they are still relevant", "kind"
        )
        self.unrecorded = self._counter(
            "unrecorded_acceptances", "Acceptances by recipients that the ledger did not record"
        )
        self.events_dropped = self._counter(
            "events_dropped", "Events that were not published, or whose publication is unknown"
        )
        self.bugs = self._counter("unexpected_errors", "Unexpected errors, by stage", "stage")
        self._of_the_process()

    def _of_the_process(self) -> None:
        """Create the metrics of this process and of the services that it needs."""
        self.lag = self._histogram("loop_lag_seconds", "Seconds by which the event loop woke up late")
        self.stalls = self._counter(
            "loop_stalls", "Times that the event loop was blocked for 250 ms or more, by cause", "cause"
        )
        self.api_state = self._gauge(
            "api_state",
            "State of an internal API (well, slow, out): 1 for the current state, 0 for the others",
            "api",
            "state",
        )
        self.hosts_out = self._gauge("hosts_out", "Recipient hosts whose circuit is open: nothing is sent to them")
        self.templates_failing = self._gauge(
            "templates_failing", "Templates that failed too often in a row; their notifications wait"
        )
        self.clock_offset = self._gauge(
            "clock_offset_seconds",
            "Seconds by which the clock of Redis is ahead of this machine's; 0 within the tolerance",
        )
        self.redis_used = self._gauge("redis_used_bytes", "Bytes of memory that Redis uses")
        self.redis_max = self._gauge("redis_max_bytes", "Bytes of memory that Redis may use (maxmemory); 0: no limit")
        self.tasks = self._gauge("tasks", "Tasks of the event loop; a rise without a rise of in_hand is a leak")
        self.in_hand = self._gauge("in_hand", "Deliveries that hold a slot, as in_hand of /status", "lane")

    def admission(self, answer: object) -> None:
        """Count an admission decision of the ledger."""
        self.admissions.count(type(answer).__name__.lower())

    def redis_memory(self, used: int, most: int) -> None:
        """Record how many bytes Redis uses, and may use."""
        self.redis_used.set(used)
        self.redis_max.set(most)

    def fact(self, kind: str, how: str) -> None:
        """Count a fact that the local cache did not have. ``how`` says how it was found."""
        self._facts.labels(how, kind.rpartition(":")[2]).inc()

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        whole = f"{PREFIX}{name}"
        return _PolledGauge(whole, text, labels, registry=self.registry, polled=self._functions)

    def _loop_counter(self, name: str, text: str, *labels: str) -> LoopCounter:
        return LoopCounter(f"{PREFIX}{name}", text, labels, self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"{PREFIX}{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"{PREFIX}{name}", text, labels, buckets=SECONDS, registry=self.registry)

    def refresh(self) -> None:
        """Set the polled gauges. It runs on the worker's loop, where their values change."""
        for gauge, ask in self._functions:
            gauge.set(ask())

    def expose(self) -> bytes:
        """The text that Prometheus reads, from any thread."""
        return generate_latest(self.registry)
