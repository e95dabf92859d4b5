"""What deliveries wait for, or die of: counted where they are deferred, fail or become dead letters."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from notification_sender.model.process_report import MAIL_SERVER, PERIOD, WINDOW, WaitCause
from notification_sender.telemetry.attempt_record import AttemptFacts, End

MOST_REASONS = 200
"""Different causes in one period. What exceeds them is counted by its reason alone."""

REPORTED = 40
"""Causes in one report: those for which most waits."""

BY_DESTINATION = frozenset({"host_out", "destination_full"})

Cause = tuple[str, str, str, str]
"""Reason, subject, organization, and phase of an API call."""


@dataclass(slots=True)
class _Count:
    number: int = 0
    seconds: float = 0.0
    oldest: float = 0.0


@dataclass(slots=True)
class _Period:
    since: float
    counts: dict[Cause, _Count] = field(default_factory=dict)


class WaitCauses:
    """The causes of the last ``WINDOW`` seconds. It is called for deferrals, failures and deaths, no deliveries."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._periods: deque[_Period] = deque()

    def record(self, end: End, facts: AttemptFacts, *, subject: str, first_seen: float) -> None:
        """An attempt ended as deferred, failed or dead. ``subject``: of the reason."""
        key = _cause(end, facts, subject)
        counts = self._current().counts
        if key not in counts and len(counts) >= MOST_REASONS:
            key = (end.reason, "", "", "")
        count = counts.setdefault(key, _Count())
        count.number += 1
        count.seconds += min((end.delay_ms or 0.0) / 1000, WINDOW)
        count.oldest = min(count.oldest or first_seen, first_seen)

    def summary(self) -> tuple[WaitCause, ...]:
        """The causes for which most waits."""
        self._current()
        total: dict[Cause, _Count] = {}
        for period in self._periods:
            for key, it in period.counts.items():
                count = total.setdefault(key, _Count())
                count.number += it.number
                count.seconds += it.seconds
                count.oldest = min(count.oldest or it.oldest, it.oldest)
        held = (
            WaitCause(
                reason=reason,
                subject=subject,
                organization=organization,
                phase=phase,
                count=it.number,
                waiting=round(it.seconds / WINDOW, 2),
                oldest=round(it.oldest, 1),
            )
            for (reason, subject, organization, phase), it in total.items()
        )
        return tuple(sorted(held, key=lambda it: (-it.waiting, -it.count))[:REPORTED])

    def _current(self) -> _Period:
        now, periods = self._monotonic(), self._periods
        if not periods or now - periods[-1].since >= PERIOD:
            periods.append(_Period(now))
        while now - periods[0].since > WINDOW:
            periods.popleft()
        return periods[-1]


def _cause(end: End, facts: AttemptFacts, subject: str) -> Cause:
    organization = facts.organization_id or ""
    if end.outcome == "dead":
        return f"dead {end.reason}", facts.template or "", organization, ""
    if end.cause is not None:
        return end.reason, end.cause.api or end.cause.source, "", str(end.cause.phase or "")
    if end.outcome == "failed" or end.reason in BY_DESTINATION:
        # By destination, as a failure is: a host that fails is left alone later.
        subject = MAIL_SERVER if facts.channel == "email" else facts.destination_id or subject
    return "failed" if end.outcome == "failed" else end.reason, subject, organization, ""
