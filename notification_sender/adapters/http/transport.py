"""The HTTP engine: aiohttp's connections and parser, with exchanges that tell whether bytes were sent."""

import asyncio
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import aiohttp
import httpx
from aiohttp.abc import AbstractResolver
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection
from yarl import URL

from notification_sender.adapters.http.connection import HttpConnection
from notification_sender.adapters.http.connector import Connector
from notification_sender.adapters.http.egress import Allow, Dial, EgressFilter, dialling
from notification_sender.adapters.http.exchange import AIOHTTP_ERRORS, OUT_OF_FILES, Answer, HttpExchange, Reach
from notification_sender.adapters.http.idle_connections import IdleConnections
from notification_sender.adapters.tls import Tls
from notification_sender.model.errors import Sent, TransportError, Unready
from notification_sender.ports.channels import Begin
from notification_sender.telemetry.lag import Deadline, responsive_time

IDLE_SECONDS = 15.0
"""Seconds that an unused connection is kept. Many servers close after 60 s, some after 20 s; a request that meets a
closing connection ends with an unknown outcome."""

MAX_CONNECTION_AGE = 60.0
"""Seconds for which a connection takes requests, however busy it is. A name is resolved and a certificate is checked
on dialling only, so a moved name or a withdrawn certificate takes effect within this time. Checking the address of a
kept connection again would find nothing: the address does not change, and the rules are fixed at start."""

LARGE_BODIES_AT_ONCE = 2
"""Large bodies that are read at a time: they are held in memory, and a broken API may send one to every call."""

CACHED_ROUTES = 4096
"""URLs, per organization, whose parsed form is cached: parsing costs as much as the rest of an exchange."""

_UNLIMITED = aiohttp.ClientTimeout(total=None)
_FRAMING = (b"host", b"content-length", b"transfer-encoding", b"accept-encoding")


