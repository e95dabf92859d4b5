"""Fleets by hand: a healthy one, and what a fault changes in its reports."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from notification_sender.model.override import Kind, Override
from notification_sender.model.process_report import ApiUse, LoopUse, ProcessReport, WaitCause
from notification_sender.policy.fleet_view import FleetView, Received, Sample

NOW = 1_772_785_560.0
API_NAMES = ("aaa", "assets", "geocoding", "incidents", "intel_requests")

Change = Callable[[ProcessReport], ProcessReport]


def api(**fields: Any) -> ApiUse:
    """An API that is well: 100 calls of 60 ms each."""
    return ApiUse(**{"limit": 50, "calls": 100, "phases": {"wait": 0.1, "connect": 0.1, "first_byte": 5.0}} | fields)


def report(number: int = 1, **fields: Any) -> ProcessReport:
    """A process that delivers 300 notifications in its window."""
    healthy: dict[str, Any] = {
        "process": f"pod-{number}:7",
        "host": f"pod-{number}",
        "version": "1.0",
        "configuration": "c0ffee00",
        "started": NOW - 3600,
        "window": 40.0,
        "slots": 200,
        "slots_allowed": 200,
        "slots_used": 4,
        "slot_seconds": {"context.organization": 60.0, "send.webhook": 40.0},
        "unsettled": 4,
        "arrived": 300,
        "outcomes": {"unit done ": 300, "notification delivered ": 300},
        "apis": {name: api() for name in API_NAMES},
        "loop": LoopUse(cpu=6.0, ran=6.0, waited=0.5, turns=9000),
        "redis_ms": 0.4,
    }
    return ProcessReport(**healthy | fields)


def view(*reports: ProcessReport, units: Sequence[int] = (0,) * 13, retries: int = 0, **fields: Any) -> FleetView:
    """Reports of three seconds ago. ``units``: the depth of the units queue, each 5 s until now.

    ``retries``: messages that are due within eight seconds.
    """
    received = [Received(it.process, NOW - 3.0, it) for it in reports]
    samples = [
        Sample(NOW - 5.0 * back, depth, 0, 0, (0, 0, retries))
        for back, depth in zip(range(len(units))[::-1], units, strict=True)
    ]
    return FleetView(**{"now": NOW, "received": received, "samples": samples} | fields)


def fleet(change: Change = lambda it: it, **fields: Any) -> FleetView:
    """Two processes, both changed alike."""
    return view(*(change(report(number)) for number in (1, 2)), **fields)


def with_api(name: str, use: ApiUse, *held: WaitCause) -> Change:
    """One API is another one."""
    return lambda it: replace(it, apis={**it.apis, name: use}, held=held)


def holding(*held: WaitCause, **fields: Any) -> Change:
    """Deliveries wait."""
    return lambda it: replace(it, held=held, **fields)


def dying(**reasons: int) -> Change:
    """Messages become dead letters."""
    dead = {f"unit dead {reason}": number for reason, number in reasons.items()}
    return lambda it: replace(it, outcomes={**it.outcomes, **dead})


def override(kind: Kind, subject: str, value: str = "") -> Override:
    """One that an operator set a minute ago, for ten more."""
    return Override(kind, subject, NOW - 60, NOW + 600, "anna@bastion-1", value, "INC-4711")
