"""What an attempt leaves behind: its line in the story of the notification, and what it says of the destination."""

from typing import Any, Literal

import orjson

from notification_sender.model.errors import ForbiddenAddress, Gone, Permanent, Rejected, SendFailed, Sent
from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed, Outcome, Suppressed

Verdict = Literal["accepted", "failed", "gone", "neither"]
"""``gone``: the destination wants no more. ``neither``: the trouble was ours."""

LONGEST_HOLD = 3600.0
"""Seconds: the longest that a destination may keep us off altogether. One answer may ask for a day; the others wait
their own time."""

LONGEST_ERROR = 500


def verdict(outcome: Outcome) -> Verdict:
    """What an attempt that ended so says of its destination."""
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


def hold(outcome: Outcome) -> float:
    """Seconds for which its destination wants nothing at all."""
    match outcome:
        case Failed(error=error) | Dead(error=SendFailed() as error):
            return min(error.retry_after or 0.0, LONGEST_HOLD)
    return 0.0


def line(outcome: Outcome, *, attempt: int, at: float, seconds: float) -> str:
    """JSON: when it was made (epoch s), how it ended, after how many ms, and the recipient's own words, redacted."""
    told = {"attempt": attempt, "at": round(at, 3), "ms": round(1000 * seconds, 1)}
    return orjson.dumps(told | {name: value for name, value in _end(outcome).items() if value}).decode()


def _end(outcome: Outcome) -> dict[str, Any]:
    match outcome:
        case Delivered(receipt):
            return {"class": "delivered", "receipt": receipt.text, "answer": receipt.answer}
        case Failed(_, error):
            return {"class": "failed"} | _fault(error)
        case Dead(reason, detail, error):
            return {"class": reason, "error": detail[:LONGEST_ERROR]} | (_fault(error) if error else {})
        case Deferred(_, reason):
            return {"class": "deferred", "error": reason}
        case Suppressed(reason):
            return {"class": "suppressed", "error": reason}


def _fault(error: SendFailed | Permanent) -> dict[str, Any]:
    sent = error.sent if isinstance(error, SendFailed) else ""
    return {"error": str(error)[:LONGEST_ERROR], "sent": sent, "answer": error.answer}
