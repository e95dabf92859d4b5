"""The rows of the dashboard: what each panel shows, in which unit, and by which queries."""

from notification_sender.telemetry.declared import PREFIX
from tools.observability.alerts import BURN
from tools.observability.panel import RATE, Panel, quantile, rate

FLOW = [
    Panel(
        "What limits the fleet",
        "As notification-sender why says. Unknown: reports are missing.",
        "none",
        [(f"max by (limit) ({PREFIX}limit) == 1", "{{limit}}")],
        kind="states",
        width=12,
    ),
    Panel("Ready", "Worker processes that are ready.", "none", [(f"sum({PREFIX}ready)", "")], "number", 3),
    Panel(
        "Oldest unit",
        "Age of the oldest unit that waits.",
        "s",
        [(f"max({PREFIX}fleet_oldest_age_seconds)", "")],
        "number",
        3,
        "oldest_age",
    ),
    Panel(
        "Until delivered",
        "Time until the backlog is delivered. Infinity: never at this rate.",
        "s",
        [(f"max({PREFIX}fleet_eta_seconds)", "")],
        "number",
        3,
    ),
    Panel(
        "Wanted processes",
        "Slots that are wanted, divided by the slots of a process.",
        "none",
        [(f"max({PREFIX}scale_hint)", "")],
        "number",
        3,
    ),
    Panel(
        "In and out",
        "Work units that arrive and notifications that are delivered in a minute.",
        "none",
        [
            (f"max({PREFIX}fleet_arrivals_per_minute)", "arrivals"),
            (f"max({PREFIX}fleet_deliveries_per_minute)", "deliveries"),
        ],
    ),
    Panel(
        "Backlog",
        "Messages by queue. Waiting: on the delay ladder until they are due.",
        "short",
        [(f"max by (queue) ({PREFIX}fleet_backlog)", "{{queue}}")],
    ),
    Panel(
        "Age and time until delivered",
        "The line is the limit of the alert for the age.",
        "s",
        [
            (f"max({PREFIX}fleet_oldest_age_seconds)", "oldest unit"),
            (f"max({PREFIX}fleet_eta_seconds) < Inf", "until delivered"),
        ],
        threshold="oldest_age",
    ),
]


STEPS = [
    Panel(
        "Slots by step",
        "Busy slots: slot-seconds a second. The widest band is where the time goes.",
        "none",
        [(rate("slot_seconds_total", "step"), "{{step}}")],
        kind="stacked",
        width=12,
    ),
    Panel(
        "Step, slowest 5 of 100",
        "95th percentile of each step of a delivery.",
        "s",
        [(quantile(0.95, "stage_seconds", "stage"), "{{stage}}")],
        width=12,
    ),
    Panel(
        "Burn rate",
        "How many times as fast as it may a step uses up what may be slow in 30 days, in the last hour.",
        "none",
        [(f"{BURN}:1h", "{{step}}")],
        width=12,
        threshold=14.4,
    ),
    Panel(
        "End to end",
        "From the first sight of a notification to its end.",
        "s",
        [
            (
                f"histogram_quantile({it}, " + rate("stage_seconds_bucket", "le", labels='{stage="end_to_end"}') + ")",
                f"{it:.0%} within",
            )
            for it in (0.5, 0.95, 0.99)
        ],
        width=12,
    ),
]


UPSTREAMS = [
    Panel(
        "Calls",
        "Calls a second, by API and result.",
        "reqps",
        [(rate("api_call_seconds_count", "api", "result"), "{{api}} {{result}}")],
    ),
    Panel(
        "Call, slowest 1 of 100",
        "99th percentile by API.",
        "s",
        [(quantile(0.99, "api_call_seconds", "api"), "{{api}}")],
    ),
    Panel(
        "Phase, slowest 5 of 100",
        "Waiting for a permit, connecting, first byte, body.",
        "s",
        [(quantile(0.95, "api_phase_seconds", "api", "phase"), "{{api}} {{phase}}")],
    ),
    Panel(
        "Their own time, slowest 5 of 100",
        "What the APIs report of themselves (Server-Timing).",
        "s",
        [(quantile(0.95, "api_server_seconds", "api", "name"), "{{api}} {{name}}")],
        width=12,
    ),
    Panel(
        "Not well",
        "Processes for which an API is slow or out.",
        "none",
        [(f'sum by (api, state) ({PREFIX}api_state{{state!="well"}})', "{{api}} {{state}}")],
        width=12,
    ),
]


