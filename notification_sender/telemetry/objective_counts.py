"""Counts what of each critical step is within its objective, from the metrics of this process."""

from notification_sender.policy.objectives import Objective, Tally, objectives
from notification_sender.telemetry.calls import Calls
from notification_sender.telemetry.metrics import Metrics

API = "api."
"""Begins the objective of an API."""


def tallies(metrics: Metrics, calls: Calls) -> dict[str, Tally]:
    """By step, since the start of the process."""
    return {it.step: _tally(it, metrics, calls) for it in objectives()}


def _tally(it: Objective, metrics: Metrics, calls: Calls) -> Tally:
    if not it.step.startswith(API):
        return Tally(*metrics.stages.within(it.step, it.within))
    total = calls.totals.get(it.step.removeprefix(API), {})
    return Tally(round(total.get("calls", 0)), round(total.get("within", 0)))
