"""One request over one connection and its answer: how far both came, and what that says when they did not end."""

import asyncio
import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus

import aiohttp
from aiohttp.connector import Connection
from aiohttp.http import HttpProcessingError

from notification_sender.model.errors import Sent
from notification_sender.ports import Begin

FOREIGN = (aiohttp.ClientError, HttpProcessingError, OSError, ValueError)
"""What aiohttp raises. A deadline is a TimeoutError, and with it an OSError; a name that cannot be encoded is a
ValueError."""

OURS = {errno.EMFILE, errno.ENFILE}
"""This process, or its machine, may open no more files: nobody else's trouble."""

INTERIM = 16
"""Heads of an answer that are read, the last with a status of 200 or more. Nobody has use for so many hints; without an
end to them a recipient could keep us reading until the deadline, and at full speed."""

LARGE = 256 * 1024
"""Bytes of a body from which on it waits for its turn to be read further. Most answers are smaller by far."""


@dataclass(frozen=True, slots=True)
class Answer:
    """``body`` as it came, whatever its ``content-encoding``. ``partial``: some of it is missing."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes
    partial: bool
    times: tuple[float, float, float]
    """Seconds until there was a connection, from then to the first byte of the answer, from then to its end."""


@dataclass(slots=True)
class Exchange:
    """One request and its answer, as far as they came."""

    limit: int
    large: asyncio.Semaphore
    """Held for what of the body is beyond the first ``LARGE`` bytes."""
    clock: Callable[[], float]
    asked: float
    until: float
    """Its deadline, by that clock."""
    connected: float = 0.0
    """0 until there is a connection."""
    answered: float = 0.0
    begun: bool = False
    """From then on bytes may have left."""
    status: int = 0
    """0 until there is one."""
    headers: Sequence[tuple[bytes, bytes]] = ()
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False

    async def over(self, connection: Connection, request: bytes, begin: Begin | None) -> None:
        """Write the request, and read its answer with up to ``limit`` bytes of the raw body."""
        self.connected = self.clock()
        if begin is not None:
            await begin()
            if self.clock() >= self.until:
                # The process was stopped meanwhile. What is sent now would be cut off at once, and sent again.
                raise TimeoutError
        # Only now: a kept connection may have been closed meanwhile, and then nothing was sent.
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None:
            raise aiohttp.ServerDisconnectedError
        self.begun = True
        no_body = request.startswith(b"HEAD ")
        protocol.set_response_params(skip_payload=no_body, read_until_eof=True, auto_decompress=False)
        transport.write(request)
        for _ in range(INTERIM):
            message, content = await protocol.read()
            if message.code >= HTTPStatus.OK or message.code == HTTPStatus.SWITCHING_PROTOCOLS:
                break
        else:
            raise aiohttp.ClientPayloadError("interim answers without an end")
        self.answered = self.clock()
        self.status, self.headers = message.code, message.raw_headers
        self.whole = await self._ends(content, min(LARGE, self.limit))
        if not self.whole and self.limit > LARGE:
            async with self.large:
                self.whole = await self._ends(content, self.limit)
        del self.body[self.limit :]

    async def _ends(self, content: aiohttp.StreamReader, within: int) -> bool:
        """Whether the body is read, and has no more bytes than these."""
        while len(self.body) <= within:
            chunk = await content.readany()
            if not chunk:
                return True
            self.body += chunk
        return False

    def times(self) -> tuple[float, float, float]:
        """Of an exchange that was answered."""
        return self.connected - self.asked, self.answered - self.connected, self.clock() - self.answered

    @property
    def sent(self) -> Sent:
        return Sent.UNKNOWN if self.begun else Sent.NOTHING

    @property
    def ill(self) -> bool:
        """Whether it is the other side that did not bring this to its end: ``begin`` is ours."""
        return self.begun or not self.connected

    def said(self, fault: Exception) -> str:
        """What went wrong, without the URL (its path may be a secret) and without a word of the answer."""
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
                return f"{type(fault).__name__}: {getattr(fault, 'strerror', None) or 'no more is known'}"

    def _late(self) -> str:
        if self.begun:
            return "the deadline passed"
        return "the deadline passed before anything was sent" if self.connected else "no connection in time"
