"""A verdict as one mapping, for ``/status``, ``status --json`` and the metrics of the fleet."""

from typing import Any

from notification_sender.policy.fleet_view import Fleet, FleetView, Received, standing
from notification_sender.policy.verdict import Verdict

State = dict[str, Any]


def summary(judged: Verdict) -> dict[str, Any]:
    """The object of ``why --json``, the queues, and the figures for a scaler."""
    flow = judged.flow
    return judged.as_json() | {
        "processes": judged.processes,
        "expected": judged.expected,
        "queues": {
            "units": flow.units,
            "notifications": flow.notifications,
            "dead": flow.dead,
            "waiting": None if flow.units is None else sum(flow.ladder),
        },
        "never": flow.never,
        "scale_hint": judged.scale_hint,
    }


def state_of(view: FleetView) -> State:
    """State of the fleet: out, failing, missing. None: unknown, as no process reports, or RabbitMQ does not answer."""
    fleet = Fleet.of(view)
    known = not view.no_reports
    missing = [it.partition(": ") for it in _named(fleet, "waiting_for_files")]
    return {
        "dead_letters": view.depths[-1].dead if view.depths else None,
        "slots": {"busy": round(fleet.busy, 1), "allowed": fleet.slots} if known else None,
        "apis": {name: use.state for name, use in fleet.apis.items()} if known else None,
        "hosts_out": list(fleet.hosts_out) if known else None,
        "templates_failing": _named(fleet, "templates_failing") if known else None,
        "files_missing": [{"destination": it, "cause": cause} for it, _, cause in missing] if known else None,
    }


def _named(fleet: Fleet, field: str) -> list[str]:
    return sorted({it for report in fleet.reports for it in getattr(report, field)})


def processes_of(view: FleetView) -> list[dict[str, Any]]:
    """The processes, each with its state and its figures, by name."""
    return [_process(view, it) for it in view.received]


def _process(view: FleetView, it: Received) -> dict[str, Any]:
    state = {"silent": "frozen"}.get(word := standing(view, it), word)
    facts: dict[str, Any] = {"process": it.process, "state": state, "reported_s": round(view.now - it.at, 1)}
    report = it.report
    names = ("version", "configuration", "host", "number", "pid", "slots", "slots_allowed", "slots_used", "rss")
    facts |= {name: getattr(report, name, None) for name in (*names, "clock_offset", "unsettled", "ready")}
    if report is None:
        return facts | {"up_s": None, "cpu": None, "late": None, "last_delivery_s": None}
    seconds = report.window or 1.0
    return facts | {
        "up_s": round(view.now - report.started, 1),
        "cpu": round(report.loop.cpu / seconds, 3),
        "late": round(report.loop.lost / seconds, 3),
        "last_delivery_s": round(view.now - report.last_delivery, 1) if report.last_delivery else None,
    }
