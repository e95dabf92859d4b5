"""Our own HTTP engine: httpx's transport interface over aiohttp, which says what became of the bytes."""

import asyncio
import errno
import socket
import ssl
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Protocol

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from notification_sender.model.errors import ForbiddenAddress, SendFailed, Sent

KEEP_ALIVE = 15.0
"""Seconds that an unused connection is kept: many servers close theirs after 60, some after 20, and a request that
meets the closing door ends unknown. An address is checked again with each new connection."""

_NEVER_ADDED = ("Accept", "Content-Type", "User-Agent")
_FOREIGN = (aiohttp.ClientError, OSError, ValueError)
"""What aiohttp raises. A deadline is a TimeoutError, and with it an OSError; a header of two lines is a ValueError."""


class Allow(Protocol):
    """Whether a connection may be opened."""

    def __call__(self, address: str, port: int, *, tls: bool) -> None:
        """Raises ForbiddenAddress if not."""


class AiohttpTransport(httpx.AsyncBaseTransport):
    """One request, one answer: no redirects, cookies, proxies or decompression, and never more than ``max_bytes``.

    ``allow`` is asked for the address of every new connection; a name with one forbidden address is refused as a
    whole. ``deadline`` (seconds) runs from the start to the last byte, ``connect_timeout`` to the end of the TLS
    handshake. ``partial``: an answer that is too long, or breaks off, or does not end before the deadline is handed
    over as far as it came; without it such an answer is an error.

    A request overrides ``deadline`` and ``max_bytes`` by its ``extensions``; httpx's own timeouts are not looked at.
    The answer's ``extensions["partial"]`` says whether something is missing. Its body waits in memory, undecoded:
    ``aread()`` would decode it without a limit, if the server encoded what nobody asked to be encoded.
    """

    def __init__(
        self,
        *,
        allow: Allow | None = None,
        deadline: float = 15.0,
        max_bytes: int = 64 * 1024,
        connect_timeout: float = 3.0,
        partial: bool = False,
        tls: ssl.SSLContext | None = None,
        resolver: AbstractResolver | None = None,
    ) -> None:
        self._allow = allow
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._connect_timeout = connect_timeout
        self._partial = partial
        self._tls = tls
        self._resolver = resolver
        self._session: aiohttp.ClientSession | None = None

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send, and read the whole answer.

        Raises:
            ForbiddenAddress: ``allow`` said no; nothing was sent.
            SendFailed: nothing was sent, or it is unknown what became of it.

        """
        exchange = _Exchange(tls=request.url.scheme == "https")
        asked = request.extensions
        cause = "the answer is longer than may be read"
        token = _current.set(exchange)
        try:
            async with asyncio.timeout(asked.get("deadline", self._deadline)):
                exchange.answer = await self._send(request)
                await exchange.read(exchange.answer.content, asked.get("max_bytes", self._max_bytes))
        except _FOREIGN as fault:
            cause = _said(fault)
        finally:
            _current.reset(token)
            exchange.close()
        answer = exchange.answer
        if answer is None or not (exchange.whole or self._partial):
            raise exchange.error(f"{request.url.raw_host.decode()}: {cause}")
        return httpx.Response(
            answer.status,
            headers=answer.raw_headers,
            stream=httpx.ByteStream(bytes(exchange.body)),
            extensions={"partial": not exchange.whole},
        )

    async def aclose(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _send(self, request: httpx.Request) -> aiohttp.ClientResponse:
        if self._session is None:
            self._session = self._open()
        return await self._session.request(
            request.method,
            URL(str(request.url), encoded=True),
            headers=[(name.decode("ascii"), value.decode("ascii")) for name, value in request.headers.raw],
            data=await request.aread() or None,
            allow_redirects=False,
        )

    def _open(self) -> aiohttp.ClientSession:
        """Only now, because aiohttp wants a running loop.

        There is no limit of connections: callers that wait here for one would hold a slot elsewhere.
        """
        resolver = self._resolver or aiohttp.ThreadedResolver()
        door = _Door(resolver, self._allow) if self._allow else None
        connector = aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEP_ALIVE,
            ssl=self._tls or True,
            resolver=door or resolver,
            socket_factory=door.socket if door else None,
        )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"accept-encoding": "identity"},
            auto_decompress=False,
            request_class=_Request,
            skip_auto_headers=_NEVER_ADDED,
            timeout=aiohttp.ClientTimeout(total=None, connect=self._connect_timeout),
        )


@dataclass(slots=True)
class _Exchange:
    """One request on its way. The engine's hooks see sockets and not requests, so they find it by context."""

    tls: bool
    begun: bool = False
    """There is a connection, and from here on bytes may have left."""
    refused: ForbiddenAddress | None = None
    answer: aiohttp.ClientResponse | None = None
    body: bytearray = field(default_factory=bytearray)
    whole: bool = False

    async def read(self, content: aiohttp.StreamReader, limit: int) -> None:
        """The raw body, up to ``limit`` bytes."""
        while chunk := await content.readany():
            self.body += chunk
            if len(self.body) > limit:
                del self.body[limit:]
                return
        self.whole = True

    def close(self) -> None:
        """A connection whose answer was not read to its end cannot be used again."""
        if self.answer is not None and not self.whole:
            self.answer.close()

    def error(self, text: str) -> SendFailed | ForbiddenAddress:
        if self.begun:
            return SendFailed(text, sent=Sent.UNKNOWN)
        return self.refused or SendFailed(text, sent=Sent.NOTHING)


_current: ContextVar[_Exchange] = ContextVar("exchange")


class _Request(aiohttp.ClientRequest):
    """Notes the moment at which a connection is there: what fails before it is certain, what fails after is not.

    aiohttp itself repeats a GET on a kept connection that turns out closed; the note stays, and a POST is not repeated.
    """

    async def send(self, conn: aiohttp.connector.Connection) -> aiohttp.ClientResponse:
        _current.get().begun = True
        return await super().send(conn)


class _Door(AbstractResolver):
    """The way out for names, and the only one for connections: an address in a URL is never resolved."""

    def __init__(self, resolver: AbstractResolver, allow: Allow) -> None:
        self._resolver = resolver
        self._allow = allow

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Refuse a name if any of its addresses is forbidden: whoever mixes them is trying which one we take.

        Requests share an answer, so it is asked as for TLS; what is stricter without it, ``socket`` refuses.
        """
        answers = await self._resolver.resolve(host, port, family)
        for answer in answers:
            self._allow(answer["host"], port, tls=True)
        return answers

    async def close(self) -> None:
        await self._resolver.close()

    def socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, (address, port, *_) = info
        exchange = _current.get()
        try:
            self._allow(str(address), int(port), tls=exchange.tls)
        except ForbiddenAddress as fault:
            # aiohttp swallows what is no OSError when it tries several addresses.
            exchange.refused = fault
            raise PermissionError(errno.EACCES, str(fault)) from fault
        return socket.socket(family, kind, protocol)


def _said(fault: Exception) -> str:
    """What went wrong, without the URL: its path may be a secret."""
    match fault:
        case aiohttp.ClientConnectorError():
            return str(fault)
        case aiohttp.ClientResponseError():
            return f"the answer is not HTTP: {_printable(fault.message)}"
        case aiohttp.ServerDisconnectedError():
            return "the connection was closed without an answer"
        case aiohttp.ConnectionTimeoutError():
            return "no connection in time"
        case TimeoutError():
            return "the deadline passed"
        case aiohttp.InvalidURL():
            return "the URL cannot be dialled"
        case _:
            return f"{type(fault).__name__}: {_printable(str(fault))}"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:200]
