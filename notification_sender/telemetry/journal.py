"""One wide event at the end of every attempt; the metrics derive from the same record."""

from collections.abc import Mapping
from functools import cache

import structlog

from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed, Outcome, Suppressed
from notification_sender.telemetry.metrics import Metrics


class Journal:
    """Steps add facts to one event instead of logging each for itself. ``facts`` are ids: no secrets, no content."""

    def __init__(self, metrics: Metrics) -> None:
        self._unrecorded = metrics.unrecorded
        # Bound once: a logger that is looked up for each event costs a tenth of the event.
        self._log = structlog.get_logger().bind()
        # Looking a series up by its labels costs more than counting on it, and there are few of them.
        self._outcome = cache(metrics.outcomes.labels)
        self._stage = cache(metrics.stages.labels)

    def ended(self, what: str, outcome: Outcome, facts: Mapping[str, object]) -> None:
        """``what`` is ``unit`` or ``notification``."""
        word, reason, detail = _words(outcome)
        self._outcome(what, word, reason).inc()
        speak = self._log.warning if word in {"dead", "failed"} else self._log.info
        speak(f"{what}.{word}", reason=reason, **detail, **facts)

    def done(self, what: str, facts: Mapping[str, object], notifications: int) -> None:
        """A unit whose notifications are all over or parked: each of them has said how it ended."""
        self._outcome(what, "done", "").inc()
        self._log.debug(f"{what}.done", notifications=notifications, **facts)

    def turned(self, turn: str, facts: Mapping[str, object]) -> None:
        """An attempt has switched its destination off (``disabled``), or is the first accepted after that."""
        self._log.warning(f"destination.{turn}", **facts)

    def unrecorded(self) -> None:
        """Accepted by the recipient, and the ledger could not be told: a redelivery elsewhere would send it again."""
        self._unrecorded.inc()

    def took(self, stage: str, seconds: float) -> None:
        """Wall time of one stage."""
        self._stage(stage).observe(seconds)


def _words(outcome: Outcome) -> tuple[str, str, dict[str, object]]:
    match outcome:
        case Delivered(receipt):
            return "delivered", "", {"receipt": receipt.text[:80]}
        case Suppressed(reason):
            return "suppressed", reason.partition(":")[0], {"because": reason}
        case Deferred(delay, reason):
            return "deferred", reason.partition(":")[0], {"delay": round(delay, 3), "because": reason}
        case Failed(delay, error):
            return "failed", f"sent_{error.sent}", {"delay": round(delay, 3), "error": str(error)}
        case Dead(reason, detail):
            return "dead", reason, {"detail": detail}
