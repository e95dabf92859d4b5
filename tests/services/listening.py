"""A server of a test: when it ends, so do its connections.

asyncio closes a server and leaves its connections open, also those that it accepts meanwhile. The garbage collector
finds them later, and its warning would fail whatever test runs then.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from notification_sender.sandbox.serving import accept_no_more

from .program import HOST

Take = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

LAST_TURNS = 2
"""Turns of the event loop until an aborted connection has closed its socket."""


@asynccontextmanager
async def serving(
    take: Take, host: str | Sequence[str] = HOST, port: int = 0, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[asyncio.Server]:
    """``take`` gets each connection. At the end it is cancelled, and every connection is aborted."""
    taking: set[asyncio.Task[None]] = set()
    connections: list[asyncio.StreamWriter] = []

    async def keep(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        taking.add(task := asyncio.ensure_future(take(reader, writer)))
        await asyncio.wait({task})
        if not task.cancelled():
            task.result()

    server = await asyncio.start_server(keep, host, port, ssl=tls)
    try:
        yield server
    finally:
        await accept_no_more(server)
        server.close()
        for task in taking:
            task.cancel()
        await asyncio.gather(*taking, return_exceptions=True)
        for writer in connections:
            writer.transport.abort()
        for _ in range(LAST_TURNS):
            await asyncio.sleep(0)
