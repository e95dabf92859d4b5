"""Figures of one process, for Prometheus. No label grows with work units, destinations or organizations."""

from collections.abc import Callable
from functools import cache
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)


class _PolledGauge(Gauge):
    """A gauge whose function ``Metrics.refresh`` calls on the loop: a scrape is written in another thread."""

    def __init__(self, *args: Any, polled: list[tuple[Gauge, Callable[[], float]]], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._kwargs["polled"] = self._functions = polled  # each of its series is made with these

    def set_function(self, f: Callable[[], float]) -> None:
        self._functions.append((self, f))


class Metrics:
    """One registry for each worker: two workers in one test do not count together."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._functions: list[tuple[Gauge, Callable[[], float]]] = []
        # Memory, CPU time and open files under the names that every dashboard knows (``process_…``, on Linux).
        ProcessCollector(registry=self.registry)
        self.outcomes = self._counter("outcomes", "Outcomes of units and notifications", "what", "outcome", "reason")
        self.stages = self._histogram("stage_seconds", "Wall time by stage", "stage")
        self.calls = self._histogram("api_call_seconds", "Calls of internal APIs", "api", "endpoint", "result")
        self.phases = self._histogram("api_phase_seconds", "Time of API calls by phase", "api", "phase")
        self.servers = self._histogram(
            "api_server_seconds", "Time that APIs report for themselves (Server-Timing)", "api", "name"
        )
        self._facts = self._counter(
            "facts", "Facts that the cache of the process did not have, by how they came", "how", "fact"
        )
        self.admissions = self._counter("admissions", "Ledger admission decisions, by result", "answer")
        # By class: a look-up of a series by its label costs more than the count.
        self._answer = cache(self.admissions.labels)
        self.foreign = self._counter("foreign_records", "Records of another organization that were dropped", "source")
        self.relevance_unknown = self._counter(
            "relevance_unknown", "Notifications sent without an answer whether they are still relevant", "kind"
        )
        self.unrecorded = self._counter("unrecorded_acceptances", "Acceptances that the ledger did not record")
        self.events_dropped = self._counter("events_dropped", "Events that were not sent, or whose sending is unknown")
        self.bugs = self._counter("unexpected_errors", "Unexpected errors", "stage")
        self._of_the_process()

    def _of_the_process(self) -> None:
        """The state of this process, and of the services that it needs."""
        self.lag = self._histogram("loop_lag_seconds", "Delay of wake-ups by the event loop")
        self.stalls = self._counter(
            "loop_stalls", "Times that the event loop was blocked for more than 250 ms", "cause"
        )
        self.api_state = self._gauge(
            "api_state", "1 for the state of an internal API, 0 for the others: well, slow, out", "api", "state"
        )
        self.hosts_out = self._gauge("hosts_out", "Hosts of recipients to which nothing is sent now")
        self.templates_failing = self._gauge(
            "templates_failing", "Templates that failed too often in a row: their notifications wait"
        )
        self.clock_offset = self._gauge(
            "clock_offset_seconds", "Seconds that the clock of Redis is ahead of this machine's, 0 within the tolerance"
        )
        self.redis_used = self._gauge("redis_used_bytes", "Memory that Redis reports as used")
        self.redis_max = self._gauge("redis_max_bytes", "Memory that Redis may use (maxmemory); 0: it has no limit")
        self.tasks = self._gauge(
            "tasks", "Tasks of the event loop. It follows in_hand: a rise without in_hand is a leak"
        )
        self.in_hand = self._gauge("in_hand", "Deliveries that hold a slot: as in_hand of /status", "lane")

    def admission(self, answer: object) -> None:
        """An admission decision of the ledger."""
        self._answer(type(answer).__name__.lower()).inc()

    def redis_memory(self, used: int, most: int) -> None:
        """Bytes that Redis uses, and may use."""
        self.redis_used.set(used)
        self.redis_max.set(most)

    def fact(self, kind: str, how: str) -> None:
        """A fact that the cache of the process did not have: how it came."""
        self._facts.labels(how, kind.rpartition(":")[2]).inc()

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        whole = f"notification_sender_{name}"
        return _PolledGauge(whole, text, labels, registry=self.registry, polled=self._functions)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"notification_sender_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"notification_sender_{name}", text, labels, buckets=SECONDS, registry=self.registry)

    def refresh(self) -> None:
        """Set the polled gauges. It runs on the worker's loop, where their values change."""
        for gauge, ask in self._functions:
            gauge.set(ask())

    def expose(self) -> bytes:
        """The text that Prometheus reads, from any thread."""
        return generate_latest(self.registry)
