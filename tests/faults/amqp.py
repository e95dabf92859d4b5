"""What a worker and RabbitMQ say to each other: frames of AMQP 0-9-1, each method together with its content."""

import struct
from collections import Counter, defaultdict
from collections.abc import Iterator

from tests.faults.proxy import Passing, Pieces, text

METHODS = {
    (10, 50): "connection.close",
    (20, 10): "channel.open",
    (20, 40): "channel.close",
    (50, 10): "queue.declare",
    (60, 20): "basic.consume",
    (60, 30): "basic.cancel",
    (60, 40): "basic.publish",
    (60, 50): "basic.return",
    (60, 60): "basic.deliver",
    (60, 80): "basic.ack",
    (60, 90): "basic.reject",
    (60, 120): "basic.nack",
}
WITH_CONTENT = {"basic.publish", "basic.return", "basic.deliver"}
SETTLING = {"basic.ack", "basic.reject", "basic.nack"}

METHOD, HEADER, BODY, HEARTBEAT = 1, 2, 3, 8
Abouts = defaultdict[int, dict[int, tuple[str, ...]]]


class Amqp:
    """A method is called by its name, but what the broker says of a publish: ``confirm`` or ``refuse``.

    ``about``: exchange, routing key and body of what is published or delivered; for an ack, reject or confirm, of
    everything that it settles.
    """

    def __init__(self) -> None:
        self._asked, self._told = _Side(), _Side()
        self._published: Counter[int] = Counter()
        self._unconfirmed: Abouts = defaultdict(dict)
        self._unsettled: Abouts = defaultdict(dict)

    def asked(self, data: bytes) -> Iterator[Passing]:
        for channel, name, arguments, raw in self._asked.methods(data):
            about: tuple[str, ...] = ()
            if name == "channel.open":
                self._published[channel] = 0
            elif name == "basic.publish":
                about = (*_strings(arguments, 2), _body(raw))
                self._published[channel] += 1
                self._unconfirmed[channel][self._published[channel]] = about
            elif name in SETTLING:
                about = _settled(self._unsettled[channel], arguments)
            yield Passing(asked=True, name=name, about=about, raw=raw)

    def replied(self, data: bytes) -> Iterator[Passing]:
        for channel, name, arguments, raw in self._told.methods(data):
            about: tuple[str, ...] = ()
            if name == "basic.deliver":
                tag = 1 + arguments[0]
                about = (*_strings(arguments, tag + 9), _body(raw))
                self._unsettled[channel][struct.unpack_from(">Q", arguments, tag)[0]] = about
            elif name in SETTLING:
                about = _settled(self._unconfirmed[channel], arguments)
                name = "confirm" if name == "basic.ack" else "refuse"  # noqa: PLW2901 - its name in this direction
            yield Passing(asked=False, name=name, about=about, raw=raw)


class _Side:
    """One direction: whole methods out of frames. Channels take turns, so each gathers its own."""

    def __init__(self) -> None:
        self._frames = Pieces(_end)
        self._gathered: dict[int, tuple[bytes, int | None]] = {}

    def methods(self, data: bytes) -> Iterator[tuple[int, str, bytes, bytes]]:
        """Channel, name, arguments, everything."""
        for frame in self._frames.cut(data):
            if frame.startswith(b"AMQP"):
                yield 0, "header", b"", frame
                continue
            kind, channel, size = struct.unpack_from(">BHI", frame)
            whole, left = self._gathered.pop(channel, (b"", None))
            whole += frame
            if kind == HEADER:
                left = struct.unpack_from(">Q", frame, 7 + 4)[0]
            elif kind == BODY and left is not None:
                left -= size
            name, arguments = _method(whole)
            if name in WITH_CONTENT and left != 0:
                self._gathered[channel] = whole, left
            else:
                yield channel, name, arguments, whole


def _end(data: bytes, at: int) -> int | None:
    if data.startswith(b"AMQP", at):
        return at + 8
    return at + 8 + struct.unpack_from(">I", data, at + 3)[0] if len(data) >= at + 7 else None


def _method(whole: bytes) -> tuple[str, bytes]:
    kind, _, size = struct.unpack_from(">BHI", whole)
    if kind != METHOD:
        return "heartbeat", b""
    number = struct.unpack_from(">HH", whole, 7)
    return METHODS.get(number, f"{number[0]}.{number[1]}"), whole[11 : 7 + size]


def _strings(arguments: bytes, at: int) -> tuple[str, str]:
    """Exchange and routing key, which stand one behind the other wherever they stand."""
    middle = at + 1 + arguments[at]
    return text(arguments[at + 1 : middle]), text(arguments[middle + 1 : middle + 1 + arguments[middle]])


def frames(whole: bytes) -> list[bytes]:
    """The frames of a method with its content."""
    return Pieces(_end).cut(whole)


def _body(whole: bytes) -> str:
    return text(b"".join(frame[7:-1] for frame in frames(whole) if frame[0] == BODY))


def _settled(open_: dict[int, tuple[str, ...]], arguments: bytes) -> tuple[str, ...]:
    tag, multiple = struct.unpack_from(">QB", arguments)
    tags = [it for it in open_ if it <= tag] if multiple & 1 else [tag]
    return tuple(part for it in tags for part in open_.pop(it, ()))
