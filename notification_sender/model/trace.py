"""Trace contexts: which trace something belongs to, and as which span (W3C Trace Context, level 1)."""

import re
import secrets
from typing import NamedTuple

_FORM = re.compile(r"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SPAN = re.compile(r"(?!0{16})[0-9a-f]{16}")
_SAMPLED = 1


class TraceContext(NamedTuple):
    """A span of a trace."""

    trace_id: str
    span_id: str
    sampled: bool = True
    """Whether the spans of this trace are exported."""
    previous: str = ""
    """Of a parked copy: the span of the delivery before, in the same trace."""

    @property
    def traceparent(self) -> str:
        """As the header has it."""
        return f"00-{self.trace_id}-{self.span_id}-{'01' if self.sampled else '00'}"

    def child(self) -> "TraceContext":
        """A new span of the same trace."""
        return TraceContext(self.trace_id, secrets.token_hex(8), self.sampled)


def new_trace() -> TraceContext:
    """The first span of a new trace."""
    return TraceContext(secrets.token_hex(16), secrets.token_hex(8))


def parse_traceparent(value: object, previous: object = "") -> TraceContext | None:
    """The context of a ``traceparent``, None where it is invalid: its message then begins a new trace."""
    match = _FORM.fullmatch(value) if isinstance(value, str) else None
    if match is None or (match[1] == "00" and match[5]):
        return None
    known = isinstance(previous, str) and _SPAN.fullmatch(previous)
    return TraceContext(match[2], match[3], bool(int(match[4], 16) & _SAMPLED), str(previous) if known else "")
