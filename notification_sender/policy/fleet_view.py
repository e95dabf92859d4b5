"""The reports of a fleet at one moment, and their sums."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

from notification_sender.model.override import Override
from notification_sender.model.process_report import PERIOD, ApiUse, ProcessReport, WaitCause

FRESH_SECONDS = 3 * PERIOD
"""A report that is older is stale: its process missed three."""

GONE_SECONDS = 600.0
"""A process that has been silent for longer is not waited for: nobody will continue it."""

FULL = 0.85
"""Part of the slots that are in use on average when none is free."""

MOST = 0.5
"""Part of the busy slot-seconds that the calls of an API take."""

SOON_RUNGS = 12
"""Rungs of the delay ladder from which a message comes within 68 minutes: 2^12 s. Those above hold retries of hours."""

MANY = 50
TEN_SECONDS = 10.0
"""So many messages, and so many seconds of deliveries, are a backlog that something must explain."""

MINUTE = 60.0
"""As ``TEN_SECONDS``, where those that wait for their next attempt count as well."""

_STATES = ("well", "slow", "out")


@dataclass(frozen=True, slots=True)
class Received:
    """The last report of a process. ``at``: when Redis got it, epoch time. ``report`` None: it cannot be read."""

    process: str
    at: float
    report: ProcessReport | None


@dataclass(frozen=True, slots=True)
class Sample:
    """The depths of the queues at one time. They are numbers of messages that no process holds."""

    at: float
    units: int
    notifications: int
    dead: int
    ladder: tuple[int, ...] = ()
    """By rung: those on rung ``n`` are due within 2^(n+1) s."""

    @property
    def ready(self) -> int:
        return self.units + self.notifications

    @property
    def soon(self) -> int:
        """Messages that are ready, or come out of the ladder within the next hour."""
        return self.ready + sum(self.ladder[:SOON_RUNGS])


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetView:
    """Everything that a verdict is made of. Times are epoch times by the clock of Redis."""

    now: float
    received: Sequence[Received] = ()
    samples: Sequence[Sample] = ()
    """Of the queues, oldest first. None of them: RabbitMQ was not asked."""
    overrides: Sequence[Override] = ()
    """What operators have set."""
    redis_fault: str = ""
    """Why the reader cannot reach Redis; empty: it can."""
    broker_fault: str = ""
    """As ``redis_fault``, of RabbitMQ."""
    reader_starved: bool = False
    """The reader waited for a processor for so long that its faults prove nothing."""

    @property
    def pauses(self) -> Sequence[Override]:
        return [it for it in self.overrides if it.kind == "pause"]

    @property
    def depths(self) -> Sequence[Sample]:
        """The samples, while the last one is of now. None: RabbitMQ is away, or nobody has asked it lately."""
        fresh = bool(self.samples) and self.now - self.samples[-1].at <= FRESH_SECONDS
        return self.samples if fresh and not self.broker_fault else ()

    @property
    def no_reports(self) -> str:
        """Why nothing is known of the processes; empty: something is."""
        if self.redis_fault:
            return "Redis is away"
        return "" if any(standing(self, it) == "fresh" for it in self.received) else "no process reports"

    @property
    def no_depths(self) -> str:
        """Why nothing is known of the queues; empty: their depths are."""
        if self.broker_fault:
            return "RabbitMQ is away"
        return "" if self.depths else "nobody has asked RabbitMQ"


Standing = Literal["fresh", "silent", "unreadable", "gone"]


def standing(view: FleetView, it: Received) -> Standing:
    """Whether the figures of a process count."""
    age = view.now - it.at
    if age > GONE_SECONDS or is_replaced(view, it):
        return "gone"
    if age > FRESH_SECONDS:
        return "silent"
    return "fresh" if it.report is not None else "unreadable"


def is_replaced(view: FleetView, old: Received) -> bool:
    """Whether another process took the place of a silent one: the same worker of the same host, started after it."""
    if old.report is None or view.now - old.at <= FRESH_SECONDS:
        return False
    place = (old.report.host, old.report.number)
    return any(
        (it.report.host, it.report.number) == place and it.report.started >= old.at
        for it in view.received
        if it.report is not None
    )


@dataclass(frozen=True)
class Fleet:
    """The sums over the processes whose reports are fresh."""

    reports: Sequence[ProcessReport]
    samples: Sequence[Sample] = field(default=())

    @classmethod
    def of(cls, view: FleetView) -> "Fleet":
        """The fresh part of a view."""
        fresh = [it.report for it in view.received if it.report is not None and standing(view, it) == "fresh"]
        return cls(fresh, view.depths)

    @cached_property
    def window(self) -> float:
        """Seconds that the figures are about."""
        return max((it.window for it in self.reports), default=0.0) or PERIOD

    @cached_property
    def slots(self) -> int:
        return sum(it.slots_allowed for it in self.reports)

    @cached_property
    def busy(self) -> float:
        """Slots in use, on average."""
        return sum(it.busy for it in self.reports)

    @cached_property
    def slots_used(self) -> int:
        """Slots in use now."""
        return sum(it.slots_used for it in self.reports)

    @cached_property
    def slot_seconds(self) -> Mapping[str, float]:
        """By step, most first."""
        return dict(_summed(it.slot_seconds for it in self.reports).most_common())

    @cached_property
    def slots_in(self) -> Mapping[str, int]:
        """Slots in use now, by step."""
        return {name: int(number) for name, number in _summed(it.slots_in for it in self.reports).items()}

    @cached_property
    def outcomes(self) -> Mapping[str, float]:
        return _summed(it.outcomes for it in self.reports)

    @cached_property
    def arrived(self) -> int:
        return sum(it.arrived for it in self.reports)

    @cached_property
    def delivered(self) -> float:
        """Notifications that recipients accepted."""
        return sum(number for name, number in self.outcomes.items() if name.startswith("notification delivered"))

    @cached_property
    def dead(self) -> Counter[str]:
        """Messages that became dead letters, by reason."""
        counted: Counter[str] = Counter()
        for name, number in self.outcomes.items():
            _, outcome, reason = (*name.split(" ", 2), "", "")[:3]
            if outcome == "dead":
                counted[reason] += round(number)
        return counted

    @cached_property
    def held(self) -> Sequence[WaitCause]:
        """What waits, by reason, subject and organization; most first."""
        merged: dict[tuple[str, str, str, str], list[WaitCause]] = {}
        for report in self.reports:
            for it in report.held:
                merged.setdefault((it.reason, it.subject, it.organization, it.phase), []).append(it)
        return sorted(map(_together, merged.values()), key=lambda it: -it.waiting)

    @cached_property
    def apis(self) -> Mapping[str, ApiUse]:
        names = sorted({name for it in self.reports for name in it.apis})
        return {name: _one_api([it.apis[name] for it in self.reports if name in it.apis]) for name in names}

    @cached_property
    def ready(self) -> int:
        """Messages that wait in the queues of the lanes."""
        return self.samples[-1].ready if self.samples else 0

    @cached_property
    def behind(self) -> bool:
        """Whether more messages are ready than are delivered within a few seconds."""
        return self.ready > max(MANY, TEN_SECONDS * self.delivered / self.window)

    @cached_property
    def behind_retries(self) -> bool:
        """As ``behind``, of all that is due within the hour. Some customer's deliveries always wait for a retry."""
        soon = self.samples[-1].soon if self.samples else 0
        return soon > max(MANY, MINUTE * self.delivered / self.window)

    @cached_property
    def unsettled(self) -> int:
        """Messages that were taken and have not ended."""
        return sum(it.unsettled for it in self.reports)

    @cached_property
    def waiting_for_slots(self) -> int:
        """Messages that only wait for a free slot."""
        return self.ready + sum(it.lanes_waiting for it in self.reports)

    @cached_property
    def hosts_out(self) -> Sequence[str]:
        return sorted({host for it in self.reports for host in it.hosts_out})


