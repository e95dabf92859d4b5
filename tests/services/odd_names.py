"""A name server that says odd things, over UDP and TCP, on a port of its own."""

import asyncio
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from ipaddress import ip_address

from .listening import serving

A, CNAME, AAAA = 1, 5, 28
WELL, SERVFAIL, NO_SUCH_NAME, REFUSED = 0x8180, 0x8182, 0x8183, 0x8185
TRUNCATED = 0x0200


@dataclass(frozen=True, slots=True)
class Question:
    """One, as it came. ``tcp``: over a connection."""

    id_: bytes
    name: str
    kind: int
    raw: bytes
    tcp: bool

    @classmethod
    def read(cls, data: bytes, *, tcp: bool) -> "Question":
        labels, place = [], 12
        while length := data[place]:
            labels.append(data[place + 1 : place + 1 + length].decode("latin-1").lower())
            place += 1 + length
        (kind,) = struct.unpack(">H", data[place + 1 : place + 3])
        return cls(data[:2], ".".join(labels), kind, data[12 : place + 5], tcp)

    def answer(
        self, records: Sequence[bytes] = (), *, flags: int = WELL, id_: bytes = b"", raw: bytes | None = None
    ) -> bytes:
        question = self.raw if raw is None else raw
        return (id_ or self.id_) + struct.pack(">HHHHH", flags, 1, len(records), 0, 0) + question + b"".join(records)


Say = Callable[[Question], bytes | None]
"""What is said to a question; None: nothing. ConnectionError: the connection is closed, without a word."""


def addresses(*of: str, ttl: int = 60) -> Say:
    """Of each family those that are asked for."""

    def say(question: Question) -> bytes:
        numbers = [ip_address(it) for it in of]
        wanted = {A: 4, AAAA: 6}.get(question.kind)
        found = [it.packed for it in numbers if it.version == wanted]
        return question.answer([record(question.name, question.kind, it, ttl) for it in found])

    return say


def record(name: str, kind: int, data: bytes, ttl: int = 60) -> bytes:
    return wire(name) + struct.pack(">HHIH", kind, 1, ttl, len(data)) + data


def wire(name: str) -> bytes:
    return b"".join(bytes([len(it)]) + it.encode("latin-1") for it in name.split(".")) + b"\0"


class OddNameServer(asyncio.DatagramProtocol):
    """Says what ``says`` has for a name, and of all others that there is none. ``asked``: questions by name."""

    def __init__(self, says: Mapping[str, Say]) -> None:
        self._says = says
        self.asked: Counter[str] = Counter()
        self.order: list[str] = []
        self.port = 0

    @property
    def place(self) -> str:
        return f"127.0.0.1:{self.port}"

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        if (answer := self._answer(Question.read(data, tcp=False))) is not None:
            self._transport.sendto(answer, addr)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = struct.unpack(">H", await reader.readexactly(2))
                answer = self._answer(Question.read(await reader.readexactly(length), tcp=True))
                if answer is not None:
                    writer.write(struct.pack(">H", len(answer)) + answer)
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _answer(self, question: Question) -> bytes | None:
        self.asked[question.name] += 1
        self.order.append(question.name)
        say = self._says.get(question.name)
        return say(question) if say else question.answer(flags=NO_SUCH_NAME)


@asynccontextmanager
async def odd_names(says: Mapping[str, Say], *, tcp: bool = True) -> AsyncIterator[OddNameServer]:
    """Over UDP and TCP on the same port; without ``tcp`` a connection is refused."""
    server = OddNameServer(says)
    async with serving(server.take) as listening:
        server.port = listening.sockets[0].getsockname()[1]
        if not tcp:
            listening.close()
        transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: server, local_addr=("127.0.0.1", server.port)
        )
        try:
            yield server
        finally:
            transport.close()
