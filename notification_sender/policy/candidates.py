"""What may limit a fleet, one function a kind of limit: how much of it is used, and whether it is a limit now.

The thresholds are in docs/reference/diagnosis.md as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Literal

from notification_sender.model.process_report import ProcessReport
from notification_sender.policy.fleet_view import Fleet, FleetView

Limit = Literal[
    "throttle",
    "api",
    "destination",
    "slots",
    "cpu",
    "loop",
    "broker",
    "redis",
    "idle",
    "no_arrivals",
    "paused",
    "poison",
    "frozen",
    "drift",
    "template",
    "secret",
    "unknown",
]

REDIS_SLOW_MS = 20.0
"""A round trip to Redis takes less than 5 ms on a machine that is not idle. A delivery waits for three."""

LOOP_LOST = 0.05
"""Part of the time that one process spends in long turns of its own computing."""

LOOP_STALLS = 3
"""Stalls of 250 ms or more by our own computing, or by a blocking call."""

CPU_WAITED = 0.5
"""Part of its running time for which the loop's thread waited for a processor."""

CPU_LATE = 0.1
"""Part of the time for which due work waited because the loop was late: waiting for a processor does harm."""

CPU_THROTTLED = 0.05
"""Part of the time for which the CPU limit of the container stopped the process."""

CPU_BUSY = 0.85
"""Part of one processor. One event loop uses one processor at most."""

SLOTS_BUSY = 0.85
"""Part of the slots that are in use on average."""

YOUNG_SECONDS = 20.0
"""A process that is younger may belong to a deployment that is under way."""


class Order:
    """Which limit is named where several hold: the first. Within one order the one for which most waits is named."""

    SERVICE = 0
    """Everything waits for it."""
    MACHINE = 1
    """It makes APIs and destinations look slow."""
    WORK = 2
    """Some deliveries wait for it."""
    CAPACITY = 3
    """There is too little of it, and nothing above explains that."""
    FAULT = 4
    """It delays nothing yet, and should be repaired."""
    WATCHED = 8
    """No limit now, but there is some sign of it."""
    NONE = 9
    """No limit now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """One possible limit. ``used`` and ``allowed`` are in the unit that ``unit`` names."""

    limit: Limit
    subject: str | None = None
    phase: str | None = None
    used: float
    allowed: float | None = None
    waiting: float = 0.0
    """Messages that wait for it."""
    unit: str = ""
    order: int = Order.NONE
    sentence: str = ""
    advice: tuple[str, ...] = ()
    more_pods_help: bool | None = False
    why_pods: str = ""
    """Why more pods will help, or will not."""

    @property
    def holds(self) -> bool:
        """Whether it limits the fleet now."""
        return self.order < Order.WATCHED

    @property
    def load(self) -> float:
        """How near it is to a limit."""
        return self.used / self.allowed if self.allowed else 0.0


def redis(view: FleetView, fleet: Fleet) -> Candidate:
    """The store is slow. (That it is away is seen before there are figures.)

    A process that gets no processor sees every answer late. Then the reader must find Redis slow as well.
    """
    milliseconds = median([it.redis_ms for it in fleet.reports] or [0.0])
    starved = machine(view, fleet).holds
    slow = milliseconds >= REDIS_SLOW_MS and (not starved or view.redis_ms >= REDIS_SLOW_MS)
    return Candidate(
        limit="redis",
        used=round(milliseconds, 1),
        allowed=REDIS_SLOW_MS,
        waiting=fleet.busy if slow else 0.0,
        unit="ms",
        order=Order.SERVICE if slow else Order.NONE,
        sentence=f"Redis is slow: the fastest round trip takes {milliseconds:.0f} ms, and each delivery makes three",
        advice=(
            "Look at the network between the workers and Redis, and at SLOWLOG and INFO of Redis.",
            "It takes a round trip below 5 ms.",
        ),
        why_pods="they would wait for the same Redis",
    )


def broker(_: FleetView, fleet: Fleet) -> Candidate:
    """RabbitMQ is away for most processes, or blocks publishers."""
    away = sum(not it.broker_connected for it in fleet.reports)
    blocked = sum(it.broker_blocked for it in fleet.reports)
    troubled, total = max(away, blocked), len(fleet.reports)
    fault = f"{away} of {total} processes have no connection to RabbitMQ"
    if blocked >= away:
        fault = f"RabbitMQ has an alarm and takes no messages from {blocked} of {total} processes"
    return Candidate(
        limit="broker",
        subject="alarm" if blocked and blocked >= away else None,
        used=troubled,
        allowed=total,
        waiting=fleet.in_hand if troubled else 0.0,
        unit="processes",
        order=Order.SERVICE if troubled else Order.NONE,
        sentence=fault,
        advice=(
            "Run `rabbitmq-diagnostics alarms` and free memory or disk space of the broker."
            if blocked >= away
            else "Look at the broker, and at the network between it and the workers.",
        ),
        why_pods="they would wait for the same RabbitMQ",
    )


def machine(_: FleetView, fleet: Fleet) -> Candidate:
    """Other processes have the processors, or the container's CPU limit is reached."""
    starved = [_starved(it) for it in fleet.reports]
    waited, host, late, throttled = max(starved, key=lambda it: (it[2] >= CPU_LATE, it[0]), default=(0.0, "", 0.0, 0.0))
    limited = throttled >= CPU_THROTTLED
    holds = late >= CPU_LATE and (waited >= CPU_WAITED or limited)
    said = f"Other processes on {host} have the processors: a worker waits {waited:.0%} of the time for one"
    if limited:
        said = f"The CPU limit of the container stops a worker on {host} for {throttled:.0%} of the time"
    return Candidate(
        limit="cpu",
        subject=host if holds else None,
        used=round(100 * (throttled if limited else waited)),
        allowed=round(100 * (CPU_THROTTLED if limited else CPU_WAITED)),
        waiting=fleet.in_hand if holds else 0.0,
        unit="% waited",
        order=Order.MACHINE if holds else Order.NONE,
        sentence=f"{said}, and its work is late {late:.0%} of the time",
        advice=("Give the workers more CPU, or move what runs beside them.",),
        more_pods_help=True,
        why_pods="on other machines: here they would share the same processors",
    )


