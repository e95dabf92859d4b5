"""deploy/observability/rules.yaml: recording rules, and the alerts.

A burn rate is how many times as fast as it may a step uses up its budget: the part of 30 days that may be slow.
"""

from collections.abc import Iterator
from typing import Any

from notification_sender.telemetry.declared import PREFIX
from tools.observability.alerts import BURN, OBSERVED, RUNBOOK, alerts
from tools.observability.objectives import Objective, Objectives
from tools.observability.written_yaml import written

WINDOWS = ("5m", "30m", "1h", "6h", "3d")
"""Of burn rates."""

RECORDED_SECONDS = 60
"""Time between two evaluations of the recording rules."""

HEAD = """\
# Rules for Prometheus. Written by `make docs` from objectives.yaml: change that file.
"""


def page(objectives: Objectives) -> str:
    """The whole file."""
    groups = [
        {
            "name": "notification-sender-objectives",
            "interval": f"{RECORDED_SECONDS}s",
            "rules": list(_recorded(objectives)),
        },
        {"name": "notification-sender-alerts", "interval": "15s", "rules": list(_alerting(objectives))},
    ]
    return HEAD + written({"groups": groups})


def _recorded(objectives: Objectives) -> Iterator[dict[str, Any]]:
    for it in objectives.steps:
        yield _record("step_all:rate5m", f"sum(rate({it.all}[5m]))", it)
        slow = f"sum(rate({it.all}[5m]))\n- (sum(rate({it.good}[5m])) or vector(0))"
        yield _record("step_slow:rate5m", slow, it)
        yield _record("step_budget", f"vector({it.budget:g})", it)
    for window in WINDOWS:
        every, slow = (f"sum_over_time({PREFIX}step_{it}:rate5m[{window}])" for it in ("all", "slow"))
        yield {"record": f"{BURN}:{window}", "expr": f"{slow} / ({every} > 0) / {PREFIX}step_budget"}
        yield {"record": f"{OBSERVED}:{window}", "expr": f"{every} * {RECORDED_SECONDS}"}


def _record(name: str, expr: str, it: Objective) -> dict[str, Any]:
    return {"record": f"{PREFIX}{name}", "expr": expr, "labels": {"step": it.step}}


def _alerting(objectives: Objectives) -> Iterator[dict[str, Any]]:
    for it in alerts(objectives):
        yield {
            "alert": it.name,
            "expr": it.expr,
            "for": it.lasts,
            "labels": {"severity": it.severity},
            "annotations": {
                "summary": it.summary,
                "first_command": "notification-sender why",
                "runbook": f"{RUNBOOK}#{it.anchor}",
            },
        }
