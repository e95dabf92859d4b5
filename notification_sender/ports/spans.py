"""Where spans go."""

from collections.abc import Mapping
from enum import StrEnum
from typing import Protocol

from notification_sender.model.records import dataclass
from notification_sender.model.trace import TraceContext

Value = str | int | float | bool


class SpanKind(StrEnum):
    """What a span does for the trace."""

    CLIENT = "client"
    CONSUMER = "consumer"
    PRODUCER = "producer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A span that ended. Times are epoch seconds."""

    name: str
    kind: SpanKind
    context: TraceContext
    parent: TraceContext | None = None
    start: float
    end: float
    attributes: Mapping[str, Value]
    links: tuple[TraceContext, ...] = ()
    events: tuple[tuple[str, float], ...] = ()
    error: str = ""
    """Why it failed; empty: it did not."""


class Spans(Protocol):
    """Where spans go. Nothing waits for it: spans that cannot be exported in time are dropped."""

    def is_sampled(self, trace_id: str, parent: TraceContext | None, name: str) -> bool:
        """Whether a span with this name belongs to a trace that is exported."""

    def export(self, span: Span) -> None:
        """Export it later, in the background."""

    async def close(self) -> None:
        """Export what is left, for a short time at most."""
