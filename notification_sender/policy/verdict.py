"""What limits a fleet now: one limit, one sentence with its figures, and whether more pods will help.

Reports that are missing or old force ``unknown`` (or ``frozen``, where one process is silent) and remove every advice:
a wrong advice costs more than none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from notification_sender.policy import candidates, waits
from notification_sender.policy.candidates import Candidate, Limit, Order
from notification_sender.policy.fleet_view import FRESH_SECONDS, Fleet, FleetView, Received, standing
from notification_sender.policy.flow import Flow, flow, scale_hint

NEXT = 3
"""Candidates after the first that are shown."""

MANY = 50
TEN_SECONDS = 10.0
"""So many messages, or so many seconds of deliveries, are a backlog that something must explain."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The view model of ``why``, ``/status`` and the metrics. ``as_json`` is its public form."""

    limit: Limit
    subject: str | None = None
    phase: str | None = None
    sentence: str
    advice: tuple[str, ...] = ()
    more_pods_help: bool | None = None
    why_pods: str = ""
    fresh: bool
    candidates: tuple[Candidate, ...] = ()
    flow: Flow = field(default_factory=Flow)
    processes: int = 0
    """Whose report is fresh."""
    expected: int = 0
    """That have reported and not stopped."""
    slot_seconds: tuple[tuple[str, float], ...] = ()
    """By step, most first."""
    scale_hint: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The object that ``why --json`` prints."""
        return {
            "limit": self.limit,
            "subject": self.subject,
            "phase": self.phase,
            "sentence": self.sentence,
            "advice": list(self.advice),
            "more_pods_help": self.more_pods_help,
            "fresh": self.fresh,
            "candidates": [
                {
                    "limit": it.limit,
                    "subject": it.subject,
                    "used": it.used,
                    "allowed": it.allowed,
                    "waiting": round(it.waiting, 1),
                }
                for it in self.candidates
            ],
            "backlog": self.flow.backlog,
            "oldest_age_s": self.flow.oldest_age_s,
            "arrivals_per_min": self.flow.arrivals_per_min,
            "deliveries_per_min": self.flow.deliveries_per_min,
            "eta_s": self.flow.eta_s,
        }


def verdict(view: FleetView) -> Verdict:
    """The verdict on a fleet, from nothing but the view."""
    known = [it for it in view.received if standing(view, it) != "gone"]
    fresh = [it for it in known if standing(view, it) == "fresh"]
    fleet = Fleet.of(view)
    whole = bool(known) and len(fresh) == len(known)
    if view.redis_fault:
        said = f"Redis is away: {view.redis_fault}. Nothing is sent meanwhile"
        return _bare(view, fleet, "redis", said, whole=False)
    if view.broker_fault:
        said = f"RabbitMQ is away or has an alarm: {view.broker_fault}. Nothing new is done meanwhile"
        return _bare(view, fleet, "broker", said, whole=whole)
    if not whole:
        return _stale(view, fleet, known, fresh)
    return _judged(view, fleet, len(known))


def _stale(view: FleetView, fleet: Fleet, known: Sequence[Received], fresh: Sequence[Received]) -> Verdict:
    silent = [it for it in known if standing(view, it) == "silent"]
    if not known:
        return _bare(view, fleet, "unknown", "Unknown: no process has sent a report", whole=False)
    if fresh and silent and len(fresh) + len(silent) == len(known):
        first = min(silent, key=lambda it: it.at)
        others = f" (and {len(silent) - 1} more)" if len(silent) > 1 else ""
        seconds = f"{view.now - first.at:.0f} s"
        said = f"{first.process}{others} has sent no report for {seconds} and did not stop: it is frozen or was killed"
        return _bare(view, fleet, "frozen", said, whole=False, subject=first.process)
    said = f"Unknown: {len(fresh)} of {len(known)} processes have sent a report in the last {FRESH_SECONDS:.0f} s"
    return _bare(view, fleet, "unknown", said, whole=False)


def _bare(
    view: FleetView, fleet: Fleet, limit: Limit, sentence: str, *, whole: bool, subject: str | None = None
) -> Verdict:
    """A verdict without figures: those of the processes are missing, or do not matter."""
    return Verdict(
        limit=limit,
        subject=subject,
        sentence=sentence,
        advice=("Look at RabbitMQ, and at the network to it.",) if whole and limit == "broker" else (),
        more_pods_help=False if whole else None,
        why_pods="they would wait for the same RabbitMQ" if whole else "",
        fresh=whole,
        flow=flow(view, fleet),
        processes=len(fleet.reports),
        expected=sum(standing(view, it) != "gone" for it in view.received),
    )


def _judged(view: FleetView, fleet: Fleet, expected: int) -> Verdict:
    every = sorted(_candidates(view, fleet), key=_rank)
    first, flowing = every[0], flow(view, fleet)
    if not first.holds:
        first = _nothing(view, fleet, flowing)
        every.insert(0, first)
    return Verdict(
        limit=first.limit,
        subject=first.subject,
        phase=first.phase,
        sentence=first.sentence,
        advice=first.advice,
        more_pods_help=first.more_pods_help,
        why_pods=first.why_pods,
        fresh=True,
        candidates=tuple(every[: 1 + NEXT]),
        flow=flowing,
        processes=len(fleet.reports),
        expected=expected,
        slot_seconds=tuple(fleet.slot_seconds.items()),
        scale_hint=scale_hint(fleet, first.limit),
    )


def _candidates(view: FleetView, fleet: Fleet) -> list[Candidate]:
    single = (
        candidates.redis,
        candidates.broker,
        candidates.machine,
        candidates.loop,
        waits.throttle,
        waits.destination,
        waits.template,
        waits.secret,
        waits.poison,
        waits.paused,
        candidates.slots,
        candidates.own_cpu,
    )
    return [*(it(view, fleet) for it in single), *waits.apis(view, fleet), *candidates.drift(view, fleet)]


def _rank(it: Candidate) -> tuple[int, float, float]:
    return it.order, -it.waiting, -it.load


def _nothing(view: FleetView, fleet: Fleet, flowing: Flow) -> Candidate:
    """Nothing is a limit: nothing arrives, or nothing waits. Or much waits, and no figure says why."""
    limit, sentence, advice = _which_nothing(view, fleet, flowing)
    return Candidate(
        limit=limit,
        used=fleet.arrived,
        unit="work units",
        order=Order.NONE,
        sentence=sentence,
        advice=advice,
        more_pods_help=None if limit == "unknown" else False,
        why_pods="" if limit == "unknown" else "nothing waits for a slot",
    )


def _which_nothing(view: FleetView, fleet: Fleet, flowing: Flow) -> tuple[Limit, str, tuple[str, ...]]:
    delivered = fleet.delivered / fleet.window
    if flowing.never and fleet.ready > max(MANY, TEN_SECONDS * delivered):
        return "unknown", f"Unknown: {fleet.ready} messages wait, and no figure says why", ()
    if not fleet.arrived and not (view.samples and view.samples[-1].units):
        said = f"Nothing arrives: no work unit came in the last {fleet.window:.0f} s"
        return "no_arrivals", said, ("Look at the publishers, and at NS_UNITS_QUEUE.",)
    said = f"Nothing limits the fleet: {60 * delivered:.0f} deliveries a minute, and {flowing.waiting} messages wait"
    return "idle", said, ()
