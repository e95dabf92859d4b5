"""Relations between options: which duration must be longer than which."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notification_sender.policy.retry import JITTER, Schedule


@dataclass(frozen=True, slots=True)
class Longer:
    """``option`` must be longer than ``other``; with ``equal`` it may be as long. ``why``: what would go wrong."""

    option: str
    other: str
    why: str
    equal: bool = False

    def holds(self, seconds: float, least: float) -> bool:
        """Whether ``option`` may have so many seconds while ``other`` has ``least``."""
        return seconds > least or (self.equal and seconds == least)


FORGOTTEN = "the record of a notification would expire before its next attempt"
SCHEDULES = ("retry_schedule", "retry_schedule_webhook", "retry_schedule_email")
RELATIONS = (
    Longer("gather_timeout", "api_timeout", "no API call could use all of its time", equal=True),
    Longer("lease", "send_timeout", "a second worker would send a notification that the first is still sending"),
    *(Longer("ledger_ttl", it, FORGOTTEN, equal=True) for it in SCHEDULES),
    Longer("ledger_ttl", "story_ttl", "the attempts of a delivery would be kept longer than the delivery", equal=True),
    Longer("grace", "send_timeout", "every stop would cut off the deliveries in progress"),
)


def broken(option: str, seconds: float, others: Mapping[str, Any]) -> list[str]:
    """The relations that ``option`` breaks. ``others``: the options that are already read and valid."""
    return [
        f"must be {'at least' if relation.equal else 'longer than'} NS_{relation.other.upper()} ({least:g}s); "
        f"otherwise {relation.why}"
        for relation in RELATIONS
        if relation.option == option and others.get(relation.other) is not None
        for least in [_length(others[relation.other])]
        if not relation.holds(seconds, least)
    ]


def outlived(option: str, schedule: Schedule, ledger_ttl: float | None) -> str:
    """Return what is wrong with a schedule that is no option of ours: nothing if ``ledger_ttl`` is unknown."""
    longest = _length(schedule)
    if ledger_ttl is None or Longer("ledger_ttl", option, FORGOTTEN, equal=True).holds(ledger_ttl, longest):
        return ""
    return f"its longest delay ({longest:g}s) must be at most NS_LEDGER_TTL ({ledger_ttl:g}s), else {FORGOTTEN}"


def _length(value: float | Schedule) -> float:
    """Seconds of a duration; of a schedule, its longest delay with jitter."""
    return max(value.delays) * (1 + JITTER) if isinstance(value, Schedule) else value
