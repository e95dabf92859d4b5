"""How the options stand to each other: which span of time must be longer than which."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notification_sender.policy.retry import JITTER, Schedule


@dataclass(frozen=True, slots=True)
class Longer:
    """``option`` must be longer than ``other``, or as long where ``equal``; ``why`` says what would go wrong."""

    option: str
    other: str
    why: str
    equal: bool = False

    def holds(self, seconds: float, least: float) -> bool:
        """Whether ``option`` may be so long while ``other`` is ``least``."""
        return seconds > least or (self.equal and seconds == least)


SCHEDULES = ("retry_schedule", "retry_schedule_webhook", "retry_schedule_email")
RELATIONS = (
    Longer("gather_timeout", "api_timeout", "no call could ever use its time", equal=True),
    Longer("lease", "send_timeout", "a second worker would send what the first one is still sending"),
    *(Longer("ledger_ttl", it, "what waits for its next attempt would be forgotten", equal=True) for it in SCHEDULES),
    Longer("grace", "send_timeout", "every stop would cut off what is being sent"),
)


def broken(option: str, seconds: float, others: Mapping[str, Any]) -> list[str]:
    """What is wrong with ``option``, seen from ``others``: those that are known already, and are well."""
    return [
        f"must be {'at least' if relation.equal else 'longer than'} NS_{relation.other.upper()} ({least:g}s), "
        f"else {relation.why}"
        for relation in RELATIONS
        if relation.option == option and others.get(relation.other) is not None
        for least in [_length(others[relation.other])]
        if not relation.holds(seconds, least)
    ]


def _length(value: float | Schedule) -> float:
    """Seconds; of a schedule its longest delay, jitter included."""
    return max(value.delays) * (1 + JITTER) if isinstance(value, Schedule) else value
