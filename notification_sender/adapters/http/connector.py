"""aiohttp's connector with our own connection class and a connect deadline."""

import asyncio
import ssl
from functools import cache, partial
from typing import Any

import aiohttp
from aiohttp.client_proto import ResponseHandler
from aiohttp.client_reqrep import ConnectionKey

from notification_sender.adapters.http.connection import HttpConnection
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
    """``within``: seconds for a new connection, TLS handshake included. A kept connection needs no timer."""

    def __init__(self, *, within: float, tls: ssl.SSLContext, **options: Any) -> None:
        super().__init__(ssl=tls, **options)
        self._within = within
        self._factory = partial(HttpConnection, loop=asyncio.get_running_loop())  # type: ignore[assignment]

    def is_connected(self, key: ConnectionKey) -> bool:
        """Whether an idle connection is kept for ``key``; its other side may have closed it."""
        return key in self._conns

    async def _create_connection(
        self,
        req: aiohttp.ClientRequest,
        traces: list[Any],
        timeout: aiohttp.ClientTimeout,  # noqa: ASYNC109 - aiohttp's signature
    ) -> ResponseHandler:
        async with Deadline(self._within):
            return await super()._create_connection(req, traces, timeout)
