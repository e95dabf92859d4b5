"""The report of an attempt: its entry in the story of the notification, and its verdict on the destination."""

from typing import Any, Literal

import orjson

from notification_sender.model.destination import SHORT_HASH, recipient_hash
from notification_sender.model.errors import ForbiddenAddress, Gone, Permanent, Rejected, SendFailed, Sent
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed, Outcome, Suppressed

Verdict = Literal["accepted", "failed", "gone", "neither"]
"""``gone``: the destination wants no more. ``neither``: the fault was ours."""

LONGEST_HOLD = 3600.0
"""Seconds for which a destination may hold back all its notifications at most. One answer may ask for a day; only its
own notification waits that long."""

LONGEST_ERROR = 500


def verdict(outcome: Outcome) -> Verdict:
    """The verdict of an attempt with this outcome."""
    match outcome:
        case Delivered():
            return "accepted"
        case Dead(error=Gone()):
            return "gone"
        case Failed(error=SendFailed() as error) | Dead(error=SendFailed() as error):
            ours = error.between or (error.sent is Sent.NOTHING and not error.ill)
            return "neither" if ours else "failed"
        case Dead(error=Rejected() | ForbiddenAddress()):
            return "failed"
    return "neither"


def retry_hold(outcome: Outcome) -> float:
    """Seconds for which its destination wants no notification at all."""
    match outcome:
        case Failed(error=error) | Dead(error=SendFailed() as error):
            return min(error.retry_after or 0.0, LONGEST_HOLD)
    return 0.0


def origin(notification: Notification) -> dict[str, Any]:
    """The facts that the first attempt tells: which unit it is of, where it goes, and of what it was made.

    ``sources``: how the worker got each fact, and its age. Facts that came with others are left out.
    """
    to = notification.destination.extra.get("to")
    # By which ``erase`` finds the stories of a recipient.
    named = {"recipient": recipient_hash(to)[:SHORT_HASH]} if isinstance(to, str) else {}
    return named | {
        "work_unit_id": notification.work_unit_id,
        "destination_id": notification.destination.destination_id,
        "template_version": notification.template_version,
        "sources": {
            name: f"{it.how} {it.age:.0f}s" if it.age >= 1.0 else it.how
            for name, it in notification.sources.items()
            if it.how != "given"
        },
    }


def history_entry(
    outcome: Outcome, *, attempt: int, at: float, seconds: float, facts: dict[str, Any] | None = None
) -> str:
    """JSON: when it was made (epoch s), how it ended, after how many ms, and the recipient's answer, redacted.

    The answer of an acceptance is not kept: nobody reads it, and the recipient would decide how much space it takes.
    """
    entry: dict[str, Any] = {"step": "send"}
    entry |= {name: value for name, value in _end(outcome).items() if value}
    entry |= {"attempt": attempt, "at": round(at, 3), "ms": round(1000 * seconds, 1)}
    return orjson.dumps(entry | (facts or {})).decode()


def end_entry(outcome: Outcome, *, step: str, attempt: int, facts: dict[str, str | None]) -> str:
    """JSON: what ended or waits without an attempt, at which step, and why."""
    entry = {"step": step} | _end(outcome) | {"attempt": attempt} | facts
    return orjson.dumps({name: value for name, value in entry.items() if value}).decode()


def _end(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Delivered(receipt):
            return {"outcome": "delivered", "receipt": receipt.text}
        case Failed(_, error):
            return {"outcome": "failed", "reason": f"sent_{error.sent}"} | _fault(error)
        case Dead(reason, detail, error):
            return {"outcome": "dead", "reason": reason, "error": detail[:LONGEST_ERROR]} | (
                _fault(error) if error else {}
            )
        case Deferred():
            return {"outcome": "deferred", "reason": outcome.reason} | _because(outcome)
        case Suppressed():
            return {"outcome": "suppressed", "reason": outcome.reason} | _because(outcome)


def _because(outcome: Deferred | Suppressed) -> dict[str, str]:
    """The reason with its subject, where it has one."""
    because = str(outcome.because)
    return {} if because == outcome.reason else {"because": because[:LONGEST_ERROR]}


def _fault(error: SendFailed | Permanent) -> dict[str, Any]:
    return {"error": str(error)[:LONGEST_ERROR], "answer": error.answer}
