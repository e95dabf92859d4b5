"""What becomes of a unit when our own platform is unwell: later, for as long as it is worth telling."""

from dataclasses import dataclass

from notification_sender.model.outcome import Dead, Deferred
from notification_sender.policy.retry import backoff

SUBJECT_TRIES = 3
"""A 404 of the subject may only be replication lag: so often it is asked for, then it is dead."""

SUBJECT_DELAYS = (1.0, 3.0)
"""Seconds before the second and the third try."""


@dataclass(frozen=True, slots=True)
class Deferral:
    """``max_age``: seconds since the message was first seen."""

    max_age: float

    def unavailable(
        self, cause: str, *, attempt: int, age: float, expires_in: float | None, dice: float
    ) -> Deferred | Dead:
        """Full jitter under a cap that doubles, until the unit expires or is too old. ``expires_in`` in seconds."""
        left = min(self.max_age - age, self.max_age if expires_in is None else expires_in)
        if left <= 0:
            return Dead("context_unavailable", f"given up after {attempt} tries in {age:.0f} s; the last: {cause}")
        return Deferred(min(backoff(attempt, dice), left), "context_unavailable")

    def not_found(self, cause: str, *, misses: int) -> Deferred | Dead:
        """``misses``: how often the subject was not there before this time."""
        if misses + 1 >= SUBJECT_TRIES:
            return Dead("subject_not_found", f"{cause}, {misses + 1} times")
        return Deferred(SUBJECT_DELAYS[misses], "subject_not_found")
