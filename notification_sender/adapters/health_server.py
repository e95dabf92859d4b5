"""The HTTP server for Kubernetes, Prometheus and operators. It runs in a thread of its own.

=========  =====================================================================================
/livez     200 while the worker's loop makes progress, else 503: the process should be killed
/readyz    200 while RabbitMQ and Redis are connected and the worker consumes, else 503; names each
/metrics   Prometheus text
/status    JSON for people and ``jq``; for clients on this machine, unless NS_STATUS=open
=========  =====================================================================================
"""

import asyncio
import concurrent.futures
import math
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Protocol, TypeVar

import orjson
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from notification_sender.adapters.health_port import Answer, HealthPort
from notification_sender.fleet.background import run_forever
from notification_sender.model.errors import ConfigurationFault

LOOP_TIMEOUT = 2.0
"""Seconds that the worker's loop may take to answer a question of this thread."""

METRICS_TTL = 1.0
"""Seconds for which a rendered metrics text is reused: rendering costs CPU, however many clients scrape."""

RECHECK_SECONDS = 0.2
"""Seconds before ``/livez`` checks a stuck loop again: Kubernetes kills the process for its 503."""

LISTEN_BACKLOG = 64
"""Connections that the system queues until the server accepts them."""

STOP_TIMEOUT = 1.0
"""Seconds that the thread may take to end. A last scrape is not worth waiting for."""

Result = TypeVar("Result")
_JSON = "application/json"


class Figures(Protocol):
    """All metrics of this process."""

    def refresh(self) -> None:
        """Read the values that are only known on reading, on the worker's loop."""

    def expose(self) -> bytes:
        """Render the text; may be called from any thread."""


class Health:
    """The server has its own thread: a stuck loop cannot report that it is stuck, and a busy loop should not have to.

    ``stuck`` (called from any thread): seconds without progress; from ``dead`` seconds on the process counts as dead.
    ``ready`` and ``status`` are called on the worker's loop. ``open_status``: any client may read the status.
    """

    def __init__(
        self,
        *,
        ready: Callable[[], Mapping[str, bool]],
        stuck: Callable[[], float],
        dead: float,
        status: Callable[[], Mapping[str, Any]],
        metrics: Figures,
        open_status: bool = False,
    ) -> None:
        self._ready = ready
        self._stuck = stuck
        self._dead = dead
        self._status = status
        self._metrics = metrics
        self._open_status = open_status
        self._work: asyncio.AbstractEventLoop | None = None
        self._end: Callable[[], object] = bool
        self._ended = asyncio.Event()
        self._made = (-math.inf, b"")
        self._making = asyncio.Lock()
        self._paths = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._scrape,
            "/status": self._show_status,
        }
        self.port = 0
        """The port it listens on; 0 while it does not listen. With ``NS_HTTP_PORT=0`` the system chooses it."""

    async def start(self, host: str, port: int) -> None:
        """Start to listen.

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
        self.port = listener.getsockname()[1]
        self._work = asyncio.get_running_loop()
        begun = asyncio.Event()
        threading.Thread(target=asyncio.run, args=(self._serve(listener, begun),), name="health", daemon=True).start()
        await begun.wait()

    async def stop(self) -> None:
        """Stop to listen. May be called when it never started."""
        if self.port:
            self.port = 0
            self._end()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT):
                    await self._ended.wait()

    async def _serve(self, listener: socket.socket, begun: asyncio.Event) -> None:
        own, end = asyncio.get_running_loop(), asyncio.Event()
        self._end = lambda: own.call_soon_threadsafe(end.set)
        with listener:
            serving = run_forever(HealthPort(listener, self._answer).serve, "health")
            self._signal_work(begun)
            await end.wait()
            serving.cancel()
            await asyncio.wait({serving})
        self._signal_work(self._ended)

    def _signal_work(self, event: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the worker's loop has ended already
            (self._work or asyncio.get_running_loop()).call_soon_threadsafe(event.set)

    async def _answer(self, method: str, path: str, peer: str) -> Answer:
        answer = self._paths.get(path)
        if answer is None:
            return Answer(HTTPStatus.NOT_FOUND, "text/plain", b"")
        if method not in {"GET", "HEAD"}:
            return Answer(HTTPStatus.METHOD_NOT_ALLOWED, "text/plain", b"", "Allow: GET, HEAD\r\n")
        return await answer(peer)

    async def _livez(self, _: str) -> Answer:
        if self._stuck() >= self._dead:
            # After SIGSTOP of the whole process the watchdog has not run yet: give it a turn.
            await asyncio.sleep(RECHECK_SECONDS)
        stuck = self._stuck()
        live = stuck < self._dead
        return _json({"live": live} if live else {"live": False, "stuck_seconds": round(stuck, 1)}, well=live)

    async def _readyz(self, _: str) -> Answer:
        try:
            parts = dict(await self._asked(self._ready))
        except TimeoutError:
            parts = {"loop": False}
        ready = all(parts.values())
        return _json({"ready": ready, **parts}, well=ready)

    async def _scrape(self, _: str) -> Answer:
        loop = asyncio.get_running_loop()
        async with self._making:
            if loop.time() - self._made[0] >= METRICS_TTL:
                with suppress(TimeoutError):
                    # Values that cannot be refreshed stay as they were. The loop's lag is readable all the same.
                    await self._asked(self._metrics.refresh)
                self._made = (loop.time(), await asyncio.to_thread(self._metrics.expose))
        return Answer(HTTPStatus.OK, CONTENT_TYPE_PLAIN_0_0_4, self._made[1])

    async def _show_status(self, peer: str) -> Answer:
        if not (self._open_status or _loopback(peer)):
            words = (
                b"/status names hosts and APIs, so only clients on this machine may read it. "
                b"NS_STATUS=open opens it to all clients.\n"
            )
            return Answer(HTTPStatus.FORBIDDEN, "text/plain", words)
        try:
            return _json(await self._asked(self._status), well=True)
        except TimeoutError:
            return _json({"stuck_seconds": round(self._stuck(), 1)}, well=False)

    async def _asked(self, question: Callable[[], Result]) -> Result:
        """Ask on the worker's loop; raises TimeoutError where it does not answer in time."""
        answer: concurrent.futures.Future[Result] = concurrent.futures.Future()

        def ask() -> None:
            if not answer.set_running_or_notify_cancel():
                return  # the caller has given up
            try:
                answer.set_result(question())
            except Exception as fault:  # noqa: BLE001 - raised again in the caller
                answer.set_exception(fault)

        try:
            (self._work or asyncio.get_running_loop()).call_soon_threadsafe(ask)
        except RuntimeError:
            raise TimeoutError from None  # the loop has ended
        async with asyncio.timeout(LOOP_TIMEOUT):
            return await asyncio.wrap_future(answer)


def _loopback(peer: str) -> bool:
    address = ip_address(peer.partition("%")[0])
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _json(value: Mapping[str, Any], *, well: bool) -> Answer:
    status = HTTPStatus.OK if well else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, _JSON, orjson.dumps(value))
