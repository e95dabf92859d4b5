"""Figures of one process, for Prometheus. No label grows with work units, destinations or organizations."""

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)


class Metrics:
    """One registry a process: two applications in one test do not count together."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        # Memory, CPU time and open files under the names that every dashboard knows (``process_…``, on Linux).
        ProcessCollector(registry=self.registry)
        self.outcomes = self._counter("outcomes", "Outcomes of units and notifications", "what", "outcome", "reason")
        self.stages = self._histogram("stage_seconds", "Wall time by stage", "stage")
        self.calls = self._histogram("api_call_seconds", "Calls of internal APIs", "api", "endpoint", "result")
        self.phases = self._histogram("api_phase_seconds", "Where the time of calls goes", "api", "phase")
        self.servers = self._histogram(
            "api_server_seconds", "What APIs say of themselves (Server-Timing)", "api", "name"
        )
        self._facts = self._counter(
            "facts", "Facts that were not at hand in the process, by how they came", "how", "fact"
        )
        self.asked = self._counter("admissions", "Answers of the ledger to one that is to be sent", "answer")
        # By class: to look a series up by its label costs more than to count on it.
        self._answer = cache(self.asked.labels)
        self.foreign = self._counter("foreign_records", "Records of another organization, dropped", "source")
        self.unasked = self._counter(
            "relevance_unknown", "Notifications sent although nobody could say whether they still matter", "kind"
        )
        self.unrecorded = self._counter("unrecorded_acceptances", "Acceptances that the ledger could not be told")
        self.events_dropped = self._counter("events_dropped", "Events that were not sent, or perhaps not")
        self.bugs = self._counter("unexpected_errors", "Errors nobody foresaw", "stage")
        self.lag = self._histogram("loop_lag_seconds", "How late the event loop wakes what it should wake")
        self.hosts_out = self._gauge("hosts_out", "Hosts of recipients that are left alone for now")
        self.clock_offset = self._gauge(
            "clock_offset_seconds", "What the store's clock is ahead of this machine's, where that is too much"
        )
        self.tasks = self._gauge(
            "tasks", "Tasks of the event loop: rises and falls with what is in hand, and must not rise alone"
        )
        self.in_hand = self._gauge("in_hand", "Deliveries that hold a slot", "lane")

    def admission(self, answer: object) -> None:
        """What the ledger said of one that is to be sent."""
        self._answer(type(answer).__name__.lower()).inc()

    def fact(self, kind: str, how: str) -> None:
        """A fact that was not at hand: how it came."""
        self._facts.labels(how, kind.rpartition(":")[2]).inc()

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"notification_sender_{name}", text, labels, registry=self.registry)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"notification_sender_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, *labels: str) -> Histogram:
        return Histogram(f"notification_sender_{name}", text, labels, buckets=SECONDS, registry=self.registry)

    def expose(self) -> bytes:
        """The text that Prometheus reads."""
        return generate_latest(self.registry)
