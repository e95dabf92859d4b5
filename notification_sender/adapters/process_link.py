"""The connection between a parent and one of its worker processes: questions one way, answers the other.

Both ends are a pair of sockets that the parent makes before it starts the worker. It needs no port and no file, and no
other process can reach it. Each end notices the end of the other process, however that ended.

========  ==========================================================
question  ``NUMBER PATH`` and a newline
answer    ``NUMBER STATUS LENGTH`` and a newline, then LENGTH bytes
========  ==========================================================
"""

import asyncio
import os
import signal
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

FACTS = "/facts"
"""The question for what the parent must know to answer for its workers. No health port serves it."""

EXEMPLARS = "/metrics/exemplars"
"""The question for the metrics in OpenMetrics. A client asks for these by the header of its request."""

EXIT_MARGIN = 5.0
"""Seconds beyond its own grace after which a worker without a parent ends, finished or not."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker answered."""

    status: int
    body: bytes


class ParentConnection:
    """The worker's end. ``answer`` gets the path. ``grace``: seconds that the worker may take to stop."""

    def __init__(self, connection: socket.socket, answer: Callable[[str], Awaitable[Reply]], grace: float) -> None:
        self._connection = connection
        self._answer = answer
        self._grace = grace

    async def serve(self) -> None:
        """Answer until cancelled. Without a parent, stop this process as SIGTERM does: nobody watches it any more."""
        reader, writer = await asyncio.open_connection(sock=self._connection)
        answering: set[asyncio.Task[None]] = set()
        try:
            with suppress(ConnectionError):
                async for question in reader:
                    task = asyncio.create_task(self._reply(question, writer))
                    answering.add(task)
                    task.add_done_callback(answering.discard)
            os.kill(os.getpid(), signal.SIGTERM)
            await asyncio.sleep(self._grace + EXIT_MARGIN)
            os._exit(1)  # the worker's loop is held, and nobody is left to kill it
        finally:
            for task in answering:
                task.cancel()
            writer.close()

    async def _reply(self, question: bytes, writer: asyncio.StreamWriter) -> None:
        number, _, path = question.decode().strip().partition(" ")
        reply = await self._answer(path)
        writer.write(f"{number} {reply.status} {len(reply.body)}\n".encode() + reply.body)
        with suppress(ConnectionError):
            await writer.drain()


class WorkerConnection:
    """The parent's end. Several questions may be open at once; each answer names its question."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._numbers = count()
        self._open: dict[int, asyncio.Future[Reply]] = {}
        self._writer: asyncio.StreamWriter | None = None

    async def read(self) -> None:
        """Read answers until the worker closes its end or this is cancelled. Then all open questions end unanswered."""
        reader, self._writer = await asyncio.open_connection(sock=self._connection)
        try:
            with suppress(ConnectionError, asyncio.IncompleteReadError):
                async for head in reader:
                    number, status, length = map(int, head.split())
                    reply = Reply(status, await reader.readexactly(length))
                    asked = self._open.pop(number, None)
                    if asked is not None and not asked.done():
                        asked.set_result(reply)
        finally:
            self._writer.close()
            self._writer = None
            for asked in self._open.values():
                asked.cancel()

    async def ask(self, path: str, seconds: float) -> Reply | None:
        """Ask the worker. None: it did not answer in time, is still starting, or has ended."""
        if self._writer is None:
            return None
        number = next(self._numbers)
        asked = self._open[number] = asyncio.get_running_loop().create_future()
        self._writer.write(f"{number} {path}\n".encode())
        try:
            await asyncio.wait({asked}, timeout=seconds)
            return asked.result() if asked.done() and not asked.cancelled() else None
        finally:
            self._open.pop(number, None)
