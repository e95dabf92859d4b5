"""What limits a fleet now: one limit, one sentence with its figures, and whether more pods will help.

Reports that are missing or old force ``unknown`` (or ``frozen``, where one process is silent) and remove every advice:
a wrong advice costs more than none.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from notification_sender.model.override import Override
from notification_sender.policy import candidates, processors, upstreams, waits
from notification_sender.policy.candidates import Candidate, Limit, Order
from notification_sender.policy.fleet_view import FRESH_SECONDS, Fleet, FleetView, Received, standing
from notification_sender.policy.flow import Flow, flow, scale_hint
from notification_sender.policy.no_limit import no_limit

READER_STARVED = "this command got too little of a processor here. Run it again, or on another machine,"
NOBODY = "Start a worker; or this command has another NS_REDIS_URL or NS_TOPOLOGY_PREFIX than the workers"
SILENT = "Look at the logs of those that are silent, and at their connection to Redis"
UNREADABLE = "The others have another version: run the command of that version"
"""What to do, where there must be no advice."""

TAKE_SLOTS = {"api", "destination"}
"""Limits that deliveries wait for while they have a slot. They explain that all slots are busy."""

NEXT = 3
"""Candidates after the first that are shown."""


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
    away: Mapping[str, str] = field(default_factory=dict)
    """Services that do not answer, and why: what they know is unknown."""
    overrides: tuple[Override, ...] = ()

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
            "trend": self.flow.trend,
            "away": dict(self.away),
            "overrides": [it.known() for it in self.overrides],
        }


def verdict(view: FleetView) -> Verdict:
    """The verdict on a fleet, from nothing but the view."""
    known = [it for it in view.received if standing(view, it) != "gone"]
    fresh = [it for it in known if standing(view, it) == "fresh"]
    fleet = Fleet.of(view)
    whole = bool(known) and len(fresh) == len(known)
    if view.redis_fault and view.reader_starved:
        return _bare(view, fleet, "unknown", f"Unknown: {READER_STARVED} to ask Redis", whole=False)
    if view.redis_fault:
        also = f", and so is RabbitMQ: {view.broker_fault}" if view.broker_fault else ""
        said = f"Redis is away: {view.redis_fault}{also}. Nothing is sent meanwhile"
        return _bare(view, fleet, "redis", said, whole=False)
    if view.reader_starved and _consuming(fleet):
        view = replace(view, broker_fault="")
    if view.broker_fault:
        return _broker_away(view, fleet, whole=whole)
    if not whole:
        return _stale(view, fleet, known, fresh)
    return _judged(view, fleet, len(known))


def _broker_away(view: FleetView, fleet: Fleet, *, whole: bool) -> Verdict:
    """The reader cannot reach RabbitMQ. The processes may know that it has an alarm."""
    said = f"RabbitMQ is away or has an alarm: {view.broker_fault}. Nothing new is done meanwhile"
    seen = candidates.broker(view, fleet)
    bare = _bare(view, fleet, "broker", said, whole=whole, subject=seen.subject)
    if not whole:
        return bare
    return replace(bare, advice=seen.advice, more_pods_help=seen.more_pods_help, why_pods=seen.why_pods)


def _consuming(fleet: Fleet) -> bool:
    """Whether all processes say that RabbitMQ gives and takes messages."""
    return fleet.arrived > 0 and all(it.broker_connected and not it.broker_blocked for it in fleet.reports)


def _stale(view: FleetView, fleet: Fleet, known: Sequence[Received], fresh: Sequence[Received]) -> Verdict:
    silent = [it for it in known if standing(view, it) == "silent"]
    if not known:
        return _bare(view, fleet, "unknown", f"Unknown: no process has sent a report. {NOBODY}", whole=False)
    if fresh and silent and len(fresh) + len(silent) == len(known):
        first = min(silent, key=lambda it: it.at)
        others = f" (and {len(silent) - 1} more)" if len(silent) > 1 else ""
        seconds = f"{view.now - first.at:.0f} s"
        said = f"{first.process}{others} has sent no report for {seconds} and did not stop: it is frozen or was killed"
        return _bare(view, fleet, "frozen", said, whole=False, subject=first.process)
    said = f"Unknown: {len(fresh)} of {len(known)} processes have sent a report in the last {FRESH_SECONDS:.0f} s"
    return _bare(view, fleet, "unknown", f"{said}. {SILENT if silent else UNREADABLE}", whole=False)


def _bare(
    view: FleetView, fleet: Fleet, limit: Limit, sentence: str, *, whole: bool, subject: str | None = None
) -> Verdict:
    """A verdict without figures: those of the processes are missing, or do not matter."""
    return Verdict(
        limit=limit,
        subject=subject,
        sentence=sentence,
        fresh=whole,
        flow=flow(view, fleet),
        away=_away(view),
        overrides=tuple(view.overrides),
        processes=len(fleet.reports),
        expected=sum(standing(view, it) != "gone" for it in view.received),
    )


def _away(view: FleetView) -> Mapping[str, str]:
    faults = {"redis": view.redis_fault, "rabbitmq": view.broker_fault}
    return {service: why for service, why in faults.items() if why}


def _judged(view: FleetView, fleet: Fleet, expected: int) -> Verdict:
    every = sorted(_compared(_candidates(view, fleet)), key=_rank)
    first, flowing = every[0], flow(view, fleet)
    if not first.holds:
        first = no_limit(view, fleet, flowing)
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
        overrides=tuple(view.overrides),
        processes=len(fleet.reports),
        expected=expected,
        slot_seconds=tuple(fleet.slot_seconds.items()),
        scale_hint=scale_hint(fleet, first.limit),
    )


def _candidates(view: FleetView, fleet: Fleet) -> list[Candidate]:
    single = (
        candidates.redis,
        candidates.broker,
        processors.machine,
        processors.loop,
        waits.throttle,
        waits.destination,
        waits.template,
        waits.secret,
        waits.poison,
        waits.paused,
        processors.own_cpu,
        candidates.slots,
    )
    return [*(it(view, fleet) for it in single), *upstreams.apis(view, fleet), *candidates.drift(view, fleet)]


def _compared(every: Sequence[Candidate]) -> list[Candidate]:
    """What holds no slots explains only what it holds back itself: then capacity is compared by what waits, too."""
    short = min(
        (it for it in every if it.order in {Order.CAPACITY, Order.SLOTS}), key=lambda it: it.order, default=None
    )
    if any(it.limit in TAKE_SLOTS and it.order == Order.WORK for it in every):
        short = None
    return [replace(it, order=Order.WORK) if it is short else it for it in every]


def _rank(it: Candidate) -> tuple[int, float, float]:
    return it.order, -it.waiting, -it.load
