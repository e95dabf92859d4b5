"""One record at the end of every attempt: its log line, its metrics and its event have the same facts."""

from collections.abc import Mapping
from logging import DEBUG
from typing import Any

import structlog

from notification_sender.model.errors import SendFailed
from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed, Outcome, Suppressed
from notification_sender.policy.attempt_report import Verdict
from notification_sender.ports.clock import Clock
from notification_sender.ports.ledger import Transition
from notification_sender.telemetry import log
from notification_sender.telemetry.attempt_record import AttemptFacts, AttemptRecord, End, known_facts, milliseconds
from notification_sender.telemetry.events import CloudEvents
from notification_sender.telemetry.metrics import Metrics
from notification_sender.telemetry.steps import END_TO_END, current
from notification_sender.telemetry.traces import Traces

_NOT_ENDED = frozenset({"deferred", "failed"})


_HELD_BACK = frozenset({"deferred", "failed", "dead"})


class OutcomeReporter:
    """Reports how attempts end. ``events`` None: no events are published; ``traces`` None: no spans are made."""

    def __init__(
        self, metrics: Metrics, *, clock: Clock, events: CloudEvents | None = None, traces: Traces | None = None
    ) -> None:
        self._clock = clock
        self._traces = traces
        self._events = events
        self._unrecorded = metrics.unrecorded
        # Bound once: a look-up of the logger costs a tenth of an event.
        self._log = structlog.get_logger().bind()
        self._outcomes = metrics.outcomes
        self._stages = metrics.stages
        self._organizations = metrics.organizations
        self._held = metrics.held

    def report(self, what: str, outcome: Outcome, facts: AttemptFacts, *, subject: str, first_seen: float) -> None:
        """``what`` is ``unit`` or ``notification``, ``subject`` which one, ``first_seen`` epoch time."""
        now = self._clock.now()
        end, detail = _end(outcome)
        word = end.outcome
        self._outcomes.count(what, word, end.reason)
        slot = current()
        steps, age = slot.elapsed(), now - first_seen
        steps_ms, whole = _milliseconds(steps)
        record = AttemptRecord(facts=facts, end=end, age_ms=round(1000 * age, 1), steps_ms=steps_ms)
        if what == "notification":
            self._organizations.count(facts.organization_id or "", word)
            if word not in _NOT_ENDED:
                # The steps may have begun before a worker saw it: when it was published.
                steps[END_TO_END] = whole if whole > age else age  # noqa: FURB136 - a call for every message
        self._stages.observe_all(steps)
        if word in _HELD_BACK:
            subject_of = outcome.subject if isinstance(outcome, Deferred) else ""
            self._held.record(end, facts, subject=subject_of, first_seen=first_seen)
        known = record.known()
        if self._events is not None and word != "deferred":
            self._events.publish(what, subject, record, known, now)
        if self._traces is not None and slot.trace is not None:
            detail["trace_id"] = slot.trace.span.trace_id
            steps.pop(END_TO_END, None)
            self._traces.ended(what, slot.trace, record, steps)
        known |= detail
        self._log_event(f"{what}.{word}", known, warn=word in {"dead", "failed"})

    def destination_changed(self, transition: Transition, verdict: Verdict, facts: AttemptFacts) -> None:
        """An attempt has disabled its destination, or is the first accepted after that. ``facts``: of the attempt."""
        record = AttemptRecord(facts=facts, end=End(outcome=transition, reason=verdict))
        known = record.known()
        if self._events is not None:
            self._events.publish("destination", str(facts.destination_id), record, known, self._clock.now())
        self._log_event(f"destination.{transition}", known, warn=True)

    def done(self, what: str, facts: AttemptFacts, notifications: int) -> None:
        """Every notification of a unit has ended or is parked, and each has been reported by itself."""
        self._outcomes.count(what, "done", "")
        if self._traces is not None and (trace := current().trace) is not None:
            self._traces.done(trace, facts)
        if not self._log.is_enabled_for(DEBUG):
            return
        known = known_facts(facts)
        self._log.debug(f"{what}.done", notifications=notifications, unit_event=known.pop("event", None), **known)

    def unrecorded(self) -> None:
        """The recipient accepted it, and the ledger did not record that: another worker could send it again."""
        self._unrecorded.inc()

    def _log_event(self, name: str, record: dict[str, Any], *, warn: bool) -> None:
        if "event" in record:  # in a log line that is what the line is about
            record["unit_event"] = record.pop("event")
        log.write("warning" if warn else "info", name, record)


def _milliseconds(steps: Mapping[str, float]) -> tuple[dict[str, float], float]:
    """The steps in ms, to a hundredth, and the sum of their seconds. Without a call of a function for each."""
    rounded, whole = {}, 0.0
    for step in steps:
        seconds = steps[step]
        whole += seconds
        if seconds:
            rounded[step] = (seconds + 5e-6) // 1e-5 / 100
    return rounded, whole


def _end(outcome: Outcome) -> tuple[End, dict[str, str]]:
    """The end for log and events, and the fields for the log alone: those may repeat texts of others."""
    match outcome:
        case Delivered(receipt):
            return End(outcome="delivered", reason="", status=receipt.status), {"receipt": receipt.text[:80]}
        case Suppressed(reason):
            return End(outcome="suppressed", reason=reason, because=str(outcome.because)), {}
        case Deferred(delay, reason):
            end = End(
                outcome="deferred",
                reason=reason,
                because=str(outcome.because),
                cause=outcome.cause,
                delay_ms=milliseconds(delay),
            )
            return end, {"error": outcome.detail} if outcome.detail else {}
        case Failed(delay, error):
            sent, wait = error.sent, milliseconds(delay)
            end = End(outcome="failed", reason=f"sent_{sent}", sent=sent, status=error.status, delay_ms=wait)
            return end, {"error": str(error)}
        case Dead(reason, detail, error):
            end = End(
                outcome="dead",
                reason=reason,
                because=str(outcome.because) if outcome.because else None,
                cause=outcome.cause,
                sent=error.sent if isinstance(error, SendFailed) else None,
                status=error.status if error else None,
            )
            return end, {"detail": detail}
