"""The table of every metric: its name, kind, unit, labels and meaning.

``Metrics`` builds the series of a worker from it, and the page docs/reference/metrics.md, the alerts and the dashboard
name nothing else. No label has values for work units, notifications or addresses.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

PREFIX = "notification_sender_"

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 30, 60)
"""Upper bounds of buckets, s. Every objective (deploy/observability/objectives.yaml) is one of them."""

STEP_SECONDS = (*SECONDS, 120, 300, 900, 3600, 14_400, 86_400)
"""The same for steps: a wait for the next attempt takes hours."""


@dataclass(frozen=True, slots=True)
class Declared:
    """One metric. ``name`` is without ``PREFIX``; ``labels`` have their meanings."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    text: str
    labels: Mapping[str, str] = field(default_factory=dict)
    unit: str = "1"
    """``s``, ``bytes``, or ``1``: a number."""
    bounds: tuple[float, ...] = SECONDS
    """Of the buckets of a histogram, without infinity."""
    exported_by: Literal["worker", "parent"] = "worker"

    @property
    def whole(self) -> str:
        """The name as Prometheus reads it."""
        return PREFIX + self.name


_API = "internal API, such as `assets`"
_LANE = "`units` or `notifications`"
_OUTCOME = "`delivered`, `suppressed`, `deferred`, `failed`, `dead`; of a unit also `done`"
_SLOT_STEP = "step that a slot is in, as `stage` of `notification_sender_stage_seconds`"
_HOW = (
    "`fetched`: from the API; `shelf`: in the shared cache; `revalidating`: there, and fetched again beside; "
    "`waited`: another process fetched it; `stale`: past its time to live"
)

_WORK = (
    Declared(
        "outcomes_total",
        "counter",
        "Outcomes of work units and notifications, by reason",
        {"what": "`unit` or `notification`", "outcome": _OUTCOME, "reason": "as `reason` in the log"},
    ),
    Declared(
        "organization_outcomes_total",
        "counter",
        "Outcomes of notifications of the busiest organizations",
        {
            "organization": "id of one of the `NS_METRICS_TOP_ORGANIZATIONS` busiest; `(other)`: all others together",
            "outcome": _OUTCOME,
        },
    ),
    Declared(
        "stage_seconds",
        "histogram",
        "Seconds of wall time for each step of a delivery",
        {"stage": "step, such as `claim`, `context.assets` or `send.webhook`"},
        unit="s",
        bounds=STEP_SECONDS,
    ),
    Declared("slot_seconds_total", "counter", "Seconds for which slots were in a step", {"step": _SLOT_STEP}, unit="s"),
    Declared("slots", "gauge", "Slots that are in a step now", {"step": _SLOT_STEP}),
    Declared("in_hand", "gauge", "Deliveries that hold a slot, as in_hand of /status", {"lane": _LANE}),
    Declared(
        "admissions_total",
        "counter",
        "Admission decisions of the ledger, by result",
        {"answer": "`claimed`, `throttled` and the other answers"},
    ),
    Declared(
        "relevance_unknown_total",
        "counter",
        "Notifications that were sent without knowing whether they are still relevant",
        {"kind": "recipe"},
    ),
    Declared("unrecorded_acceptances_total", "counter", "Acceptances by recipients that the ledger did not record"),
    Declared("events_dropped_total", "counter", "Events that were not published, or whose publication is unknown"),
    Declared("unexpected_errors_total", "counter", "Unexpected errors, by lane", {"stage": _LANE}),
    Declared(
        "audit_missing",
        "gauge",
        "Work units of announced batches that no worker has seen 10 minutes after the last one that was seen",
    ),
    Declared("hosts_out", "gauge", "Recipient hosts whose circuit is open: nothing is sent to them"),
    Declared("templates_failing", "gauge", "Templates that failed too often in a row; their notifications wait"),
)

