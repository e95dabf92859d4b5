"""The audit: how many work units were announced, and the outcome of each and of all their notifications."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

WORST_FIRST = ("dead", "waiting", "delivered", "suppressed")
"""A unit counts as the worst outcome among its notifications."""

OVER = {"dead": "dead", "delivered": "delivered", "suppressed": "suppressed", "done": "suppressed"}
"""The outcome that each recorded state counts as. A unit that is done and has no notification had no destination.

Every other state (claimed, parked, its record gone) is still waiting: never taken for a success.
"""

WITHHELD = "destination_disabled"
"""A notification suppressed for this reason should have been sent."""


@dataclass(frozen=True, slots=True)
class RecordedOutcome:
    """The outcome of a notification; or of a unit, or a slice of one, that ended before it had any."""

    state: str
    """As in ``WORST_FIRST``."""
    reason: str = ""
    destination_id: str = ""
    """Of a notification that was not delivered; empty if an earlier version wrote its record."""
    notification_id: str = ""
    """Empty: it is the unit's own end."""

    @property
    def failed(self) -> bool:
        """Whether it should have been sent and was not."""
        return self.state == "dead" or self.reason == WITHHELD


def words(reason: str, destination_id: str = "") -> str:
    """The text of a record that ended without a delivery: ``recorded_outcome`` reads it."""
    return f"{reason} {destination_id}" if destination_id else reason


def recorded_outcome(state: str | None, text: str | None, notification_id: str = "") -> RecordedOutcome:
    """By its record; both are None if the record is gone. The receipt of a delivery is left out."""
    shown = OVER.get(state or "", "waiting")
    if shown not in {"dead", "suppressed"}:
        return RecordedOutcome(shown, notification_id=notification_id)
    reason, _, destination_id = (text or "").partition(" ")
    return RecordedOutcome(shown, reason, destination_id, notification_id)


Ends = Counter[tuple[str, str]]
"""How many, by outcome and reason."""


@dataclass(frozen=True, slots=True)
class Audit:
    """Work units, each counted once. ``str()`` is the line that commands print."""

    expected: int
    delivered: int
    suppressed: int
    waiting: int
    dead: int
    notifications: Ends = field(default_factory=Counter)
    """All of them, whatever their units count as."""
    units: Ends = field(default_factory=Counter)
    """Units, and slices of units, that ended or wait without any notification."""
    failed: Sequence[tuple[str, RecordedOutcome]] = ()
    """Each with the id of its work unit: those that an operator should look after."""

    @property
    def accounted(self) -> int:
        """How many were seen, whatever became of them."""
        return self.delivered + self.suppressed + self.waiting + self.dead

    @property
    def missing(self) -> int:
        """How many were announced and never seen."""
        return max(0, self.expected - self.accounted)

    @property
    def well(self) -> bool:
        """Whether an operator has nothing to look after; waiting units may still be delivered."""
        return not (self.missing or self.dead or self.failed)

    def __add__(self, other: "Audit") -> "Audit":
        """Of two organizations together."""
        return Audit(
            self.expected + other.expected,
            self.delivered + other.delivered,
            self.suppressed + other.suppressed,
            self.waiting + other.waiting,
            self.dead + other.dead,
            self.notifications + other.notifications,
            self.units + other.units,
            (*self.failed, *other.failed),
        )

    def __str__(self) -> str:
        line = f"accounted for: {self.accounted} of {self.expected} ({parts(self._units())})"
        return f"{line}, missing: {self.missing}" if self.missing else line

    def _units(self) -> Ends:
        return Counter({(it, ""): getattr(self, it) for it in WORST_FIRST})


def parts(ends: Ends) -> str:
    """How many of each outcome, in the order of every line that says so."""
    sums: Counter[str] = Counter()
    for (outcome, _), number in ends.items():
        sums[outcome] += number
    return ", ".join(f"{it} {sums[it]}" for it in ("delivered", "suppressed", "waiting", "dead"))


def audit(expected: int, outcomes: Mapping[str, Sequence[RecordedOutcome]]) -> Audit:
    """Count. ``outcomes``: by the id of every unit seen, the outcomes of its notifications, or its own."""
    each = [(unit, it) for unit, its in outcomes.items() for it in its]
    worst = Counter(_worst(its) for its in outcomes.values())
    return Audit(
        expected,
        **{state: worst[state] for state in WORST_FIRST},
        notifications=Counter((it.state, it.reason) for _, it in each if it.notification_id),
        units=Counter((it.state, it.reason) for _, it in each if not it.notification_id),
        failed=[(unit, it) for unit, it in each if it.failed],
    )


def _worst(outcomes: Sequence[RecordedOutcome]) -> str:
    return min((it.state for it in outcomes), key=WORST_FIRST.index, default="waiting")
