"""Spans of deliveries, attempts and API calls. Each is made when its work ends, of the record that is made anyway."""

from collections.abc import Mapping

from notification_sender.model.trace import TraceContext, new_trace
from notification_sender.ports.broker import Envelope, Lane
from notification_sender.ports.clock import Clock
from notification_sender.ports.spans import Span, SpanKind, Spans, Value
from notification_sender.telemetry.attempt_record import AttemptFacts, AttemptRecord
from notification_sender.telemetry.delivery_spans import (
    ApiCall,
    Ending,
    TracedCall,
    attempt_spans,
    call_span,
    delivery_span,
    end_of,
    facts_of,
    messaging,
)
from notification_sender.telemetry.shared_work import shared_work
from notification_sender.telemetry.span_names import PREFIX
from notification_sender.telemetry.steps import current
from notification_sender.telemetry.traced_delivery import Mark, TracedDelivery

MAX_PARENT_AGE = 86_400.0
"""Seconds since a message was first seen after which its deliveries begin new traces, which link to the old one: most
backends do not show longer traces."""


def untraced() -> TracedCall:
    """A call where traces are off. The API gets a trace of its own, so that its log can be found by it."""
    return TracedCall(new_trace())


class Traces:
    """Makes the spans of one process. ``queues``: names by lane."""

    def __init__(self, spans: Spans, *, clock: Clock, queues: Mapping[Lane, str]) -> None:
        self._spans = spans
        self._clock = clock
        self._queues = queues

    def begin(self, envelope: Envelope, step: str, now: float) -> TracedDelivery:
        """A delivery gets its slot, and is in ``step``. ``now``: monotonic."""
        lane, state = envelope.lane, envelope.state
        parent, first, name = state.trace, Mark(step, now), f"process {self._queues[lane]}"
        if parent is None or self._clock.now() - state.first_seen <= MAX_PARENT_AGE:
            return TracedDelivery(lane, parent, self._next(parent, name), first)
        delivery = TracedDelivery(lane, None, self._next(None, name), first)
        delivery.link(parent)
        return delivery

    def ended(self, what: str, delivery: TracedDelivery, record: AttemptRecord, seconds: Mapping[str, float]) -> None:
        """An attempt of a ``notification`` or a ``unit`` ended with this record. ``seconds``: by step."""
        attributes, attempt = facts_of(record.facts) | end_of(record, seconds), delivery.attempt
        if what == "notification" and attempt is not None:
            for span in attempt_spans(delivery, attempt, self._ending(delivery), record, attributes):
                self._export(span)
            delivery.end_attempt()
        else:
            self._end(delivery, attributes, record.end.reason if record.end.outcome == "dead" else "")

    def done(self, delivery: TracedDelivery, facts: AttemptFacts) -> None:
        """Every notification of a unit has ended or is parked."""
        self._end(delivery, {**facts_of(facts), PREFIX + "outcome": "done"})

    def broke_off(self, delivery: TracedDelivery, why: str) -> None:
        """A delivery ended without a record."""
        self._end(delivery, {}, why)

    def begin_call(self) -> TracedCall:
        """An API is called, for the delivery in hand or for none."""
        trace = current().trace
        if trace is None:
            return TracedCall(self._next(None, "call"))
        return TracedCall(trace.active.child(), trace.active, shared_work())

    def called(self, call: ApiCall, trace: TracedCall) -> None:
        """An API call ended just now."""
        self._export(call_span(trace, self._clock.now(), call))

    def publish(self, parent: TraceContext | None) -> TraceContext:
        """A work unit is about to be published."""
        return self._next(parent, f"publish {self._queues[Lane.UNITS]}")

    def published(self, context: TraceContext, parent: TraceContext | None, start: float) -> None:
        """The broker has confirmed a work unit. ``start``: epoch time."""
        queue = self._queues[Lane.UNITS]
        self._export(
            Span(
                name=f"publish {queue}",
                kind=SpanKind.PRODUCER,
                context=context,
                parent=parent,
                start=start,
                end=self._clock.now(),
                attributes=messaging(queue, "publish", "send"),
            )
        )

    async def close(self) -> None:
        """Export what is left, for a short time at most."""
        await self._spans.close()

    def _end(self, delivery: TracedDelivery, attributes: Mapping[str, Value], error: str = "") -> None:
        if not delivery.ended:
            delivery.ended = True
            self._export(delivery_span(delivery, self._ending(delivery), attributes, error))

    def _next(self, parent: TraceContext | None, name: str) -> TraceContext:
        context = new_trace() if parent is None else parent.child()
        return context._replace(sampled=self._spans.is_sampled(context.trace_id, parent, name))

    def _ending(self, delivery: TracedDelivery) -> Ending:
        return Ending(self._clock.now(), self._clock.monotonic(), self._queues[delivery.lane])

    def _export(self, span: Span) -> None:
        if span.context.sampled:
            self._spans.export(span)
