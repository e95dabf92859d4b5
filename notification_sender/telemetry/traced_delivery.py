"""The trace of one delivery: the spans that it will have, and when it came into which step.

A delivery has one of these while traces are on. The spans are made of it when the delivery ends
(``telemetry/traces.py``).
"""

from typing import NamedTuple

from notification_sender.model.trace import TraceContext
from notification_sender.ports.broker import Lane
from notification_sender.telemetry.steps import ADMIT, RECORD, RENDER

MAX_MARKS = 64
"""Steps of one delivery that are kept: one that asks again for hours comes into ADMIT all the time."""


class Mark(NamedTuple):
    """It came into this step then (monotonic, s)."""

    step: str
    at: float


class TracedAttempt(NamedTuple):
    """One attempt of a notification."""

    notification: TraceContext
    """The span that all attempts of the notification have as their parent."""
    span: TraceContext
    previous: TraceContext | None
    begun: float
    """Monotonic, s."""
    first_mark: int = 0
    """The place of its first mark."""


class TracedDelivery:
    """``first`` is the step with which it begins, ``now`` monotonic time."""

    __slots__ = ("attempt", "ended", "lane", "marks", "parent", "previous", "span")

    def __init__(self, lane: Lane, parent: TraceContext | None, span: TraceContext, first: Mark) -> None:
        self.lane = lane
        self.parent = parent
        """What the message carried, None where it carried nothing."""
        self.span = span
        self.previous: TraceContext | None = None
        if parent is not None and parent.previous:
            self.link(parent)
        self.marks = [first]
        self.ended = False
        """Its span was made."""
        self.attempt: TracedAttempt | None = None
        """The one that is under way."""
        if lane is Lane.NOTIFICATIONS:
            self.attempt = TracedAttempt(parent or span, span, self.previous, first.at)

    @property
    def active(self) -> TraceContext:
        """The span of what it does now."""
        return self.span if self.attempt is None else self.attempt.span

    def link(self, carried: TraceContext) -> None:
        """The delivery before, or the span by which the message was made, is in the trace that it carried."""
        self.previous = TraceContext(carried.trace_id, carried.previous or carried.span_id, carried.sampled)

    def enter(self, step: str, now: float) -> None:
        """It comes into this step. The first ADMIT of a notification in the slot of its unit begins an attempt."""
        if len(self.marks) < MAX_MARKS or step == RECORD:
            self.marks.append(Mark(step, now))
        if step == ADMIT and self.attempt is None:
            notification = self.span.child()
            self.attempt = TracedAttempt(notification, notification.child(), None, now, len(self.marks) - 1)

    def end_attempt(self) -> None:
        """The spans of its attempt were made: its marks are theirs. A delivery of a notification ends with it."""
        if self.attempt is not None and self.lane is Lane.UNITS:
            del self.marks[self.attempt.first_mark :]
        else:
            self.ended = True
        self.attempt = None

    def beside(self, now: float) -> "TracedDelivery":
        """Of one of several notifications of this unit. It is being rendered."""
        return TracedDelivery(self.lane, self.parent, self.span, Mark(RENDER, now))

    def carried(self) -> TraceContext:
        """What copies of the message carry."""
        return (self.parent or self.span)._replace(previous=self.span.span_id)

    def carried_by_notification(self) -> TraceContext:
        """What a copy of the notification carries whose attempt was made."""
        if self.attempt is None:
            return self.carried()
        return self.attempt.notification._replace(previous=self.attempt.span.span_id)

    def came_into(self, step: str) -> float | None:
        """When it last came into this step."""
        return next((it.at for it in reversed(self.marks) if it.step == step), None)
