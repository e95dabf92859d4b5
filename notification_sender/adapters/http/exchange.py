"""One request over one connection, and its answer: how far both got, and what follows when they did not finish."""

import asyncio
import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError

from notification_sender.adapters.http.connection import HttpConnection
from notification_sender.adapters.http.raw_answer import MAX_HEADS, is_final, raw_answer
from notification_sender.model.cause import Phase
from notification_sender.model.errors import Sent
from notification_sender.ports.channels import Begin

AIOHTTP_ERRORS = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)
"""Every error that aiohttp raises. A missed deadline is a TimeoutError, which is an OSError. A host name that cannot be
encoded is a ValueError."""

OUT_OF_FILES = {errno.EMFILE, errno.ENFILE}
"""Error numbers for "no more files": of this process or machine, and never the recipient's fault."""

LARGE_BODY = 256 * 1024
"""Bytes of a body that are read at once. The rest waits for a turn; most answers are far smaller."""

Reach = Callable[[Phase, int | None], None]
"""Called with the phase that an exchange has reached, and with the status once it is known."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``body``: the raw bytes, not decoded. ``partial``: some of the answer is missing."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    partial: bool
    times: tuple[float, float, float]
    """Seconds to get a connection, then to the first byte of the answer, then to its end."""


@dataclass(slots=True)
class HttpExchange:
    """One request and its answer, as far as they got."""

    limit: int
    large: asyncio.Semaphore
    """WaitCause while the body is read beyond its first ``LARGE_BODY`` bytes."""
    clock: Callable[[], float]
    asked: float
    until: float
    """The deadline, by ``clock``."""
    reach: Reach | None = None
    """Called at each phase: a caller that cancels the exchange learns its progress in no other way."""
    connected: float = 0.0
    """When it got a connection; 0: not yet."""
    answered: float = 0.0
    begun: bool = False
    """Whether bytes may have left."""
    status: int = 0
    """0: not known yet."""
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False
    reusable: bool = False
    """Whether the connection may take another request."""
    wire: HttpConnection | None = None

    async def run(self, connection: Connection, request: bytes, begin: Begin | None) -> None:
        """Write the request, and read its answer with at most ``limit`` bytes of the raw body."""
        self.connected = self.clock()
        if begin is not None:
            await begin()
            if self.clock() >= self.until:
                # A request written now would be cut off at once, and then sent again.
                raise TimeoutError
        # Checked last: the server may have closed a kept connection meanwhile. Then nothing was sent.
        wire, transport = connection.protocol, connection.transport
        if not isinstance(wire, HttpConnection) or transport is None or wire.is_stale():
            raise aiohttp.ServerDisconnectedError
        self.begun, self.wire = True, wire
        wire.ask(no_body=request.startswith(b"HEAD "))
        transport.write(request)
        if self.reach is not None:
            self.reach(Phase.FIRST_BYTE, None)
        await self._read(wire)

    async def _read(self, wire: HttpConnection) -> None:
        heads = 0
        while heads < MAX_HEADS:
            message, content = await wire.read()
            heads += 1
            if is_final(message.code):
                break
        else:
            raise aiohttp.ClientPayloadError("too many interim answers (1xx)")
        wire.head_ended = True
        self.answered = self.clock()
        self.status, self.headers = message.code, message.raw_headers
        if self.reach is not None:
            self.reach(Phase.BODY, message.code)
        self.whole = await self._ends(content, min(LARGE_BODY, self.limit))
        if not self.whole and self.limit > LARGE_BODY:
            async with self.large:
                self.whole = await self._ends(content, self.limit)
        self.reusable = self.whole and wire.answered(message, heads, len(self.body))
        del self.body[self.limit :]

    def read_raw_head(self) -> None:
        """Read the status of an answer that the parser refused, or that ended within its head."""
        if self.wire is None or (raw := raw_answer(self.wire.head)) is None:
            return
        self.answered = self.clock()
        self.status, self.headers = raw.status, raw.headers
        if self.reach is not None:
            self.reach(Phase.BODY, raw.status)
        self.body += raw.body[: self.limit]

    async def _ends(self, content: aiohttp.StreamReader, within: int) -> bool:
        """Read on; whether the body ended within so many bytes."""
        while len(self.body) <= within:
            if content.at_eof():
                return True
            self.body += await content.readany()
        return False

    def times(self) -> tuple[float, float, float]:
        """The seconds of each phase, of an exchange that was answered."""
        return self.connected - self.asked, self.answered - self.connected, self.clock() - self.answered

    @property
    def sent(self) -> Sent:
        return Sent.UNKNOWN if self.begun else Sent.NOTHING

    @property
    def ill(self) -> bool:
        """Whether the other side is at fault. Not while ``begin`` runs: that is our own step."""
        return self.begun or not self.connected

    def describe(self, fault: Exception) -> str:
        """Describe the error without the URL (its path may hold a secret) and without text of the answer."""
        match fault:
            case aiohttp.ClientConnectorError():
                return f"no connection: {fault.__cause__ or type(fault).__name__}"
            case HttpProcessingError() | aiohttp.ClientPayloadError():
                return f"the answer is not HTTP ({type(fault).__name__})"
            case aiohttp.ServerDisconnectedError():
                return "the connection was closed without an answer"
            case TimeoutError():
                return self._late()
            case _:
                return f"{type(fault).__name__}: {getattr(fault, 'strerror', None) or 'no details'}"

    def _late(self) -> str:
        if self.begun:
            return "the deadline passed"
        return "the deadline passed before anything was sent" if self.connected else "no connection in time"
