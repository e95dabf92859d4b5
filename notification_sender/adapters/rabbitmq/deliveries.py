"""Reads a usual delivery out of the bytes of a connection at once: its method, its header and its body.

Anything unusual is left to the library, which reads frame by frame: a body in several frames, frames of another channel
between, a broker that breaks the protocol.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from struct import Struct, error
from typing import Any

from aiormq.abc import AbstractChannel, DeliveredMessage
from pamqp.commands import Basic

from notification_sender.adapters.rabbitmq.frames import MAX_SECONDS, MAX_VALUES, Header, header

FRAME = Struct(">BHI")
"""Stands before the payload of a frame (AMQP 0-9-1, 2.3.5): its type, channel and size. One byte ends the frame."""

FRAME_END = 0xCE

AROUND = FRAME.size + 1
"""Bytes of a frame around its payload."""

DELIVER = b"\x00\x3c\x00\x3c"
"""Class 60, method 60."""

_METHOD, _HEADER, _BODY = 1, 2, 3
_CONTENT = Struct(">HHQH")
"""The begin of a content header: class, weight, size of the body, flags of the properties."""

_TAG = Struct(">Q")
_SIZE = Struct(">I")
_MAX_BODY = 128 * 1024
"""Bytes of a body: a larger one comes in several frames, as RabbitMQ agrees on frames of 128 KiB."""

_MAX_TABLE = 3 * MAX_VALUES
"""Bytes of a table that cannot hold too many values: each has a name, a type and a byte at least."""

_STRING, _BOOLEAN = b"St"
_NUMBERS = {
    ord(kind): Struct(f">{form}")
    for kind, form in {"b": "b", "B": "B", "s": "h", "u": "H", "I": "i", "i": "I", "l": "q", "L": "q"}.items()
}


@dataclass(slots=True, eq=False)
class Delivery:
    """One delivery of one message."""

    channel: AbstractChannel
    delivery_tag: int
    routing_key: str
    headers: Mapping[str, Any] | None
    body: bytes
    fault: str = ""
    """Why the properties cannot be read; then there are no headers."""
    published: float = 0.0
    """Epoch time by the property ``timestamp``, which has whole seconds; 0 where there is none."""
    consumer: Any = None
    """The one of ``subscription`` that took it; it counts what is in hand."""

    @classmethod
    def of(cls, message: DeliveredMessage) -> "Delivery":
        """The same from a delivery that the library has read."""
        read = message.header
        fault = read.fault if isinstance(read, Header) else ""
        key, said = message.routing_key or "", read.properties.timestamp
        published = said.timestamp() if said else 0.0
        headers = read.properties.headers
        return cls(message.channel, message.delivery_tag or 0, key, headers, message.body, fault, published)


Take = Callable[[Delivery], None]


def end_of_frame(data: bytes | bytearray, at: int) -> int:
    """Where the frame that starts at ``at`` ends; 0 if not all of it is in ``data``."""
    if len(data) < at + AROUND:
        return 0
    end = at + AROUND + int.from_bytes(data[at + 3 : at + 7])
    return end if len(data) >= end else 0


def parts(data: bytearray, at: int, first_end: int) -> tuple[int, int] | None:
    """Where the header and the body of the delivery at ``at`` end, whose method ends at ``first_end``.

    An end is 0 where more bytes are needed. None: it is not a usual delivery. The last byte of no frame is read.
    """
    if not _continues(data, at, first_end, _HEADER):
        return None
    end = end_of_frame(data, first_end)
    if not end:
        return 0, 0
    if end - first_end < AROUND + _CONTENT.size:
        return None
    size = _CONTENT.unpack_from(data, first_end + FRAME.size)[2]
    if not size:
        return end, end
    if size > _MAX_BODY or not _continues(data, at, end, _BODY):
        return None
    if len(data) >= end + FRAME.size and _SIZE.unpack_from(data, end + 3)[0] != size:
        return None
    return end, end_of_frame(data, end)


def _continues(data: bytearray, at: int, start: int, kind: int) -> bool:
    """Whether a frame of this ``kind`` starts at ``start``, of the channel of the frame at ``at``, or nothing yet."""
    return len(data) < start + 3 or (data[start] == kind and data[start + 1 : start + 3] == data[at + 1 : at + 3])


def delivery(
    data: bytes, ends: tuple[int, int], channel: AbstractChannel, takers: Mapping[bytes, Take]
) -> tuple[Take, Delivery] | None:
    """The delivery in ``data`` and who takes it. ``ends``: of the frames of its method and its header.

    None: nobody of ``takers`` has its consumer tag, or it is not what it seems.
    """
    method_end, header_end = ends
    if not data[method_end - 1] == data[header_end - 1] == data[-1] == FRAME_END:
        return None
    start = FRAME.size + len(DELIVER) + 1
    try:
        number = start + data[start - 1]
        exchange = number + _TAG.size + 1
        key = exchange + 1 + data[exchange] + 1
        if key + data[key - 1] != method_end - 1 or (take := takers.get(data[start:number])) is None:
            return None
    except IndexError:
        return None
    headers, fault, published = _headers(data, method_end + FRAME.size, header_end - 1)
    body = data[header_end + FRAME.size : -1] if header_end < len(data) else b""
    routing_key = str(data[key : method_end - 1], "utf-8", "replace")
    return take, Delivery(channel, _TAG.unpack_from(data, number)[0], routing_key, headers, body, fault, published)


def _headers(data: bytes, start: int, end: int) -> tuple[Mapping[str, Any] | None, str, float]:
    """The headers among the properties in ``data[start:end]``, why they cannot be read if so, and the timestamp."""
    try:
        headers, published = usual_headers(data, start, end)
    except (ValueError, IndexError, error):
        read = header(data[start:end])
        said = read.properties.timestamp
        return read.properties.headers, read.fault, said.timestamp() if said else 0.0
    return headers, "", float(published)


def usual_headers(data: bytes, start: int, end: int) -> tuple[dict[str, Any] | None, int]:
    """The headers among the properties in ``data[start:end]``, from texts, numbers and booleans alone, and the
    timestamp; 0 where there is none.

    Raises:
        ValueError, IndexError, struct.error: it takes ``frames.header`` to read them, or to say why nobody can.
    """
    before, table, between, dated, after = _layout(_CONTENT.unpack_from(data, start)[3])
    at, headers, published = start + _CONTENT.size, None, 0
    for width in before:
        at += width or 1 + data[at]
    if table:
        headers, at = _table(data, at)
    for width in between:
        at += width or 1 + data[at]
    if dated:
        published, at = _seconds(_TAG.unpack_from(data, at)[0]), at + _TAG.size
    for width in after:
        at += width or 1 + data[at]
    if at > end:
        raise ValueError("they end too early")
    return headers, published


def _table(data: bytes, at: int) -> tuple[dict[str, Any], int]:
    """The table that starts at ``at``, and where it ends."""
    (size,) = _SIZE.unpack_from(data, at)
    if size > _MAX_TABLE:
        raise ValueError("it may hold too many values")
    at += _SIZE.size
    end = at + size
    table: dict[str, Any] = {}
    while at < end:
        name_end = at + 1 + data[at]
        name, kind, value_at = str(data[at + 1 : name_end], "utf-8", "replace"), data[name_end], name_end + 1
        if kind == _STRING:
            at = value_at + 4 + _SIZE.unpack_from(data, value_at)[0]
            table[name] = str(data[value_at + 4 : at], "utf-8")
        elif kind == _BOOLEAN:
            table[name], at = data[value_at] != 0, value_at + 1
        else:
            form = _NUMBERS[kind] if kind in _NUMBERS else _unusual(kind)
            (table[name],), at = form.unpack_from(data, value_at), value_at + form.size
    if at != end:
        raise ValueError("it ends within a value")
    return table, at


def _unusual(kind: int) -> Struct:
    raise ValueError(f"a value of type {kind}")


def _seconds(number: int) -> int:
    if number > MAX_SECONDS:
        raise ValueError("these are no seconds")
    return number


@lru_cache(maxsize=64)
def _layout(flags: int) -> tuple[tuple[int, ...], bool, tuple[int, ...], bool, tuple[int, ...]]:
    """Widths of the properties before the headers, whether there are headers, widths before the timestamp, whether
    there is one, and widths after it; 0: a text.
    """
    there = [name for name, flag in Basic.Properties.flags.items() if flags & flag]
    names = [*Basic.Properties.flags]
    headers, dated = names.index("headers"), names.index("timestamp")
    parts = (names[:headers], names[headers + 1 : dated], names[dated + 1 :])
    before, between, after = (tuple(_width(it) for it in part if it in there) for part in parts)
    return before, "headers" in there, between, "timestamp" in there, after


def _width(name: str) -> int:
    return {"shortstr": 0, "octet": 1}[Basic.Properties.amqp_type(name)]
