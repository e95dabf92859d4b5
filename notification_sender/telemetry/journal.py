"""One wide record at the end of every attempt: its log line, its metrics and its event are made of the same facts."""

from collections.abc import Mapping
from functools import cache
from typing import Any

import structlog

from notification_sender.model.errors import SendFailed
from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed, Outcome, Suppressed
from notification_sender.policy.story import Verdict
from notification_sender.ports import Clock, Turn
from notification_sender.telemetry.events import CloudEvents
from notification_sender.telemetry.metrics import Metrics

Facts = Mapping[str, object]
"""Ids, figures, and where things came from: no secrets, no addresses, no content, no words of a recipient."""


class Journal:
    """Steps add facts to one record instead of logging each for itself. ``events`` None: there are none."""

    def __init__(self, metrics: Metrics, *, clock: Clock, events: CloudEvents | None = None) -> None:
        self._clock = clock
        self._events = events
        self._unrecorded = metrics.unrecorded
        # Bound once: a logger that is looked up for each event costs a tenth of the event.
        self._log = structlog.get_logger().bind()
        # Looking a series up by its labels costs more than counting on it, and there are few of them.
        self._outcome = cache(metrics.outcomes.labels)
        self._stage = cache(metrics.stages.labels)

    def ended(self, what: str, outcome: Outcome, facts: Facts, *, subject: str, first_seen: float) -> None:
        """``what`` is ``unit`` or ``notification``, ``subject`` which one, ``first_seen`` epoch time."""
        now = self._clock.now()
        said, detail = _words(outcome)
        word, reason = said["outcome"], said["reason"]
        self._outcome(what, word, reason).inc()
        record = {**facts, **said, **timings(age=now - first_seen)}
        if self._events is not None and word != "deferred":
            self._events.tell(what, subject, record, now)
        self._say(f"{what}.{word}", {**record, **detail}, warn=word in {"dead", "failed"})

    def turned(self, turn: Turn, verdict: Verdict, facts: Facts) -> None:
        """An attempt has switched its destination off, or is the first accepted after that; ``facts`` are its own."""
        record = {**facts, "outcome": turn, "reason": verdict}
        if self._events is not None:
            self._events.tell("destination", str(facts["destination_id"]), record, self._clock.now())
        self._say(f"destination.{turn}", record, warn=True)

    def done(self, what: str, facts: Facts, notifications: int) -> None:
        """A unit whose notifications are all over or parked: each of them has said how it ended."""
        self._outcome(what, "done", "").inc()
        self._log.debug(f"{what}.done", notifications=notifications, **_logged({**facts}))

    def unrecorded(self) -> None:
        """Accepted by the recipient, and the ledger could not be told: a redelivery elsewhere would send it again."""
        self._unrecorded.inc()

    def took(self, stage: str, seconds: float) -> None:
        """Wall time of one stage."""
        self._stage(stage).observe(seconds)

    def _say(self, name: str, record: dict[str, Any], *, warn: bool) -> None:
        (self._log.warning if warn else self._log.info)(name, **_logged(record))


def timings(**seconds: float | None) -> dict[str, float]:
    """Facts in ms, without those that nobody knows."""
    return {f"{name}_ms": round(1000 * it, 1) for name, it in seconds.items() if it is not None}


def _logged(record: dict[str, Any]) -> dict[str, Any]:
    """In a log line ``event`` is what the line is about."""
    if "event" in record:
        record["unit_event"] = record.pop("event")
    return record


def _words(outcome: Outcome) -> tuple[dict[str, Any], dict[str, Any]]:
    """What everybody may know of an outcome, and what is for the log alone: texts that are not ours from end to end."""
    match outcome:
        case Delivered(receipt):
            return _said("delivered", "", status=receipt.status), {"receipt": receipt.text[:80]}
        case Suppressed(reason):
            return _said("suppressed", reason.partition(":")[0], because=reason), {}
        case Deferred(delay, reason):
            return _said("deferred", reason.partition(":")[0], **timings(delay=delay)), {"because": reason}
        case Failed(delay, error):
            said = _said("failed", f"sent_{error.sent}", sent=error.sent, status=error.status, **timings(delay=delay))
            return said, {"error": str(error)}
        case Dead(reason, detail, error):
            sent = error.sent if isinstance(error, SendFailed) else None
            return _said("dead", reason, sent=sent, status=error and error.status), {"detail": detail}


def _said(outcome: str, reason: str, **more: Any) -> dict[str, Any]:
    return {"outcome": outcome, "reason": reason} | {name: value for name, value in more.items() if value is not None}
