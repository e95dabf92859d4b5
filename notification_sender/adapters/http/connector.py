"""aiohttp's connector with our own connection class and a connect deadline, and the connections that are kept."""

import asyncio
import ssl
from collections import deque
from functools import cache, partial
from itertools import chain
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey
from aiohttp.connector import Connection

from notification_sender.adapters.http.connection import HttpConnection
from notification_sender.adapters.tls import Tls
from notification_sender.policy.trust import public_trust
from notification_sender.telemetry.lag import Deadline


@cache
def public() -> ssl.SSLContext:
    """Trust of the system's authorities. aiohttp has read their files while it was imported: a second time would be as
    slow. Without its copy (it promises none) they are read here, so a worker calls this in a thread while it connects.
    """
    context = public_trust(getattr(aiohttp.connector, "_SSL_CONTEXT_VERIFIED", None))
    context.set_alpn_protocols(["http/1.1"])
    return context


class Connector(aiohttp.TCPConnector):
    """``within``: seconds for a new connection, TLS handshake included. ``idle``: seconds for which one is kept.

    aiohttp dials and closes. Kept connections stay in use in its eyes: to give one back to its pool and to take it out
    again takes 20 calls more for each request. Without a limit of connections its pool decides nothing.

    ``tls``: of connections for which the request names none.
    """

    def __init__(self, *, within: float, idle: float, tls: Tls | None, **options: Any) -> None:
        super().__init__(ssl=public() if tls is None else True, limit=0, **options)
        self._tls = tls
        self._within = within
        self._idle = idle
        self._kept: dict[ConnectionKey, deque[tuple[Connection, float]]] = {}
        """With the time since when each is idle, the longest first."""
        self._expiring: asyncio.TimerHandle | None = None
        self._factory = partial(HttpConnection, loop=asyncio.get_running_loop())  # type: ignore[assignment]

    def is_connected(self, key: ConnectionKey) -> bool:
        """Whether an idle connection is kept for ``key``; its other side may have closed it."""
        return key in self._kept

    def take(self, key: ConnectionKey, now: float) -> Connection | None:
        """The connection that has been idle longest for ``key``. Its other side may have closed it. ``now``: the time
        of the loop, which may have been stopped for longer than connections are kept.
        """
        kept = self._kept.get(key)
        while kept:
            connection, since = kept.popleft()
            if not kept:
                del self._kept[key]
            if now - since <= self._idle:
                return connection
            connection.close()
        return None

    def keep(self, key: ConnectionKey, connection: Connection) -> HttpConnection | None:
        """Keep a connection for its next request, and return what it is on the wire. None: it takes no other."""
        wire = connection.protocol
        if not isinstance(wire, HttpConnection) or wire.should_close or not wire.is_connected():
            connection.close()
            return None
        if key not in self._kept:
            self._kept[key] = deque()
        self._kept[key].append((connection, self._loop.time()))
        if self._expiring is None:
            self._expiring = self._loop.call_later(self._idle, self._expire)
        return wire

    def _expire(self) -> None:
        """Close those that were idle for too long, and those that ended meanwhile."""
        now, self._expiring = self._loop.time(), None
        for key, kept in [*self._kept.items()]:
            while kept and now - kept[0][1] >= self._idle:
                kept.popleft()[0].close()
            if not kept:
                del self._kept[key]
        if self._kept:
            oldest = min(kept[0][1] for kept in self._kept.values())
            self._expiring = self._loop.call_later(oldest + self._idle - now, self._expire)

    async def close(self, *, abort_ssl: bool = False) -> None:
        """Close all connections, also those in use."""
        if self._expiring is not None:
            self._expiring.cancel()
        await super().close(abort_ssl=abort_ssl)
        for connection, _ in chain(*self._kept.values()):
            connection.close()  # else it would say that it was forgotten
        self._kept.clear()

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> ResponseHandler:
        async with Deadline(self._within):
            if self._tls is not None and req.is_ssl():
                self._ssl = await self._tls.context()
            return await super()._create_connection(req, traces, timeout)
