"""Decodes frames from RabbitMQ so that no property of a publisher can end the connection.

The library closes the connection at a frame that it cannot decode. The broker then delivers the same message again, to
this worker or to the next. Publishers choose every property, every header, the exchange and the routing key, and
RabbitMQ checks few of them: it passes times of any year and names that are not UTF-8.
"""

from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal
from struct import Struct
from typing import Any

import pamqp.frame
from pamqp.base import Frame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import FrameTypes
from pamqp.header import ContentHeader

MAX_VALUES = 1000
"""Header values of one message at most: decoding a frame full of them would block the event loop for 50 ms."""

MAX_DEPTH = 32
"""Nesting of tables and arrays in headers at most."""

MAX_SECONDS = 0xFFFFFFFF
"""A timestamp above this (the year 2106) is taken as milliseconds."""

_METHOD, _HEADER, _BODY = 1, 2, 3
_FRAME = Struct(">BHI")
_CHOSEN_BY_PUBLISHERS: dict[int, type[Frame]] = {method.index: method for method in (Basic.Deliver, Basic.GetOk)}
_library = pamqp.frame.unmarshal


class Header(ContentHeader):
    """A content header. ``fault``: why its properties cannot be read (then it has none); else empty."""

    fault = ""


def unmarshal(data_in: bytes) -> tuple[int, int, FrameTypes]:
    """Decode one whole frame: its size, its channel, its content. Replaces the library's function of this name.

    Raises:
        PAMQPException: the broker violates the protocol.
    """
    kind, channel, size = _FRAME.unpack_from(data_in)
    if kind == _BODY:
        return len(data_in), channel, ContentBody(data_in[7:-1])
    if kind == _HEADER and size >= _BODY_SIZE.size:
        return len(data_in), channel, header(data_in[7:-1])
    method = _named_by_a_publisher(data_in[7:-1]) if kind == _METHOD else None
    return _library(data_in) if method is None else (len(data_in), channel, method)


def header(payload: bytes) -> Header:
    """Decode the properties of a message. A value that Python cannot represent becomes None."""
    read = Header()
    read.class_id, read.weight, read.body_size = _BODY_SIZE.unpack_from(payload)
    try:
        read.properties = _properties(_Reader(payload, _BODY_SIZE.size))
    except Exception as fault:  # noqa: BLE001 - any error must end this message and not the connection
        read.fault = f"its properties cannot be read: {fault or type(fault).__name__}"
    return read


def _properties(reader: "_Reader") -> Basic.Properties:
    properties = Basic.Properties()
    flags = reader.short()
    for name, flag, read in _PROPERTIES:
        if flags & flag:
            setattr(properties, name, read(reader))
    return properties


def _named_by_a_publisher(payload: bytes) -> Frame | None:
    """Decode a delivery, whose exchange and routing key need not be UTF-8; None for every other method."""
    new = _CHOSEN_BY_PUBLISHERS.get(int.from_bytes(payload[:4]))
    if new is None:
        return None
    reader, method = _Reader(payload, 4), new()
    for name, read in _ARGUMENTS[new]:
        setattr(method, name, read(reader))
    return method


class _Reader:
    """Reads ``data`` once, from ``at``. Each method reads the AMQP 0-9-1 type (4.2.5) that it is named after."""

    def __init__(self, data: bytes, at: int = 0) -> None:
        self._data = data
        self._at = at
        self._values = 0

    def take(self, size: int) -> bytes:
        start, self._at = self._at, self._at + size
        if self._at > len(self._data):
            raise ValueError("they end too early")
        return self._data[start : self._at]

    def _unpacked(self, form: Struct) -> Any:
        return form.unpack(self.take(form.size))[0]

    def octet(self) -> int:
        return self.take(1)[0]

    def bit(self) -> bool:
        return bool(self.octet())

    def short(self) -> int:
        return int.from_bytes(self.take(2))

    def long(self) -> int:
        return int.from_bytes(self.take(4))

    def longlong(self) -> int:
        return int.from_bytes(self.take(8))

    def shortstr(self) -> str:
        return self.take(self.octet()).decode(errors="replace")

    def longstr(self) -> str | bytes:
        text = self.take(self.long())
        try:
            return text.decode()
        except UnicodeDecodeError:
            return text

    def timestamp(self) -> datetime | None:
        number = self.longlong()
        try:
            return datetime.fromtimestamp(number if number <= MAX_SECONDS else number / 1000, UTC)
        except (ValueError, OverflowError, OSError):
            return None

    def decimal(self) -> Decimal:
        scale = self.octet()
        return Decimal(int.from_bytes(self.take(4), signed=True)).scaleb(-scale)

    def table(self, depth: int = 0) -> dict[str, Any]:
        end, table = self._end(depth), {}
        while self._at < end:
            name = self.shortstr()
            table[name] = self._value(depth)
        self._ends_at(end)
        return table

    def _array(self, depth: int) -> list[Any]:
        end, array = self._end(depth), []
        while self._at < end:
            array.append(self._value(depth))
        self._ends_at(end)
        return array

    def _end(self, depth: int) -> int:
        if depth > MAX_DEPTH:
            raise ValueError(f"nested deeper than {MAX_DEPTH}")
        size = self.long()
        return self._at + size

    def _ends_at(self, end: int) -> None:
        if self._at != end:
            raise ValueError("a table ends within a value")

    def _value(self, depth: int) -> Any:
        self._values += 1
        if self._values > MAX_VALUES:
            raise ValueError(f"more than {MAX_VALUES} values")
        kind = self.take(1)
        if kind == b"F":
            return self.table(depth + 1)
        if kind == b"A":
            return self._array(depth + 1)
        if form := _NUMBERS.get(kind):
            return self._unpacked(form)
        read = _OTHERS.get(kind)
        if read is None:
            raise ValueError(f"a value of the unknown type {kind!r}")
        return read(self)


_BODY_SIZE = Struct(">HHQ")
_NUMBERS = {
    kind.encode(): Struct(f">{form}")
    for kind, form in {"b": "b", "B": "B", "s": "h", "u": "H", "I": "i", "i": "I", "l": "q", "L": "q"}.items()
} | {b"f": Struct(">f"), b"d": Struct(">d")}
_OTHERS: dict[bytes, Callable[[_Reader], Any]] = {
    b"S": _Reader.longstr,
    b"t": _Reader.bit,
    b"T": _Reader.timestamp,
    b"D": _Reader.decimal,
    b"V": lambda _: None,
    b"\x00": lambda _: None,
    b"x": lambda reader: bytearray(reader.take(reader.long())),
}
_BY_TYPE: dict[str, Callable[[_Reader], Any]] = {
    "shortstr": _Reader.shortstr,
    "table": _Reader.table,
    "timestamp": _Reader.timestamp,
    "octet": _Reader.octet,
    "bit": _Reader.bit,
    "long": _Reader.long,
    "longlong": _Reader.longlong,
}
_PROPERTIES = [
    (name, flag, _BY_TYPE[Basic.Properties.amqp_type(name)]) for name, flag in Basic.Properties.flags.items()
]
_ARGUMENTS = {
    method: [(name, _BY_TYPE[method.amqp_type(name)]) for name in method.attributes()]
    for method in _CHOSEN_BY_PUBLISHERS.values()
}
