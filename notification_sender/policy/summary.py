"""A verdict as one mapping, for ``/status``, ``status --json`` and the metrics of the fleet."""

from typing import Any

from notification_sender.policy.verdict import Verdict


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
