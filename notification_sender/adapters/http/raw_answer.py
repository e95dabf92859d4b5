"""Reads the status, the headers and the available body of an answer that the parser refuses.

The status tells the request's outcome, however odd the rest is. Nothing here is used for framing: the connection is
closed after such an answer.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

MAX_HEAD_BYTES = 64 * 1024
"""Bytes of a head, with the interim heads before it, that are kept. Other clients accept less."""

MAX_HEADERS = 512
"""Headers of an answer at most."""

MAX_HEADS = 16
"""Heads of an answer that are read; the last has a status of 200 or more. Without a limit, a recipient could send
interim heads at full speed until the deadline."""

_OK, _SWITCHING_PROTOCOLS = 200, 101
"""Plain numbers: each look-up of a member of an enumeration is a call, and every answer is asked."""

_STATUS = re.compile(rb"[\r\n]*HTTP/[0-9]{1,2}(?:\.[0-9]{1,2})?[ \t]+([1-9][0-9]{2})(?=[ \t\r\n])", re.IGNORECASE)
"""A byte must follow the third digit: the status is incomplete before."""

_PART = re.compile(rb"[\r\n]*(?:H(?:T(?:T(?:P(?:/[0-9.]{0,5}(?:[ \t]+[0-9]{0,3})?)?)?)?)?)?", re.IGNORECASE)
_END = re.compile(rb"\r?\n\r?\n")
_LINE_END = re.compile(rb"[\r\n]+")
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")

_Match = re.Match[bytes] | None


@dataclass(frozen=True, slots=True)
class RawAnswer:
    """``headers``: the lines that parse as headers. ``body``: the bytes so far, with their chunk framing if any."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes


def raw_answer(data: bytes) -> RawAnswer | None:
    """The first answer that is not interim. None: it has no status line yet."""
    for _, line, end in _heads(data):
        if line is not None and is_final(int(line[1])):
            fields = _fields(_lines(data, line.end(1), end))
            return RawAnswer(int(line[1]), fields, data[end.end() :] if end else b"")
    return None


def may_be_heard(data: bytes) -> bool:
    """Whether ``data``, which has no status yet, may still get one when more bytes arrive."""
    *_, (start, line, end) = _heads(data)
    return end is None if line is not None else _PART.fullmatch(data, start) is not None


def is_final(status: int) -> bool:
    """Whether no other status follows. After 101 the connection no longer carries HTTP."""
    return status >= _OK or status == _SWITCHING_PROTOCOLS


def _heads(data: bytes) -> Iterator[tuple[int, _Match, _Match]]:
    """For each head up to the final one: its start, its status line and its end. The last may lack both."""
    start = 0
    for _ in range(MAX_HEADS):
        line = _STATUS.match(data, start)
        end = _END.search(data, line.end(1)) if line else None
        yield start, line, end
        if line is None or end is None or is_final(int(line[1])):
            return
        start = end.end()


def _lines(data: bytes, start: int, end: _Match) -> bytes:
    """The complete lines: the last line may hold half a value."""
    return data[start : end.start() if end else max(start, data.rfind(b"\n"))]


def _fields(lines: bytes) -> list[tuple[bytes, bytes]]:
    _, *fields = _LINE_END.split(lines, maxsplit=MAX_HEADERS + 1)
    parts = (field.partition(b":") for field in fields[:MAX_HEADERS])
    return [(name, value.strip()) for name, colon, value in parts if colon and _NAME.fullmatch(name)]
