"""A name server for datagrams and streams, on one port: each case says what ``odd-<case>.strangers.example`` is."""

import asyncio
import re
import struct
from contextlib import suppress

from tests.services.program import HOST
from tests.strangers.dns_answers import NO_SUCH_NAME, Answer, message

ZONE = "strangers.example"
_CASE = re.compile(rb"\x0b?odd-(\d+)", re.IGNORECASE)
NOBODY = Answer(code=NO_SUCH_NAME, addresses=())


class NameServer(asyncio.DatagramProtocol):
    """``answers`` by case; what else is asked for is not there."""

    def __init__(self) -> None:
        self.answers: dict[int, Answer] = {}

    async def listen(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await asyncio.start_server(self._stream, HOST, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        await loop.create_datagram_endpoint(lambda: self, local_addr=(HOST, self.port))

    def close(self) -> None:
        self._server.close()
        self._transport.close()

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:  # type: ignore[override]
        self._transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        question, answer = _question(data), self._answer(data)
        if answer.datagram == "nothing" or _not_for(question, answer):
            return
        reply = message(question, answer, cut=answer.datagram == "truncated")
        self._transport.sendto(reply[:2] + b"\xff" * 20 if answer.datagram == "garbage" else reply, addr)

    async def _stream(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, OSError):
            while True:
                (length,) = struct.unpack(">H", await reader.readexactly(2))
                data = await reader.readexactly(length)
                answer = self._answer(data)
                if answer.stream == "nothing":
                    await reader.read()
                reply = message(_question(data), answer, cut=False) if answer.stream == "whole" else b"\xff" * 20
                writer.write(struct.pack(">H", len(reply)) + reply)
        writer.close()

    def _answer(self, data: bytes) -> Answer:
        case = _CASE.search(data)
        return self.answers.get(int(case[1]), NOBODY) if case else NOBODY


def _question(data: bytes) -> bytes:
    """The head and the question, without what resolvers add to it."""
    end = data.index(b"\x00", 12) + 5
    return data[:end]


def _not_for(question: bytes, answer: Answer) -> bool:
    return answer.only is not None and struct.unpack(">H", question[-4:-2])[0] != answer.only
