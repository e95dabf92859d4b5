"""The spans of a delivery, made of what is known when it ends: pure functions."""

from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple, Protocol

from notification_sender.model.trace import TraceContext
from notification_sender.ports.broker import Lane
from notification_sender.ports.spans import Span, SpanKind, Value
from notification_sender.telemetry.attempt_record import AttemptFacts, AttemptRecord, End
from notification_sender.telemetry.shared_work import SharedWork
from notification_sender.telemetry.span_names import PREFIX, STEP
from notification_sender.telemetry.steps import RECORD, RENDER
from notification_sender.telemetry.traced_delivery import Mark, TracedAttempt, TracedDelivery

FAILURES = frozenset({"failed", "dead"})
"""Outcomes that are errors. A deferral is none: it uses no attempt."""

_FACTS: Mapping[str, str] = {
    "organization_id": "organization.id",
    "work_unit_id": "work_unit.id",
    "notification_id": "notification.id",
    "destination_id": "destination.id",
    "channel": "channel",
    "kind": "kind",
    "event": "event",
}

Attributes = Mapping[str, Value]


MAX_LINKS = 128
"""Links of one span: as many as the SDK keeps by default."""


class TracedCall(NamedTuple):
    """One call of an API: its span, the span of the delivery that asked first, and all who wait for it."""

    context: TraceContext
    parent: TraceContext | None = None
    work: SharedWork | None = None

    def links(self) -> tuple[TraceContext, ...]:
        """The spans of the others who wait, each once."""
        others = {} if self.work is None else dict.fromkeys(self.work.spans())
        return tuple(it for it in others if it != self.parent)[:MAX_LINKS]


class ApiCall(Protocol):
    """A call of an API that has ended; seconds."""

    api: str
    endpoint: str
    result: str
    seconds: float
    phases: dict[str, float]


class Ending(NamedTuple):
    """When a delivery or an attempt ends, and of which queue it is."""

    now: float
    """Epoch time."""
    monotonic: float
    queue: str

    def epoch(self, at: float) -> float:
        """Epoch time of a time on the monotonic clock."""
        return self.now - self.monotonic + at


def delivery_span(it: TracedDelivery, ending: Ending, attributes: Attributes, error: str = "") -> Span:
    """The span of a delivery that ends now. ``error``: why it failed, empty if it did not."""
    return Span(
        name=f"process {ending.queue}",
        kind=SpanKind.CONSUMER,
        context=it.span,
        parent=it.parent,
        start=ending.epoch(it.marks[0].at),
        end=ending.now,
        attributes={**messaging(ending.queue, "process", "process"), **attributes, **_failed(error)},
        links=() if it.previous is None else (it.previous,),
        events=_events(it.marks, ending),
        error=error,
    )


def attempt_spans(
    it: TracedDelivery, attempt: TracedAttempt, ending: Ending, record: AttemptRecord, attributes: Attributes
) -> Iterator[Span]:
    """The spans of an attempt that ends now: of the notification if it is new, of the attempt, and of its send."""
    if it.lane is Lane.UNITS:
        yield _notification_span(it, attempt, ending, facts_of(record.facts))
    if record.facts.send_ms is not None:
        yield _send_span(it, attempt, ending, record, record.facts.send_ms / 1000)
    error = _error(record.end)
    yield Span(
        name=f"attempt {record.facts.channel}",
        kind=SpanKind.CONSUMER,
        context=attempt.span,
        parent=attempt.notification if attempt.notification != attempt.span else None,
        start=ending.epoch(attempt.begun),
        end=ending.now,
        attributes={**messaging(ending.queue, "process", "process"), **attributes, **_failed(error)},
        links=() if attempt.previous is None else (attempt.previous,),
        events=_events(it.marks[attempt.first_mark :], ending),
        error=error,
    )


def facts_of(facts: AttemptFacts) -> dict[str, Value]:
    """The attributes that name what a span is about."""
    values = ((name, getattr(facts, field)) for field, name in _FACTS.items())
    return {PREFIX + name: value for name, value in values if value is not None}


def end_of(record: AttemptRecord, seconds: Mapping[str, float]) -> dict[str, Value]:
    """The attributes of how it ended. ``seconds``: by step."""
    end, attempt = record.end, record.facts.attempt
    known: dict[str, Value] = {"attempt": attempt or 1, "outcome": end.outcome, "reason": end.reason}
    steps: dict[str, Value] = {STEP + step: round(it, 6) for step, it in seconds.items() if it}
    return {PREFIX + name: value for name, value in known.items() if value != ""} | steps


def call_span(trace: TracedCall, now: float, call: ApiCall) -> Span:
    """The span of a call of an API that ends ``now``."""
    method, _, path = call.endpoint.partition(" ")
    known: dict[str, Value] = {"http.request.method": method, "url.template": path, PREFIX + "api": call.api}
    if call.result.isdecimal():
        known["http.response.status_code"] = int(call.result)
    error = "" if call.result.startswith("2") else call.result
    phases: dict[str, Value] = {f"{PREFIX}phase.{name}": round(it, 6) for name, it in call.phases.items()}
    return Span(
        name=call.endpoint,
        kind=SpanKind.CLIENT,
        context=trace.context,
        parent=trace.parent,
        start=now - call.seconds,
        end=now,
        attributes=known | phases | _failed(error),
        links=trace.links(),
        error=error,
    )


def messaging(queue: str, operation: str, kind: str) -> dict[str, Value]:
    """The attributes of a span about a message of ``queue``."""
    return {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.destination.name": queue,
    }


def _notification_span(it: TracedDelivery, attempt: TracedAttempt, ending: Ending, facts: Attributes) -> Span:
    rendering = [mark.at for mark in it.marks[: attempt.first_mark] if mark.step == RENDER]
    return Span(
        name="create notification",
        kind=SpanKind.PRODUCER,
        context=attempt.notification,
        parent=it.span,
        start=ending.epoch(rendering[-1] if rendering else attempt.begun),
        end=ending.epoch(attempt.begun),
        attributes=facts,
    )


def _send_span(
    it: TracedDelivery, attempt: TracedAttempt, ending: Ending, record: AttemptRecord, seconds: float
) -> Span:
    end = ending.epoch(it.came_into(RECORD) or ending.monotonic)
    status, error = record.end.status, _error(record.end)
    answered: dict[str, Value] = {} if status is None else {"http.response.status_code": status}
    return Span(
        name=f"send {record.facts.channel}",
        kind=SpanKind.CLIENT,
        context=attempt.span.child(),
        parent=attempt.span,
        start=end - seconds,
        end=end,
        attributes=(answered if record.facts.channel == "webhook" else {}) | _failed(error),
        error=error,
    )


def _error(end: End) -> str:
    return (str(end.status) if end.status else end.reason) if end.outcome in FAILURES else ""


def _failed(error: str) -> dict[str, Value]:
    return {"error.type": error} if error else {}


def _events(marks: Iterable[Mark], ending: Ending) -> tuple[tuple[str, float], ...]:
    return tuple((mark.step, ending.epoch(mark.at)) for mark in marks)
