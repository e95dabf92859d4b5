"""One HTTP server of the sandbox, and the cases without an answer."""

import asyncio
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Literal, cast

from aiohttp import web

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
HOST = "127.0.0.1"
"""The default address: the sandbox has no TLS, and it prints its secrets."""
MAX_BODY = 16 * 1024 * 1024
ACCEPT_TURNS = 4
"""Turns of the event loop from the connection that asyncio accepts to the protocol that it gets, and one more."""
LAST_ANSWERS = 0.1
"""Seconds for which a stopping server waits for its calls. A call that hangs never ends by itself."""


class Server:
    """Serves ``routes``: (method, path template, handler). Port 0 takes a free port. ``host`` is also in the URL."""

    def __init__(self, routes: list[tuple[str, str, Handler]], port: int = 0, host: str = HOST) -> None:
        application = web.Application(client_max_size=MAX_BODY)
        for method, path, handler in routes:
            application.router.add_route(method, path, handler)
        # Without handler_cancellation a call would stay in flight after its caller has left.
        self._runner = web.AppRunner(
            application, access_log=None, handler_cancellation=True, shutdown_timeout=LAST_ANSWERS
        )
        self.host = host
        self.port = port

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, self.host, self.port).start()
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        for site in self._runner.sites:
            await accept_no_more(cast("Any", site)._server)  # noqa: SLF001 - aiohttp says it nowhere else
        await self._runner.cleanup()

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """The server runs while the block runs."""
        await self.start()
        try:
            yield
        finally:
            await self.stop()


async def accept_no_more(server: asyncio.Server) -> None:
    """Accept no more connections, and wait until those that were accepted have their protocols. Then close them.

    A connection that asyncio accepts while it closes the server would stay open.
    """
    for listening in server.sockets:
        asyncio.get_running_loop().remove_reader(listening.fileno())
    for _ in range(ACCEPT_TURNS):
        await asyncio.sleep(0)


async def leave_unanswered(request: web.Request, how: Literal["hang", "close"]) -> web.Response:
    """Send no answer to a request that was read. The caller cannot know its outcome."""
    if how == "hang":
        await asyncio.Event().wait()
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


def interruption() -> asyncio.Event:
    """Return an event that SIGINT and SIGTERM set from now on."""
    stop, loop = asyncio.Event(), asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


async def interrupted() -> None:
    """Wait for SIGINT or SIGTERM."""
    await interruption().wait()
