"""What comes in and goes out of a fleet, what waits, and how long that will take."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from typing import Literal

from notification_sender.policy.fleet_view import Fleet, FleetView, Sample

RATE_SECONDS = 60.0
"""Seconds of samples that the rate of the backlog is computed from."""

SHORTEST_RATE = 10.0
"""Seconds of samples that say nothing yet of a rate."""

SURE = 2.0
"""Standard errors by which the backlog must rise or fall: what goes up and down is steady."""

NOTHING = 5
"""Messages that are under way in a queue at any time: so few are no backlog."""

LONGEST_ETA = 7 * 86_400.0
"""Seconds. A rate that needs longer is none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Flow:
    """Rates are for a minute. None: unknown, because RabbitMQ or the processes say nothing."""

    backlog: int | None = None
    """Messages that are not done: in the queues, unsettled, and in the ladder."""
    units: int | None = None
    notifications: int | None = None
    dead: int | None = None
    ladder: tuple[int, ...] = ()
    unsettled: int | None = None
    """Messages that workers have taken and not settled."""
    oldest_age_s: float | None = None
    """Of what waits; None: nothing does, or it is unknown."""
    arrivals_per_min: float | None = None
    deliveries_per_min: float | None = None
    drained_per_min: float | None = None
    """By how much the backlog falls; negative while it grows."""
    eta_s: float | None = None
    """Until what is due within an hour is done. None: never at this rate, or unknown."""
    waiting: int = 0
    """Messages that the ETA is about."""
    no_reports: str = ""
    """Why nothing is known of the processes."""
    no_depths: str = ""
    """Why nothing is known of the queues."""

    @property
    def never(self) -> bool:
        """Whether the backlog does not fall, so that there is no ETA."""
        return self.eta_s is None and self.drained_per_min is not None

    @property
    def trend(self) -> Literal["grows", "steady", "falls"] | None:
        """What the backlog does; None: unknown."""
        if self.drained_per_min is None:
            return None
        return "falls" if self.drained_per_min > 0 else "grows" if self.drained_per_min < 0 else "steady"

    @property
    def due(self) -> Sequence[tuple[float, int]]:
        """What comes out of the ladder within how many seconds, shortest first."""
        return [(2.0 ** (rung + 1), number) for rung, number in enumerate(self.ladder) if number]


def flow(view: FleetView, fleet: Fleet) -> Flow:
    """The flow of a fleet."""
    last = view.depths[-1] if view.depths else None
    minutes = fleet.window / 60.0
    known = bool(fleet.reports)
    drained, eta = _eta(view.depths, fleet) if known else (None, None)
    return Flow(
        backlog=None if last is None else last.ready + sum(last.ladder) + fleet.unsettled,
        units=None if last is None else last.units,
        notifications=None if last is None else last.notifications,
        dead=None if last is None else last.dead,
        ladder=() if last is None else last.ladder,
        unsettled=fleet.unsettled if known else None,
        oldest_age_s=_oldest(view, fleet),
        arrivals_per_min=round(_arrived(view.depths, fleet) / minutes, 1) if known and last else None,
        deliveries_per_min=round(fleet.delivered / minutes, 1) if known else None,
        drained_per_min=drained,
        eta_s=eta,
        waiting=0 if last is None else last.soon,
        no_reports=view.no_reports,
        no_depths=view.no_depths,
    )


def scale_hint(fleet: Fleet, limit: str) -> float | None:
    """How many processes are wanted: the slots that are wanted, divided by the slots of a process.

    Slots that wait for an API or a recipient which is the limit do not count: more of them would wait, too.
    """
    if not fleet.reports or not fleet.slots:
        return None
    waits = {"api": "context.", "destination": "send.", "throttle": "throttle"}.get(limit)
    busy = sum(it for step, it in fleet.slot_seconds.items() if waits is None or not step.startswith(waits))
    wanted = busy / fleet.window
    if limit in {"slots", "cpu"}:
        wanted += min(fleet.waiting_for_slots, fleet.slots)
    return round(wanted * len(fleet.reports) / fleet.slots, 2)


def _since(samples: Sequence[Sample], seconds: float) -> Sample | None:
    """The sample of so many seconds ago; the oldest, if none is so old."""
    if not samples:
        return None
    return next((it for it in reversed(samples) if samples[-1].at - it.at >= seconds), samples[0])


def _arrived(samples: Sequence[Sample], fleet: Fleet) -> float:
    """Units that came in the window: those that were taken, and those that the queue got more."""
    before = _since(samples, fleet.window)
    grown = samples[-1].units - before.units if before is not None else 0
    return max(0.0, fleet.arrived + grown)


def _eta(samples: Sequence[Sample], fleet: Fleet) -> tuple[float | None, float | None]:
    """By how much the backlog falls in a minute, 0 if it is steady; and the seconds until it is done."""
    recent = [it for it in samples if samples[-1].at - it.at <= RATE_SECONDS]
    if not recent:
        return None, None
    last, done = recent[-1], recent[-1].soon <= max(NOTHING, fleet.delivered / fleet.window)
    if last.at - recent[0].at < SHORTEST_RATE:
        return None, 0.0 if done else None
    drained = _drained(recent)
    per_minute = round(60.0 * drained, 1)
    if done:
        return per_minute, 0.0
    if drained <= 0 or last.soon > drained * LONGEST_ETA:
        return per_minute, None
    return per_minute, round(last.soon / drained, 1)


def _drained(samples: Sequence[Sample]) -> float:
    """By how much the backlog falls in a second: the slope of the line through the samples. 0: it is steady."""
    number, seconds = len(samples), samples[-1].at - samples[0].at
    middle, mean = sum(it.at for it in samples) / number, sum(it.soon for it in samples) / number
    width = sum((it.at - middle) ** 2 for it in samples)
    slope = sum((it.at - middle) * (it.soon - mean) for it in samples) / width
    apart = sum((it.soon - mean - slope * (it.at - middle)) ** 2 for it in samples)
    error = sqrt(apart / max(number - 2, 1) / width)
    return -slope if abs(slope) > SURE * error and abs(slope) * seconds > NOTHING else 0.0


def _oldest(view: FleetView, fleet: Fleet) -> float | None:
    """The age of the oldest message that waits, by what the processes have seen of it."""
    ages = [view.now - it.oldest for it in fleet.held if it.oldest]
    ages += [it.oldest_waiting for it in fleet.reports if it.oldest_waiting]
    last = view.depths[-1] if view.depths else None
    if last is not None and last.units > NOTHING:
        # The queue is first in, first out: the last one waits for as long as it takes to take all before it.
        rate = fleet.arrived / fleet.window
        empty = next((it.at for it in reversed(view.depths) if it.units <= NOTHING), view.depths[0].at)
        ages.append(last.units / rate if rate > 0 else view.now - empty)
    return round(max(ages), 1) if ages else None