_CONTEXT = (
    Declared(
        "api_call_seconds",
        "histogram",
        "Seconds for each call of an internal API, by result",
        {
            "api": _API,
            "endpoint": "method and path with `{}` for each id",
            "result": "HTTP status, or what failed",
        },
        unit="s",
    ),
    Declared(
        "api_phase_seconds",
        "histogram",
        "Seconds for each phase of an API call",
        {"api": _API, "phase": "`wait` (for a permit), `connect`, `first_byte` or `body`"},
        unit="s",
    ),
    Declared(
        "api_server_seconds",
        "histogram",
        "Seconds that an API reports for its own work (Server-Timing)",
        {"api": _API, "name": "of the API's own; at most 8, further ones are `other`"},
        unit="s",
    ),
    Declared(
        "api_state",
        "gauge",
        "State of an internal API (well, slow, out): 1 for the current state, 0 for the others",
        {"api": _API, "state": "`well`, `slow` or `out`"},
    ),
    Declared(
        "facts_total",
        "counter",
        "Facts that the local cache did not have, by the way they were found",
        {"how": _HOW, "fact": "source of the recipe"},
    ),
    Declared(
        "foreign_records_total",
        "counter",
        "Records that were dropped because they belong to another organization",
        {"source": "source of the recipe"},
    ),
)

_PROCESS = (
    Declared("build_info", "gauge", "Always 1", {"version": "of notification-sender"}),
    Declared("ready", "gauge", "Whether /readyz of this process says 200: 1 or 0"),
    Declared("tasks", "gauge", "Tasks of the event loop; a rise without a rise of in_hand is a leak"),
    Declared("loop_lag_seconds", "histogram", "Seconds by which the event loop woke up late", unit="s"),
    Declared(
        "loop_stalls_total",
        "counter",
        "Times that the event loop was blocked for 250 ms or more, by cause",
        {"cause": "`work`: it computed; `blocked`: it waited in a call; `machine`: others had the processor"},
    ),
    Declared(
        "clock_offset_seconds",
        "gauge",
        "Seconds by which the clock of Redis is ahead of this machine's; 0 within the tolerance",
        unit="s",
    ),
    Declared("redis_used_bytes", "gauge", "Bytes of memory that Redis uses", unit="bytes"),
    Declared("redis_max_bytes", "gauge", "Bytes of memory that Redis may use (maxmemory); 0: no limit", unit="bytes"),
    Declared("redis_evicted_keys", "gauge", "Keys that Redis has evicted for want of memory since its start"),
)

_FLEET = (
    Declared(
        "fleet_backlog",
        "gauge",
        "Messages that wait, of the whole fleet",
        {"queue": "`units`, `notifications`, `dead`, or `waiting`: those in the delay ladder"},
    ),
    Declared("fleet_oldest_age_seconds", "gauge", "Age of the oldest unit that waits", unit="s"),
    Declared(
        "fleet_eta_seconds", "gauge", "Seconds until the backlog is delivered; +Inf: never at this rate", unit="s"
    ),
    Declared("fleet_processes", "gauge", "Worker processes whose report is fresh"),
    Declared("fleet_reports_stale", "gauge", "Whether reports of processes are missing or old: 1 or 0"),
    Declared("fleet_arrivals_per_minute", "gauge", "Work units that arrive in a minute"),
    Declared("fleet_deliveries_per_minute", "gauge", "Notifications that are delivered in a minute"),
    Declared("scale_hint", "gauge", "Slots that are wanted, divided by the slots of a process"),
    Declared(
        "limit",
        "gauge",
        "What limits the fleet, as notification-sender why says: 1 for the current limit, 0 for the others",
        {"limit": "such as `throttle`, `api` or `slots`; `unknown` while reports are stale"},
    ),
)

_PARENT = (
    Declared(
        "process_starts_total",
        "counter",
        "Starts of this worker process",
        {"process": "number of the worker"},
        exported_by="parent",
    ),
    Declared(
        "process_kills_total",
        "counter",
        "Times that it was stuck",
        {"process": "number of the worker"},
        exported_by="parent",
    ),
    Declared(
        "process_up",
        "gauge",
        "Whether it answers: 1 or 0",
        {"process": "number of the worker"},
        exported_by="parent",
    ),
)

GROUPS: Mapping[str, tuple[Declared, ...]] = {
    "Work units and notifications": _WORK,
    "Context": _CONTEXT,
    "Process": _PROCESS,
    "Fleet": _FLEET,
    "Parent of several workers": _PARENT,
}

DECLARED: Mapping[str, Declared] = {it.name: it for group in GROUPS.values() for it in group}
"""By name."""
