"""The alerts: what each asks of Prometheus, and for how long it must hold."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from notification_sender.telemetry.declared import PREFIX
from tools.observability.objectives import Objectives

RUNBOOK = "docs/how-to/runbook.md"

BURN = f"{PREFIX}step_burn"
OBSERVED = f"{PREFIX}step_observed"


@dataclass(frozen=True, slots=True)
class Alert:
    """``title`` is the heading in the runbook. ``page``: somebody is called; ``ticket``: it is
    looked at by day.
    """

    name: str
    title: str
    severity: Literal["page", "ticket"]
    expr: str
    lasts: str
    summary: str

    @property
    def anchor(self) -> str:
        """Of its section in the runbook."""
        return self.title.lower().replace(" ", "-")


def alerts(objectives: Objectives) -> list[Alert]:
    """At most 15: who gets more reads none."""
    return [*_of_objectives(objectives.least_observations), *_of_the_flow(objectives), *_of_faults(objectives)]


def _burning(least: int, long: str, short: str, factor: float) -> str:
    return f"({BURN}:{long} > {factor:g} and {BURN}:{short} > {factor:g} and {OBSERVED}:{long} > {least})"


def _of_objectives(least: int) -> Iterator[Alert]:
    yield Alert(
        "NotificationSenderObjectiveMissedFast",
        "An objective is missed fast",
        "page",
        f"{_burning(least, '1h', '5m', 14.4)}\nor\n{_burning(least, '6h', '30m', 6)}",
        "0s",
        "{{ $labels.step }} uses up what may be slow in 30 days {{ $value | humanize }} times as fast as it may.",
    )
    yield Alert(
        "NotificationSenderObjectiveMissedSlowly",
        "An objective is missed slowly",
        "ticket",
        _burning(least, "3d", "6h", 1),
        "0s",
        "{{ $labels.step }} uses up what may be slow in 30 days {{ $value | humanize }} times as fast as it may.",
    )


def _of_the_flow(objectives: Objectives) -> Iterator[Alert]:
    limits = objectives.limits
    ready = f'sum(max by (queue) ({PREFIX}fleet_backlog{{queue=~"units|notifications"}}))'
    yield Alert(
        "NotificationSenderOldestTooOld",
        "The oldest unit is too old",
        "page",
        f"max({PREFIX}fleet_oldest_age_seconds) > {limits['oldest_age']:g}",
        "15s",
        "The oldest work unit has waited for {{ $value | humanizeDuration }}.",
    )
    yield Alert(
        "NotificationSenderBacklogTooLong",
        "The backlog takes too long",
        "ticket",
        f"max({PREFIX}fleet_eta_seconds) > {limits['eta']:g}\nand\n{ready} > {limits['least_backlog']:g}",
        "15s",
        "The backlog is delivered in {{ $value | humanizeDuration }} at this rate (+Inf: never).",
    )
    yield Alert(
        "NotificationSenderNothingDelivered",
        "Nothing is delivered",
        "page",
        f"{ready} > 0\n"
        f'unless sum(rate({PREFIX}outcomes_total{{what="notification",outcome="delivered"}}[5m])) > 0\n'
        f'unless max({PREFIX}limit{{limit="paused"}}) == 1',
        "5m",
        "{{ $value }} messages wait, and no notification was delivered for 5 minutes.",
    )
    yield from _of_limits()


def _of_limits() -> Iterator[Alert]:
    yield Alert(
        "NotificationSenderCircuitOpen",
        "A circuit is open",
        "page",
        f'max by (api) ({PREFIX}api_state{{state="out"}}) == 1',
        "5m",
        "No call is made to the API {{ $labels.api }}: its circuit is open.",
    )
    yield Alert(
        "NotificationSenderThrottled",
        "A throttle limits the fleet",
        "ticket",
        f'max({PREFIX}limit{{limit="throttle"}}) == 1',
        "10m",
        "The throttle of an organization has limited the fleet for 10 minutes.",
    )


def _of_faults(objectives: Objectives) -> Iterator[Alert]:
    limits = objectives.limits
    dead = f'{PREFIX}outcomes_total{{outcome="dead"}}'
    yield Alert(
        "NotificationSenderDeadLettersGrow",
        "Dead letters grow",
        "ticket",
        f"sum(increase({dead}[15m])) > {limits['dead_letters']:g}",
        "0s",
        "{{ $value | humanize }} work units and notifications became dead letters in 15 minutes.",
    )
    yield Alert(
        "NotificationSenderOwnFault",
        "Our own fault stops deliveries",
        "page",
        "sum by (reason) (\n"
        + _grew(f'{PREFIX}outcomes_total{{outcome="dead",reason="render"}}')
        + "\nor\n"
        + _grew(f'{PREFIX}outcomes_total{{outcome="deferred",reason="sender_rejected"}}')
        + "\n)",
        "0s",
        "{{ $labels.reason }}: a template cannot be rendered, or the mail server refuses us.",
    )
    yield from _of_the_records()
    yield from _of_the_ground(objectives)


def _of_the_records() -> Iterator[Alert]:
    yield Alert(
        "NotificationSenderAuditImbalance",
        "An audit does not balance",
        "page",
        f"max({PREFIX}audit_missing) > 0",
        "0s",
        "{{ $value }} work units of announced batches were never seen.",
    )
    yield Alert(
        "NotificationSenderTenantMismatch",
        "A record belongs to another organization",
        "page",
        "sum(\n"
        + _grew(f'{PREFIX}outcomes_total{{reason="tenant_mismatch"}}')
        + "\nor\n"
        + _grew(f"{PREFIX}foreign_records_total")
        + "\n) > 0",
        "0s",
        "An internal API returned {{ $value | humanize }} records of another organization.",
    )


def _of_the_ground(objectives: Objectives) -> Iterator[Alert]:
    limits = objectives.limits
    yield Alert(
        "NotificationSenderLoopLag",
        "An event loop is late",
        "ticket",
        f"histogram_quantile(0.99, sum by (instance, process, le) (rate({PREFIX}loop_lag_seconds_bucket[5m])))"
        f" > {limits['loop_lag']:g}",
        "5m",
        "The event loop of {{ $labels.instance }} {{ $labels.process }} wakes up {{ $value | humanizeDuration }} late.",
    )
    yield Alert(
        "NotificationSenderTooFewReady",
        "Too few processes are ready",
        "page",
        f"(sum({PREFIX}ready) or vector(0)) < {limits['least_processes']:g}",
        "2m",
        "{{ $value }} worker processes are ready.",
    )
    yield Alert(
        "NotificationSenderRedisFull",
        "Redis is full",
        "page",
        f"max({PREFIX}redis_used_bytes / ({PREFIX}redis_max_bytes > 0)) * 100 > {limits['redis_memory']:g}\n"
        f"or\nmax(delta({PREFIX}redis_evicted_keys[10m])) > 0",
        "0s",
        "Redis is nearly full, or evicts keys: {{ $value | humanize }} % in use, or keys in 10 minutes.",
    )
    yield Alert(
        "NotificationSenderReportsStale",
        "Reports are stale",
        "ticket",
        f"max({PREFIX}fleet_reports_stale) == 1",
        "2m",
        "Reports of worker processes are missing: what the fleet says of itself is incomplete.",
    )


def _grew(selector: str) -> str:
    """More than 15 minutes ago. A series that is new began at zero, which ``increase`` does not know."""
    return f"(increase({selector}[15m]) > 0 or ({selector} unless {selector} offset 15m) > 0)"