class AiohttpTransport(httpx.AsyncBaseTransport):
    """One request, one answer: no redirects, cookies, proxies or decompression, and at most ``max_bytes`` of a body.

    ``allow`` checks the address of every new connection; a name with one forbidden address is refused as a whole.
    ``idle`` limits the idle connections of all transports that share it. ``deadline``: seconds from the start to the
    last byte. ``connect_timeout``: seconds to the end of the TLS handshake. ``partial``: return an incomplete answer
    (too long, badly framed, broken off, or late) as far as it arrived, once its status line is read. Without
    ``partial`` such an answer is an error.

    aiohttp dials, keeps connections and parses answers. Its session is not used: in aiohttp 3.14 a POST through it
    costs three times as much CPU, for redirects, cookies, proxies, hooks and a writer task, which are not needed here.
    """

    def __init__(
        self,
        *,
        allow: Allow | None = None,
        deadline: float = 15.0,
        max_bytes: int = 64 * 1024,
        connect_timeout: float = 3.0,
        partial: bool = False,
        tls: Tls | None = None,
        resolver: AbstractResolver | None = None,
        idle: IdleConnections | None = None,
    ) -> None:
        self._allow = allow
        self._deadline = deadline
        self._max_bytes = max_bytes
        self._connect_timeout = connect_timeout
        self._partial = partial
        self._tls = tls
        self._resolver = resolver
        self._idle = IdleConnections() if idle is None else idle
        self._large = asyncio.Semaphore(LARGE_BODIES_AT_ONCE)
        self._connector: Connector | None = None
        self._route = lru_cache(maxsize=CACHED_ROUTES)(_Route.to)  # per instance: a route belongs to one event loop

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """``exchange`` for httpx. It ignores httpx's timeouts and its host, length and encoding headers.

        The request's ``extensions`` may set ``deadline``, ``max_bytes`` and ``reach``; those of the answer hold
        ``partial`` and ``times``. Read the body from the stream: ``aread()`` would decode an encoding that the server
        applied unasked, without a limit.
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
                reach=request.extensions.get("reach"),
            )
        except Unready as fault:
            raise TransportError(str(fault), sent=Sent.NOTHING) from fault
        return httpx.Response(
            answer.status,
            headers=answer.headers,
            stream=httpx.ByteStream(answer.body),
            extensions={"partial": answer.partial, "times": answer.times},
        )

    def is_connected(self, url: str, tls: ssl.SSLContext | None, organization: str) -> bool:
        """Whether an idle connection is kept for ``exchange`` with these; its other side may have closed it by now."""
        if self._connector is None:
            return False
        try:
            return self._connector.is_connected(self._route(url, tls, organization).key)
        except TransportError:
            return False  # it cannot be dialled, as ``exchange`` will say

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
        organization: str = "",
        reach: Reach | None = None,
    ) -> Answer:
        """Send a request and read its whole answer. Host, content-length and accept-encoding are added to ``headers``.

        ``begin`` is awaited, within the deadline, right before the request is written. ``tls`` replaces the transport's
        own context. Only the ``organization`` for which a connection was opened uses it: that organization may dial the
        address, and surplus bytes of one answer must not be read as the answer to another organization's request.

        Raises:
            ForbiddenAddress: ``allow`` refused the address; nothing was sent.
            TransportError: nothing was sent, or the outcome is unknown.
            SlowDown: the name could not be looked up for a reason on our side; nothing was sent.
            ClaimLost, Unready: from ``begin``; nothing was sent. Unready also when no more files can be opened.

        """
        asked = responsive_time()
        until = asked + (self._deadline if deadline is None else deadline)
        exchange = HttpExchange(max_bytes or self._max_bytes, self._large, responsive_time, asked, until, reach)
        route = self._route(url, tls, organization)
        dial = Dial(route.tls, organization)
        request = _head(method, route, headers, len(body)) + body
        cause = await self._carried_out(exchange, route, dial, request, begin)
        return self._answer_of_raw_head(exchange, route, dial, cause)

    def _answer_of_raw_head(self, exchange: HttpExchange, route: "_Route", dial: Dial, cause: str) -> Answer:
        if not exchange.status:
            exchange.read_raw_head()
        if exchange.whole or (exchange.status and self._partial):
            body, partial = bytes(exchange.body), not exchange.whole
            return Answer(exchange.status, exchange.headers, body, partial=partial, times=exchange.times())
        if dial.refused and not exchange.begun:  # if it began, another address of the name was allowed
            raise dial.refused
        raise TransportError(f"{route.origin.host}: {cause}", sent=exchange.sent, ill=exchange.ill)

    async def _carried_out(
        self, exchange: HttpExchange, route: "_Route", dial: Dial, request: bytes, begin: Begin | None
    ) -> str:
        """Carry the exchange out; returns the reason if its answer is not complete."""
        try:
            async with Deadline(exchange.until - exchange.asked):
                connection = await self._connection(route, dial)
                try:
                    await exchange.run(connection, request, begin)
                finally:
                    # A connection whose answer did not end cleanly cannot be used again.
                    if exchange.reusable:
                        self._keep(connection, route)
                    else:
                        connection.close()
        except AIOHTTP_ERRORS as fault:
            if isinstance(fault, OSError) and fault.errno in OUT_OF_FILES:
                self._idle.close_all()  # idle connections hold files that due requests need
                raise Unready(f"no more connections can be opened: {fault.strerror}") from fault
            tls = self._tls.fault(fault) if self._tls else None
            return tls.text if tls else exchange.describe(fault)
        return "the answer is longer than may be read"

    async def aclose(self) -> None:
        """Close all connections."""
        if self._connector is not None:
            await self._connector.close()

    def _keep(self, connection: Connection, route: "_Route") -> None:
        wire = None if self._connector is None else self._connector.keep(route.key, connection)
        if wire is not None:
            self._idle.add(wire, route.organization)

    async def _connection(self, route: "_Route", dial: Dial) -> Connection:
        """Take an idle connection, or open a new one."""
        if self._connector is None:
            self._connector = self._open()
        now = asyncio.get_running_loop().time()
        while (connection := self._connector.take(route.key, now)) is not None:
            wire = connection.protocol
            if isinstance(wire, HttpConnection):
                self._idle.remove(wire)
                if now - wire.born <= MAX_CONNECTION_AGE and not wire.is_stale():
                    return connection
            connection.close()
        token = dialling.set(dial)
        try:
            return await self._connector.connect(route.origin, [], _UNLIMITED)
        finally:
            dialling.reset(token)

    def _open(self) -> Connector:
        """Create the connector on first use: aiohttp needs a running loop.

        It has no limit of connections: a caller that waits for one would hold a delivery slot meanwhile.
        """
        resolver = self._resolver or aiohttp.ThreadedResolver()
        egress = EgressFilter(resolver, self._allow) if self._allow else None
        return Connector(
            within=self._connect_timeout,
            idle=IDLE_SECONDS,
            tls=self._tls,
            resolver=egress or resolver,
            use_dns_cache=egress is None,  # an address may be allowed to one organization and not to another
            socket_factory=egress.socket if egress else None,
        )


class _Origin(aiohttp.ClientRequest):
    """The request as the connector sees it."""

    key: ConnectionKey

    def belongs_to(self, organization: str) -> None:
        """Keep organizations' connections apart, by the one field of the key that is unused without a proxy."""
        self.key = super().connection_key._replace(proxy_headers_hash=organization)  # type: ignore[arg-type]

    @property
    def connection_key(self) -> ConnectionKey:
        return self.key


@dataclass(frozen=True, slots=True)
class _Route:
    """A parsed URL: for the connector (``origin``, which is never sent itself) and for the request's head."""

    origin: aiohttp.ClientRequest
    key: ConnectionKey
    """Of the connections that such requests may use."""
    tls: bool
    target: str
    host: str
    organization: str

    @classmethod
    def to(cls, text: str, context: ssl.SSLContext | None, organization: str = "") -> "_Route":
        """Parse a URL; raises TransportError where it cannot be dialled."""
        try:
            url = URL(text, encoded=True)
            origin = _Origin("GET", url, ssl=context or True)
        except (ValueError, IndexError):  # yarl raises the latter for a user after an address in brackets
            raise TransportError("the URL cannot be dialled", sent=Sent.NOTHING) from None
        if url.scheme not in {"http", "https"}:
            raise TransportError("the URL is neither http nor https", sent=Sent.NOTHING)
        origin.belongs_to(organization)
        tls, host = url.scheme == "https", url.host_port_subcomponent or ""
        route = cls(origin, origin.key, tls, url.raw_path_qs, host, organization)
        if " " in route.target + route.host:
            # The receiver would read the text after the space as the version of HTTP.
            raise TransportError("the URL holds a space", sent=Sent.NOTHING)
        return route


def _head(method: str, route: _Route, headers: Iterable[tuple[str, str]], length: int) -> bytes:
    """The request line and the headers.

    Raises:
        TransportError: a header is not printable ASCII, or holds a line break. It is not shown: it may be a token.

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
        raise TransportError("a header is not printable ASCII", sent=Sent.NOTHING)
    return ("\r\n".join(lines) + "\r\n\r\n").encode()
