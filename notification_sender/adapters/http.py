"""Our own HTTP engine: aiohttp's connections and parser, and an exchange that says what became of the bytes."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import lru_cache
from weakref import WeakKeyDictionary

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from aiohttp.client_proto import ResponseHandler
from aiohttp.connector import Connection
from yarl import URL

from notification_sender.adapters.door import Allow, Dial, Door, dialling
from notification_sender.adapters.exchange import FOREIGN, OURS, Answer, Exchange
from notification_sender.model.errors import SendFailed, Sent, Unready
from notification_sender.ports import Begin

KEEP_ALIVE = 15.0
"""Seconds that an unused connection is kept: many servers close theirs after 60, some after 20, and a request that
meets the closing door ends unknown."""

LIFETIME = 60.0
"""Seconds for which a connection takes requests, however busy it is: an address is checked when it is dialled, so this
is how long a name may have moved, or a certificate have been withdrawn. To check the address of a kept connection
again would find nothing: it does not change, and who may be dialled is settled when the process starts."""

LARGE_AT_ONCE = 2
"""Large bodies that are read at a time, however many were asked for: an API that went mad may answer every call so."""

ROUTES = 4096
"""URLs of which it is kept what they say: to find that out costs as much as the rest of an exchange."""

_FRAMING = (b"host", b"content-length", b"transfer-encoding", b"accept-encoding")


class AiohttpTransport(httpx.AsyncBaseTransport):
    """One request, one answer: no redirects, cookies, proxies or decompression, and never more than ``max_bytes``.

    ``allow`` is asked for the address of every new connection; a name with one forbidden address is refused as a
    whole. ``deadline`` (seconds) runs from the start to the last byte, ``connect_timeout`` to the end of the TLS
    handshake. ``partial``: an answer that is too long, or breaks off, or does not end before the deadline is handed
    over as far as it came; without it such an answer is an error.

    aiohttp dials, keeps connections and reads answers. Its session is not used: in 3.14 a POST through it costs three
    times as much, for redirects, cookies, proxies, hooks and a task that writes, none of which is wanted here.
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
        self._connect_timeout = aiohttp.ClientTimeout(total=None, connect=connect_timeout)
        self._partial = partial
        self._tls = tls
        self._resolver = resolver
        self._large = asyncio.Semaphore(LARGE_AT_ONCE)
        self._connector: aiohttp.TCPConnector | None = None
        self._born: WeakKeyDictionary[ResponseHandler, float] = WeakKeyDictionary()
        self._route = lru_cache(maxsize=ROUTES)(_Route.to)  # our own: a route belongs to a loop

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """``exchange`` for httpx; what it says of timeouts, host, length and encodings is not looked at.

        A request overrides ``deadline`` and ``max_bytes`` by its ``extensions``; those of the answer tell ``partial``
        and ``times``.
        The body waits in memory: ``aread()`` would decode it without a limit, had the server encoded it unasked.
        """
        headers = [(name, value) for name, value in request.headers.raw if name.lower() not in _FRAMING]
        try:
            answer = await self.exchange(
                request.method,
                str(request.url),
                [(name.decode("latin-1"), value.decode("latin-1")) for name, value in headers],
                await request.aread(),
                deadline=request.extensions.get("deadline"),
                max_bytes=request.extensions.get("max_bytes"),
            )
        except Unready as fault:
            raise SendFailed(str(fault), sent=Sent.NOTHING) from fault
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=httpx.ByteStream(answer.body),
            extensions={"partial": answer.partial, "times": answer.times},
        )

    async def exchange(
        self,
        method: str,
        url: str,
        headers: Iterable[tuple[str, str]],
        body: bytes,
        *,
        deadline: float | None = None,
        max_bytes: int | None = None,
        begin: Begin | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Answer:
        """Send, and read the whole answer. Host, content-length and accept-encoding are added to ``headers``.

        ``begin`` is awaited, within the deadline, when all that is left is to write. ``tls`` in place of the
        transport's own: connections of different ones are kept apart.

        Raises:
            ForbiddenAddress: ``allow`` said no; nothing was sent.
            SendFailed: nothing was sent, or it is unknown what became of it.
            ClaimLost, Unready: from ``begin``; nothing was sent. Unready, too, where we may open no more connections.

        """
        clock = asyncio.get_running_loop().time
        asked = clock()
        until = asked + (self._deadline if deadline is None else deadline)
        exchange = Exchange(max_bytes or self._max_bytes, self._large, clock, asked, until)
        dial = Dial(tls=url.startswith("https:"))
        route = self._route(url, tls)
        request = _head(method, route, headers, len(body)) + body
        token = dialling.set(dial)
        try:
            cause = await self._carried_out(exchange, route, request, begin)
        finally:
            dialling.reset(token)
        if exchange.whole or (exchange.status and self._partial):
            return _answer(exchange)
        if dial.refused and not exchange.begun:  # else another address of the same name was allowed
            raise dial.refused
        raise SendFailed(f"{route.origin.host}: {cause}", sent=exchange.sent, ill=exchange.ill)

    async def _carried_out(self, exchange: Exchange, route: "_Route", request: bytes, begin: Begin | None) -> str:
        """What went wrong, where it is not whole in the end."""
        try:
            async with _at_most(exchange.until):
                await self._attempt(exchange, route, request, begin)
        except FOREIGN as fault:
            if isinstance(fault, OSError) and fault.errno in OURS:
                raise Unready(f"no more connections can be opened: {fault.strerror}") from fault
            return exchange.said(fault)
        return "the answer is longer than may be read"

    async def aclose(self) -> None:
        """Close all connections."""
        if self._connector is not None:
            await self._connector.close()

    async def _attempt(self, exchange: Exchange, route: "_Route", request: bytes, begin: Begin | None) -> None:
        connection = await self._connection(route)
        try:
            await exchange.over(connection, request, begin)
        finally:
            # A connection whose answer was not read to its end cannot be used again.
            if exchange.whole:
                connection.release()
            else:
                connection.close()

    async def _connection(self, route: "_Route") -> Connection:
        """A kept one, or a new one."""
        if self._connector is None:
            self._connector = self._open()
        while True:
            connection = await self._connector.connect(route.origin, [], self._connect_timeout)
            protocol, now = connection.protocol, asyncio.get_running_loop().time()
            if protocol is None or now - self._born.setdefault(protocol, now) <= LIFETIME:
                return connection
            connection.close()

    def _open(self) -> aiohttp.TCPConnector:
        """Only now, because aiohttp wants a running loop.

        There is no limit of connections: callers that wait here for one would hold a slot elsewhere.
        """
        resolver = self._resolver or aiohttp.ThreadedResolver()
        door = Door(resolver, self._allow) if self._allow else None
        return aiohttp.TCPConnector(
            limit=0,
            keepalive_timeout=KEEP_ALIVE,
            ssl=self._tls or True,
            resolver=door or resolver,
            socket_factory=door.socket if door else None,
        )


@dataclass(frozen=True, slots=True)
class _Route:
    """What a URL says: to the connector (``origin``, which is never sent itself) and in a request."""

    origin: aiohttp.ClientRequest
    target: str
    host: str

    @classmethod
    def to(cls, text: str, tls: ssl.SSLContext | None) -> "_Route":
        """Raises SendFailed where it cannot be dialled."""
        try:
            url = URL(text, encoded=True)
            origin = aiohttp.ClientRequest("GET", url, ssl=tls or True)
        except ValueError:
            raise SendFailed("the URL cannot be dialled", sent=Sent.NOTHING) from None
        if url.scheme not in {"http", "https"}:
            raise SendFailed("the URL is neither http nor https", sent=Sent.NOTHING)
        route = cls(origin, url.raw_path_qs, url.host_port_subcomponent or "")
        if " " in route.target + route.host:
            # The rest would be read as the version of HTTP.
            raise SendFailed("the URL holds a space", sent=Sent.NOTHING)
        return route


@asynccontextmanager
async def _at_most(until: float) -> AsyncIterator[None]:
    """As ``asyncio.timeout_at``, but over one turn of the loop later. A process that was stopped finds together what
    was answered meanwhile and that its time is over: then the answer counts, or all that it was sending would be
    repeated.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit:
        timer = loop.call_at(until, limit.reschedule, 0.0)
        try:
            yield
        finally:
            timer.cancel()


def _answer(exchange: Exchange) -> Answer:
    body, partial = bytes(exchange.body), not exchange.whole
    return Answer(exchange.status, exchange.headers, body, partial=partial, times=exchange.times())


def _head(method: str, route: _Route, headers: Iterable[tuple[str, str]], length: int) -> bytes:
    """All that comes before the body.

    Raises:
        SendFailed: a header that would be two, or is not ASCII. It is not repeated: it may be a token.

    """
    lines = [
        f"{method} {route.target} HTTP/1.1",
        f"host: {route.host}",
        *[f"{name}: {value}" for name, value in headers],
        "accept-encoding: identity",
    ]
    if length or method not in {"GET", "HEAD"}:
        lines.append(f"content-length: {length}")
    text = "".join(lines)
    if not (text.isascii() and text.isprintable()):
        raise SendFailed("a header is not printable ASCII", sent=Sent.NOTHING)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
