"""Whoever waits on ports of this machine for what should never come, and for what should."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from tests.services.listening import serving

ANSWER = b"HTTP/1.1 %d Said\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"


class Listener:
    """Counts connections by the address that was dialled, and answers ``statuses`` in turn, then 200."""

    def __init__(self, port: int, statuses: Sequence[int] = ()) -> None:
        self.port = port
        self.dialled: list[str] = []
        self._statuses = list(statuses)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.dialled.append(writer.get_extra_info("sockname")[0])
        try:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(ANSWER % (self._statuses.pop(0) if self._statuses else 200))
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def listening(
    port: int, *hosts: str, statuses: Sequence[int] = (), tls: ssl.SSLContext | None = None
) -> AsyncIterator[Listener]:
    """On ``hosts``, all with the same ``port``."""
    listener = Listener(port, statuses)
    async with serving(listener.take, hosts, port, tls=tls):
        yield listener
