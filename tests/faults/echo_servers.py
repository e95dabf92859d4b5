"""Servers that repeat in their answers whatever they were told."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from itertools import cycle
from typing import Any

import orjson
from aiohttp import web
from aiosmtpd.smtp import SMTP, Envelope, Session

from notification_sender.sandbox.serving import Server
from tests.services.program import HOST

STATUSES = (500, 400, 200, 403, 503)


class EchoServer:
    """An HTTP server: at ``url(503)`` it answers so, at ``url("turns")`` by turns, at ``url("hang")`` never."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self._turns = cycle(STATUSES)
        self.server = Server([("*", "/{how}/{rest:.*}", self._repeat)])

    def url(self, how: object) -> str:
        return f"{self.server.url}/{how}"

    async def _repeat(self, request: web.Request) -> web.StreamResponse:
        how, body = request.match_info["how"], await request.text()
        told = {str(name): value for name, value in request.headers.items()}
        self.heard.append(f"{request.url} {told} {body}")
        if how == "hang":
            await asyncio.Event().wait()
        heard = {"headers": told, "body": body, "all": self.heard[-1]}
        status = next(self._turns) if how == "turns" else int(how)
        secret = request.headers.get("authorization") or request.headers.get("webhook-signature", "nothing")
        headers = {"Retry-After": secret, "Location": f"{request.url}", "Server-Timing": secret, "X-Heard": secret}
        return web.Response(status=status, reason=f"no {secret}", body=orjson.dumps(heard), headers=headers)


class EchoMailServer:
    """Answers ``<name>-<code>@…`` with that code and the address, before or (``<name>-data-<code>@…``) after DATA."""

    async def handle_RCPT(  # noqa: N802 - aiosmtpd finds its hooks by these names
        self, _server: SMTP, _session: Session, envelope: Envelope, address: str, _options: list[str]
    ) -> str:
        envelope.rcpt_tos.append(address)
        code = _code(address)
        return "250 fine" if "-data-" in address else f"{code} {code[0]}.1.1 <{address}> said {address}"

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        code = _code(envelope.rcpt_tos[0])
        letter = (envelope.original_content or b"").decode("utf-8", "replace")
        return f"{code} {code[0]}.0.0 {envelope.rcpt_tos[0]} {' '.join(letter.split())[:300]}"


def _code(address: str) -> str:
    return address.partition("@")[0].rpartition("-")[2]


@asynccontextmanager
async def echo_mail_server() -> AsyncIterator[str]:
    """Its URL."""
    connections: list[Any] = []

    def connection() -> SMTP:
        connections.append(SMTP(EchoMailServer(), hostname="echo.example"))
        return connections[-1]

    factory: Callable[[], SMTP] = connection
    server = await asyncio.get_running_loop().create_server(factory, HOST, 0)
    try:
        yield f"smtp://{HOST}:{server.sockets[0].getsockname()[1]}?starttls=none"
    finally:
        server.close()
        for one in connections:
            if one.transport is not None:
                one.transport.abort()