ENDS = '{what="notification"}'

DELIVERY = [
    Panel(
        "Outcomes",
        "Notifications a second.",
        "ops",
        [(rate("outcomes_total", "outcome", labels=ENDS), "{{outcome}}")],
        "stacked",
    ),
    Panel(
        "Not delivered, by reason",
        "Notifications and work units a second.",
        "ops",
        [
            (
                rate("outcomes_total", "outcome", "reason", labels='{outcome=~"dead|failed|deferred|suppressed"}'),
                "{{outcome}} {{reason}}",
            )
        ],
    ),
    Panel(
        "Busiest organizations",
        "Delivered notifications a second.",
        "ops",
        [
            (
                rate("organization_outcomes_total", "organization", labels='{outcome="delivered"}'),
                "{{organization}}",
            )
        ],
        "stacked",
    ),
    Panel(
        "Admission",
        "Decisions of the ledger a second.",
        "ops",
        [(rate("admissions_total", "answer"), "{{answer}}")],
    ),
    Panel(
        "Hosts and templates",
        "Recipient hosts whose circuit is open, and templates that fail in a row.",
        "none",
        [(f"max({PREFIX}hosts_out)", "hosts out"), (f"max({PREFIX}templates_failing)", "templates failing")],
    ),
    Panel(
        "Should stay at zero",
        "Acceptances that were not recorded, events that were dropped, unexpected errors, records of others.",
        "ops",
        [
            (rate(f"{it}_total"), it.replace("_", " "))
            for it in ("unrecorded_acceptances", "events_dropped", "unexpected_errors", "foreign_records")
        ]
        + [(f"max({PREFIX}audit_missing)", "audit missing")],
    ),
]


CACHE = [
    Panel(
        "Facts, by where they were found",
        "Facts a second that the local cache did not have.",
        "ops",
        [(rate("facts_total", "how"), "{{how}}")],
        "stacked",
    ),
    Panel(
        "Waited for another's fetch",
        "Part of the facts that another process was fetching already (single flight).",
        "percentunit",
        [
            (
                rate("facts_total", "fact", labels='{how="waited"}') + " / " + rate("facts_total", "fact"),
                "{{fact}}",
            )
        ],
    ),
    Panel(
        "Calls for a fact",
        "Calls of internal APIs divided by the facts that the local caches did not have.",
        "none",
        [(rate("api_call_seconds_count") + " / " + rate("facts_total"), "calls")],
    ),
]


OWN = f"* on (instance, process) group_left () ({PREFIX}tasks * 0 + 1)"

RUNTIME = [
    Panel(
        "Event loop, latest 1 of 100",
        "How late it wakes up. The line is the limit of the alert.",
        "s",
        [(quantile(0.99, "loop_lag_seconds", "instance", "process"), "{{instance}} {{process}}")],
        threshold="loop_lag",
    ),
    Panel(
        "Stalls",
        "Blocks of the event loop of 250 ms or more, a second.",
        "ops",
        [(rate("loop_stalls_total", "cause"), "{{cause}}")],
    ),
    Panel(
        "CPU",
        "Processors in use by each process.",
        "none",
        [(f"rate(process_cpu_seconds_total{RATE}) {OWN}", "{{instance}} {{process}}")],
    ),
    Panel(
        "Memory",
        "Resident memory of each process.",
        "bytes",
        [(f"process_resident_memory_bytes {OWN}", "{{instance}} {{process}}")],
    ),
    Panel(
        "Redis",
        "Memory in use, and its limit.",
        "bytes",
        [(f"max({PREFIX}redis_used_bytes)", "used"), (f"max({PREFIX}redis_max_bytes)", "limit")],
    ),
    Panel(
        "Clocks and restarts",
        "How far a clock is off, and starts of worker processes in the last hour.",
        "none",
        [
            (f"max(abs({PREFIX}clock_offset_seconds))", "clock off, s"),
            (f"sum(increase({PREFIX}process_starts_total[1h]))", "starts in an hour"),
        ],
    ),
]

ROWS = {
    "Flow": FLOW,
    "Steps": STEPS,
    "Upstreams": UPSTREAMS,
    "Delivery": DELIVERY,
    "Cache": CACHE,
    "Runtime": RUNTIME,
}
"""By title, from top to bottom."""