def fills_the_slots(fleet: Fleet, use: ApiUse) -> bool:
    """Whether most slots are in calls of an API, and none is free. What waits for a slot waits for the API then."""
    full = bool(fleet.slots) and fleet.busy >= FULL * fleet.slots
    return full and sum(use.phases.values()) >= MOST * sum(fleet.slot_seconds.values())


def _summed(many: Iterable[Mapping[str, float]]) -> Counter[str]:
    total: Counter[str] = Counter()
    for one in many:
        for name, number in one.items():
            total[name] += number  # type: ignore[assignment]  # seconds are summed as well as numbers
    return total


def _together(same: Sequence[WaitCause]) -> WaitCause:
    first = same[0]
    ages = [it.oldest for it in same if it.oldest]
    return WaitCause(
        reason=first.reason,
        subject=first.subject,
        organization=first.organization,
        phase=first.phase,
        count=sum(it.count for it in same),
        waiting=sum(it.waiting for it in same),
        oldest=min(ages, default=0.0),
    )


def _one_api(uses: Sequence[ApiUse]) -> ApiUse:
    return ApiUse(
        state=max((it.state for it in uses), key=lambda it: _STATES.index(it) if it in _STATES else 0),
        limit=sum(it.limit for it in uses),
        in_flight=sum(it.in_flight for it in uses),
        waiting=sum(it.waiting for it in uses),
        calls=sum(it.calls for it in uses),
        late=sum(it.late for it in uses),
        failed=sum(it.failed for it in uses),
        phases=dict(_summed(it.phases for it in uses)),
        servers=dict(_summed(it.servers for it in uses)),
    )
