"""The record of an attempt that ended. Its log line, its metrics and its event are made of it.

It holds ids, figures and the origin of facts: no secrets, no addresses, no content, no text of a recipient. Its fields
are those of docs/reference/event.schema.json; a test compares the two. None: it does not apply, or it is unknown.
"""

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from notification_sender.model.cause import Cause
from notification_sender.model.errors import Sent
from notification_sender.model.notification import Provenance
from notification_sender.model.records import dataclass

Outcome = Literal["delivered", "failed", "dead", "suppressed", "deferred", "disabled", "recovered"]
"""The last two are of a destination. A deferral is logged, and is no event."""


# The parts are named tuples: a frozen dataclass of 16 fields takes 3 µs to make, and one is made for every attempt.
class AttemptFacts(NamedTuple):
    """The subject of the attempt, and the origin of its content."""

    organization_id: str | None = None
    work_unit_id: str | None = None
    notification_id: str | None = None
    destination_id: str | None = None
    channel: str | None = None
    kind: str | None = None
    event: str | None = None
    replays: int | None = None
    attempt: int | None = None
    try_: int | None = None
    """``try`` in an event: as ``attempt``, but counted on where a dead letter was moved back."""
    template: str | None = None
    template_version: str | None = None
    sources: Mapping[str, Provenance] | None = None
    degraded: tuple[str, ...] | None = None
    compose_ms: float | None = None
    send_ms: float | None = None


class End(NamedTuple):
    """How the attempt ended."""

    outcome: Outcome
    reason: str
    because: str | None = None
    cause: Cause | None = None
    sent: Sent | None = None
    status: int | None = None
    delay_ms: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptRecord:
    """An attempt that ended."""

    facts: AttemptFacts
    end: End
    age_ms: float | None = None
    """Since the work unit was first seen."""
    steps_ms: Mapping[str, float] | None = None
    """By step: of this attempt, and of the waits since the last record."""

    def known(self) -> dict[str, Any]:
        """The fields that are known, flat, by their names in log and event."""
        values = zip(_NAMES, (*self.facts, *self.end), strict=True)
        known: dict[str, Any] = {name: value for name, value in values if value is not None}
        if self.end.cause is not None:
            known["cause"] = self.end.cause.known()
        if self.age_ms is not None:
            known["age_ms"] = self.age_ms
        if self.steps_ms:
            known["steps_ms"] = self.steps_ms
        return known


_NAMES = tuple("try" if it == "try_" else it for it in (*AttemptFacts._fields, *End._fields))


def known_facts(facts: AttemptFacts) -> dict[str, Any]:
    """As ``AttemptRecord.known``, where there is no end to report."""
    return {name: value for name, value in zip(_NAMES, facts, strict=False) if value is not None}


def milliseconds(seconds: float | None) -> float | None:
    """Rounded to a tenth."""
    return None if seconds is None else round(1000 * seconds, 1)
