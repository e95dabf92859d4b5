"""The report of an attempt: its entry in the history of the notification, and its verdict on the destination."""

from typing import Any, Literal

import orjson

from notification_sender.model.errors import ForbiddenAddress, Gone, Permanent, Rejected, SendFailed, Sent
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


def history_entry(outcome: Outcome, *, attempt: int, at: float, seconds: float) -> str:
    """JSON: when it was made (epoch s), how it ended, after how many ms, and the recipient's answer, redacted.

    The answer of an acceptance is not kept: nobody reads it, and the recipient would decide how much space it takes.
    """
    entry = {"attempt": attempt, "at": round(at, 3), "ms": round(1000 * seconds, 1)}
    entry |= {name: value for name, value in _end(outcome).items() if value}
    return orjson.dumps(entry).decode()


def _end(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Delivered(receipt):
            return {"class": "delivered", "receipt": receipt.text}
        case Failed(_, error):
            return {"class": "failed"} | _fault(error)
        case Dead(reason, detail, error):
            return {"class": reason, "error": detail[:LONGEST_ERROR]} | (_fault(error) if error else {})
        case Deferred():
            return {"class": "deferred", "error": str(outcome.because)}
        case Suppressed():
            return {"class": "suppressed", "error": str(outcome.because)}


def _fault(error: SendFailed | Permanent) -> dict[str, Any]:
    sent = error.sent if isinstance(error, SendFailed) else ""
    return {"error": str(error)[:LONGEST_ERROR], "sent": sent, "answer": error.answer}
