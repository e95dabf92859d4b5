"""What may limit a fleet, one function a kind of limit: how much of it is used, and whether it is a limit now.

The thresholds are in docs/reference/diagnosis.md as well.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from statistics import median
from typing import Literal

from notification_sender.policy.fleet_view import FULL, Fleet, FleetView

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

TURNS_OF_ANSWER = 4
"""Times that an answer of Redis waits for a processor at most: there and back, and in a proxy between."""

AT_LEAST = 3
"""Cases in the window: fewer are bad luck."""

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
    SLOTS = 4
    """Too few are allowed at once, and nothing above explains that they are busy."""
    FAULT = 5
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


def redis(_: FleetView, fleet: Fleet) -> Candidate:
    """The store is slow. (That it is away is seen before there are figures.)

    Where the workers wait for a processor, Redis may wait for one as well: that much is not held against it.
    """
    milliseconds = median([it.redis_ms for it in fleet.reports] or [0.0])
    own = median([it.redis_ms - TURNS_OF_ANSWER * it.loop.wait_ms for it in fleet.reports] or [0.0])
    slow = own >= REDIS_SLOW_MS
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
        waiting=fleet.unsettled if troubled else 0.0,
        unit="processes",
        order=Order.SERVICE if troubled else Order.NONE,
        sentence=fault,
        advice=(
            "Run `rabbitmq-diagnostics alarms` and free memory or disk space of the broker."
            if blocked > 0 and blocked >= away
            else "Look at the broker, and at the network between it and the workers.",
        ),
        why_pods="they would wait for the same RabbitMQ",
    )


def slots(_: FleetView, fleet: Fleet) -> Candidate:
    """All slots are in use, and messages wait for one."""
    used = max(fleet.busy, fleet.slots_used if fleet.behind else 0)
    full = bool(fleet.slots) and used >= FULL * fleet.slots and fleet.waiting_for_slots > 0
    step = next(iter(fleet.slot_seconds), "")
    where = f", most of the time in {step}" if step else ""
    return Candidate(
        limit="slots",
        used=round(used, 1),
        allowed=fleet.slots,
        waiting=fleet.waiting_for_slots if full else 0.0,
        unit="slots",
        order=Order.SLOTS if full else Order.NONE,
        sentence=f"All {fleet.slots} slots are busy{where}, and no API or destination is slow",
        advice=("Raise NS_CONCURRENCY, or start more pods.",),
        more_pods_help=True,
        why_pods="each brings more slots, and CPU is free",
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
