"""The reports of this process to its fleet, and what the fleet says: for ``/status`` and the metrics.

Each process writes its own report. One of them, whichever is first in a period, asks RabbitMQ for the depths of the
queues, makes the verdict of all reports and leaves it in Redis. All others read that one summary.
"""

import math
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, get_args

from notification_sender.app.process_report import ProcessReporter
from notification_sender.app.worker_parts import WorkerParts
from notification_sender.model.errors import Unready
from notification_sender.model.process_report import PERIOD, ProcessReport
from notification_sender.policy.candidates import Limit
from notification_sender.policy.fleet_view import FRESH_SECONDS
from notification_sender.policy.objectives import Tallies, grown
from notification_sender.policy.summary import summary
from notification_sender.policy.verdict import verdict
from notification_sender.telemetry.metrics import Metrics
from notification_sender.telemetry.objective_counts import tallies
from notification_sender.telemetry.processor import IdleTime

LEAD_SECONDS = 0.9 * PERIOD
"""Seconds for which one process does what one does for all. Less than a period: the next one is never kept out."""

QUEUES = ("units", "notifications", "dead", "waiting")


class FleetReports:
    """Runs beside the work, until it is cancelled; then ``close`` says goodbye."""

    def __init__(self, parts: WorkerParts, *, number: int | None, ready: Callable[[], bool]) -> None:
        self._parts = parts
        self._reports = parts.store.reports
        self._reporter = ProcessReporter(parts, number)
        self._ready = ready
        self.summary: Mapping[str, Any] = {}
        """The last summary of the fleet; empty while none is known."""
        self._announced_at = -math.inf
        self._counted: Tallies = {}

    async def run(self) -> None:
        """Report every ``PERIOD``. While Redis is away there is nobody to report to."""
        while True:
            with suppress(Unready):
                await self.report_once()
            self._show()
            await self._parts.clock.sleep(PERIOD)

    async def report_once(self) -> None:
        """Write the report, and read or make the summary.

        Raises:
            Unready: Redis is away.
        """
        report = self._reporter.report(ready=self._ready())
        idle = IdleTime()
        await self._reports.write(report, sample_of(report))
        self._reporter.note_round_trip(round(1000 * idle.seconds(), 2))
        await self._count()
        if await self._reports.lead(self._reporter.process, LEAD_SECONDS):
            await self._lead()
        found = await self._reports.announced()
        if found is not None:
            self.summary, self._announced_at = found, time.monotonic()

    async def _count(self) -> None:
        """Add what was observed since the last time. What Redis did not get is added the next time."""
        now = tallies(self._parts.metrics, self._parts.upstreams.calls)
        if more := grown(self._counted, now):
            await self._reports.count(more)
        self._counted = now

    async def close(self) -> None:
        """Say goodbye: a process that stopped is not frozen."""
        with suppress(Unready):
            await self._reports.remove(self._reporter.process)

    async def _lead(self) -> None:
        fault = ""
        try:
            found = await self._parts.broker.depths()
        except Unready as away:
            fault = str(away)
        else:
            await self._reports.add_sample(found.units, found.notifications, found.dead, found.ladder)
        view = await self._parts.store.fleet_view(broker_fault=fault)
        await self._reports.announce(summary(verdict(view)), FRESH_SECONDS)

    def _show(self) -> None:
        """Set the metrics of the fleet. A summary that is older than a few periods counts as none."""
        known = self.summary if time.monotonic() - self._announced_at <= FRESH_SECONDS else {}
        show(self._parts.metrics, known)


def sample_of(report: ProcessReport) -> str:
    """One sample of the ring: slots in use, busy slots, deliveries in hand, arrivals, deliveries, CPU, lag."""
    seconds = report.window or PERIOD
    delivered = sum(it for name, it in report.outcomes.items() if name.startswith("notification delivered"))
    figures = (report.arrived / seconds, delivered / seconds, report.loop.cpu / seconds, report.loop.lost / seconds)
    numbers = (report.slots_used, round(report.busy, 1), report.unsettled, *(round(it, 3) for it in figures))
    return " ".join(map(str, numbers))


def show(metrics: Metrics, known: Mapping[str, Any]) -> None:
    """Set the gauges of the fleet. An unknown figure is not a number; an ETA that never comes is infinite."""
    queues = known.get("queues", {})
    for queue in QUEUES:
        metrics.backlog.labels(queue).set(_number(queues.get(queue)))
    metrics.oldest_age.set(_number((known.get("oldest_age_s") or 0.0) if known else None))
    metrics.eta.set(math.inf if known.get("never") else _number(known.get("eta_s")))
    metrics.processes.set(_number(known.get("processes")))
    metrics.reports_stale.set(float(not known.get("fresh", False)))
    metrics.arrivals.set(_number(known.get("arrivals_per_min")))
    metrics.deliveries.set(_number(known.get("deliveries_per_min")))
    metrics.scale_hint.set(_number(known.get("scale_hint")))
    limit = known.get("limit", "unknown")
    for name in get_args(Limit):
        metrics.limit.labels(name).set(float(name == limit))


def _number(known: Any) -> float:
    return math.nan if known is None else float(known)