def _starved(it: ProcessReport) -> tuple[float, str, float, float]:
    """Which part of its running time it waited for a processor; where; and for which parts of the time it was late, and
    stopped by its CPU limit.
    """
    if it.window <= 0:
        return 0.0, it.host, 0.0, 0.0
    ready = it.loop.ran + it.loop.waited
    waited = it.loop.waited / ready if ready else 0.0
    return waited, it.host, it.loop.lost / it.window, it.loop.throttled / it.window


def loop(_: FleetView, fleet: Fleet) -> Candidate:
    """Something computes, or blocks, on the event loop."""
    lost = stalls = 0.0
    process = None
    for it in fleet.reports:
        share = it.loop.own / it.window if it.window > 0 else 0.0
        times = it.loop.stalls.get("work", 0) + it.loop.stalls.get("blocked", 0)
        if (share, times) > (lost, stalls):
            lost, stalls, process = share, times, it.process
    holds = lost >= LOOP_LOST or stalls >= LOOP_STALLS
    return Candidate(
        limit="loop",
        subject=process if holds else None,
        used=round(100 * lost, 1),
        allowed=100 * LOOP_LOST,
        waiting=fleet.in_hand if holds else 0.0,
        unit="% lost",
        order=Order.MACHINE if holds else Order.NONE,
        sentence=f"The event loop of {process} is blocked {lost:.0%} of the time ({stalls:.0f} stalls)",
        advice=("Look for `loop.stalled` in the log: `stack` names the code. Take that code out of the loop.",),
        why_pods="each of them would block in the same way",
    )


def slots(_: FleetView, fleet: Fleet) -> Candidate:
    """All slots are in use, and messages wait for one."""
    full = bool(fleet.slots) and fleet.busy >= SLOTS_BUSY * fleet.slots and fleet.waiting_for_slots > 0
    step = next(iter(fleet.slot_seconds), "")
    where = f", most of the time in {step}" if step else ""
    return Candidate(
        limit="slots",
        used=round(fleet.busy, 1),
        allowed=fleet.slots,
        waiting=fleet.waiting_for_slots if full else 0.0,
        unit="slots",
        order=Order.CAPACITY if full else Order.NONE,
        sentence=f"All {fleet.slots} slots are busy{where}, and no API, limit or destination is slow",
        advice=("Raise NS_CONCURRENCY, or start more pods.",),
        more_pods_help=True,
        why_pods="each brings more slots, and CPU is free",
    )


def own_cpu(_: FleetView, fleet: Fleet) -> Candidate:
    """The processes compute all the time."""
    shares = [it.loop.cpu / it.window for it in fleet.reports if it.window > 0]
    mean = sum(shares) / len(shares) if shares else 0.0
    holds = mean >= CPU_BUSY and fleet.waiting_for_slots > 0
    return Candidate(
        limit="cpu",
        used=round(100 * mean),
        allowed=100,
        waiting=fleet.waiting_for_slots if holds else 0.0,
        unit="% of a processor",
        order=Order.CAPACITY if holds else Order.NONE,
        sentence=f"Each process uses {mean:.0%} of a processor: that is all that one event loop can use",
        advice=("Start more pods, or more processes in each (`run --processes`).",),
        more_pods_help=True,
        why_pods="each brings a processor",
    )


def drift(view: FleetView, fleet: Fleet) -> Iterator[Candidate]:
    """Processes differ in their configuration or their version."""
    grown = [it for it in fleet.reports if view.now - it.started >= YOUNG_SECONDS]
    for what, kinds in (
        ("configuration", {it.configuration for it in grown}),
        ("version", {it.version for it in grown}),
    ):
        if len(kinds) > 1:
            yield Candidate(
                limit="drift",
                subject=what,
                used=len(kinds),
                allowed=1,
                unit=f"{what}s",
                order=Order.FAULT,
                sentence=f"{len(grown)} processes run with {len(kinds)} different {what}s",
                advice=("Compare them with `notification-sender pods`, and restart those that are behind.",),
                why_pods="they would not make the processes alike",
            )
