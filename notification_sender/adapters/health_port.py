"""The sockets of the health port. Each client gets limited time, limited bytes, and one answer."""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus

import structlog

from notification_sender.model.errors import ConfigurationFault

LISTEN_BACKLOG = 64
"""Connections that the system queues until the server accepts them."""

MAX_CONNECTIONS = 64
"""Open connections at most. For one more, the server closes the connection that has been idle for longest."""

REQUEST_TIMEOUT = 5.0
"""Seconds to receive a request, and again to send the answer."""

MAX_REQUEST_BYTES = 8192
"""Bytes of a request. No request here has a body."""

CLOSE_TIMEOUT = 0.5
"""Seconds to read on after an answer: closing a socket with unread bytes may discard the answer (TCP reset)."""

ACCEPT_RETRY_SECONDS = 0.1
"""Seconds until the next accept, when the process may open no more files."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Request:
    """``peer``: the client's address. ``accept``: what the client can read, as in its header; may be empty."""

    method: str
    path: str
    peer: str
    accept: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """``also``: further header lines."""

    status: HTTPStatus
    kind: str
    body: bytes
    also: str = ""


def listen(host: str, port: int) -> socket.socket:
    """Listen on the health port; ``port`` 0: any free one.

    Raises:
        ConfigurationFault: the address is not this machine's, or the port is in use.
    """
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listener = socket.create_server((host, port), family=family, backlog=LISTEN_BACKLOG)
    except OSError as fault:
        raise ConfigurationFault(
            f"NS_HTTP_HOST, NS_HTTP_PORT: cannot listen on {host}:{port} ({fault}); set another address or port"
        ) from fault
    listener.setblocking(False)  # noqa: FBT003 - its one argument
    return listener


class HealthPort:
    """The server of one listening socket."""

    def __init__(self, listener: socket.socket, answer: Callable[[Request], Awaitable[Answer]]) -> None:
        self._listener = listener
        self._answer = answer
        self._open: dict[asyncio.Task[None], None] = {}
        self._idle: dict[asyncio.Task[None], None] = {}
        """Connections without a request so far, or whose request was answered; the oldest first."""

    async def serve(self) -> None:
        """Serve until cancelled; then close all connections."""
        loop = asyncio.get_running_loop()
        try:
            while True:
                try:
                    connection, peer = await loop.sock_accept(self._listener)
                except OSError:
                    await asyncio.sleep(ACCEPT_RETRY_SECONDS)
                    continue
                await self._take(connection, str(peer[0]))
        finally:
            for task in self._open:
                task.cancel()
            await asyncio.gather(*self._open, return_exceptions=True)

    async def _take(self, connection: socket.socket, peer: str) -> None:
        if len(self._open) >= MAX_CONNECTIONS:
            if not self._idle:
                connection.close()
                return
            oldest = next(iter(self._idle))
            oldest.cancel()
            await asyncio.wait({oldest})
        task = asyncio.get_running_loop().create_task(self._serve(connection, peer))
        self._open[task] = self._idle[task] = None
        task.add_done_callback(partial(self._forget, connection))

    def _forget(self, connection: socket.socket, task: asyncio.Task[None]) -> None:
        connection.close()
        self._open.pop(task, None)
        self._idle.pop(task, None)

    async def _serve(self, connection: socket.socket, peer: str) -> None:
        # The client closed, or was too slow: it gets no answer.
        with suppress(OSError, TimeoutError):
            async with asyncio.timeout(REQUEST_TIMEOUT):
                head = await _head(connection)
            task = asyncio.current_task()
            if head is None or task is None:
                return
            del self._idle[task]
            answer = await self._answered(head, peer)
            async with asyncio.timeout(REQUEST_TIMEOUT):
                await asyncio.get_running_loop().sock_sendall(connection, _written(answer, head))
            self._idle[task] = None
            await _take_leave(connection)

    async def _answered(self, head: bytes, peer: str) -> Answer:
        try:
            return await self._judged(head, peer)
        except Exception as fault:  # noqa: BLE001 - it fails one request; the others must be answered
            _log.error("health.unexpected", error=repr(fault))
            return Answer(HTTPStatus.INTERNAL_SERVER_ERROR, "text/plain", b"")

    async def _judged(self, head: bytes, peer: str) -> Answer:
        words = head.partition(b"\r\n")[0].split(b" ")
        if len(head) > MAX_REQUEST_BYTES:
            return Answer(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "text/plain", b"")
        if len(words) != len(("method", "target", "version")) or not words[2].startswith(b"HTTP/1."):
            return Answer(HTTPStatus.BAD_REQUEST, "text/plain", b"")
        method, target = (word.decode("latin-1") for word in words[:2])
        return await self._answer(Request(method, target.partition("?")[0], peer, _accepted(head)))


async def _head(connection: socket.socket) -> bytes | None:
    """Everything before the empty line, or more bytes than allowed. None: the client closed before."""
    loop, head = asyncio.get_running_loop(), b""
    while len(head) <= MAX_REQUEST_BYTES:
        some = await loop.sock_recv(connection, MAX_REQUEST_BYTES)
        if not some:
            return None
        head += some
        if b"\r\n\r\n" in head:
            return head.partition(b"\r\n\r\n")[0]
    return head


def _accepted(head: bytes) -> str:
    lines = (line.partition(b":") for line in head.split(b"\r\n")[1:])
    return ",".join(value.decode("latin-1").strip() for name, _, value in lines if name.lower() == b"accept")


def _written(answer: Answer, head: bytes) -> bytes:
    lines = (
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}\r\n"
        f"Content-Type: {answer.kind}\r\nContent-Length: {len(answer.body)}\r\nConnection: close\r\n{answer.also}\r\n"
    )
    return lines.encode() + (b"" if head.startswith(b"HEAD ") else answer.body)


async def _take_leave(connection: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    connection.shutdown(socket.SHUT_WR)
    async with asyncio.timeout(CLOSE_TIMEOUT):
        while await loop.sock_recv(connection, MAX_REQUEST_BYTES):
            pass
