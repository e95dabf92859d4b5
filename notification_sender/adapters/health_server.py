"""The HTTP server for Kubernetes, Prometheus and operators. It runs in a thread of its own.

=========  =====================================================================================
/livez     200 while the worker's loop makes progress, else 503: the process should be killed
/readyz    200 while RabbitMQ and Redis are connected and the worker consumes, else 503; names each
/metrics   Prometheus text, or OpenMetrics with exemplars for clients that ask for it
/status    JSON for people and ``jq``; for clients on this machine, unless NS_STATUS=open
=========  =====================================================================================
"""

import asyncio
import concurrent.futures
import math
import socket
import threading
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from http import HTTPStatus
from typing import Any, Protocol, TypeVar

from notification_sender.adapters.health_answers import (
    OPENMETRICS,
    PROMETHEUS,
    as_json,
    route,
    status_refused,
    wants_openmetrics,
)
from notification_sender.adapters.health_port import Answer, HealthPort, Request, listen
from notification_sender.adapters.process_link import EXEMPLARS, FACTS, ParentConnection, Reply
from notification_sender.fleet.background import run_forever

LOOP_TIMEOUT = 2.0
"""Seconds that the worker's loop may take to answer a question of this thread."""

METRICS_TTL = 1.0
"""Seconds for which a rendered metrics text is reused: rendering costs CPU, however many clients scrape."""

RECHECK_SECONDS = 0.2
"""Seconds before ``/livez`` checks a stuck loop again: Kubernetes kills the process for its 503."""

STOP_TIMEOUT = 1.0
"""Seconds that the thread may take to end. A last scrape is not worth waiting for."""

PARENT = "127.0.0.1"
"""The parent asks from this machine. It decides by itself who else may read the status."""

FOR_PARENT = {EXEMPLARS: Request("GET", "/metrics", PARENT, OPENMETRICS)}
"""Questions of the parent that differ from those of a client."""

Result = TypeVar("Result")


class Figures(Protocol):
    """All metrics of this process."""

    def refresh(self) -> None:
        """Read the values that are only known on reading, on the worker's loop."""

    def expose(self, *, openmetrics: bool) -> bytes:
        """Render the text of either format; may be called from any thread."""


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
        self._made: dict[str, tuple[float, bytes]] = {}
        """When the text of each type was made, and the text."""
        self._making = asyncio.Lock()
        self._paths = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._scrape,
            "/status": self._show_status,
        }
        self._started = False
        self.port = 0
        """The port it listens on; 0 while it does not listen. With ``NS_HTTP_PORT=0`` the system chooses it."""

    async def start(self, host: str, port: int) -> None:
        """Start to listen.

        Raises:
            ConfigurationFault: the address is not this machine's, or the port is in use.

        """
        listener = listen(host, port)
        self.port = listener.getsockname()[1]
        await self._start(listener, HealthPort(listener, self._answer).serve)

    async def start_for_parent(self, connection: socket.socket, facts: Mapping[str, Any], grace: float) -> None:
        """Answer the parent process in place of a port of our own; stop this process when the parent ends.

        ``facts``: what the parent must know to answer for us. ``grace``: seconds that a stop may take.
        """

        async def answer(path: str) -> Reply:
            request = FOR_PARENT.get(path) or Request("GET", path, PARENT)
            reply = as_json(facts, well=True) if path == FACTS else await self._answer(request)
            return Reply(reply.status, reply.body)

        await self._start(connection, ParentConnection(connection, answer, grace).serve)

    async def _start(self, opened: socket.socket, serve: Callable[[], Awaitable[None]]) -> None:
        self._work = asyncio.get_running_loop()
        begun = asyncio.Event()
        self._started = True
        target = self._serve(opened, serve, begun)
        threading.Thread(target=asyncio.run, args=(target,), name="health", daemon=True).start()
        await begun.wait()

    async def stop(self) -> None:
        """Stop to listen. May be called when it never started."""
        if self._started:
            self._started, self.port = False, 0
            self._end()
            with suppress(TimeoutError):
                async with asyncio.timeout(STOP_TIMEOUT):
                    await self._ended.wait()

    async def _serve(self, opened: socket.socket, serve: Callable[[], Awaitable[None]], begun: asyncio.Event) -> None:
        own, end = asyncio.get_running_loop(), asyncio.Event()
        self._end = lambda: own.call_soon_threadsafe(end.set)
        with opened:
            serving = run_forever(serve, "health")
            self._signal_work(begun)
            await end.wait()
            serving.cancel()
            await asyncio.wait({serving})
        self._signal_work(self._ended)

    def _signal_work(self, event: asyncio.Event) -> None:
        with suppress(RuntimeError):  # the worker's loop has ended already
            (self._work or asyncio.get_running_loop()).call_soon_threadsafe(event.set)

    async def _answer(self, request: Request) -> Answer:
        return await route(self._paths, request)

    async def _livez(self, _: Request) -> Answer:
        if self._stuck() >= self._dead:
            # After SIGSTOP of the whole process the watchdog has not run yet: give it a turn.
            await asyncio.sleep(RECHECK_SECONDS)
        stuck = self._stuck()
        live = stuck < self._dead
        return as_json({"live": live} if live else {"live": False, "stuck_seconds": round(stuck, 1)}, well=live)

    async def _readyz(self, _: Request) -> Answer:
        try:
            parts = dict(await self._asked(self._ready))
        except TimeoutError:
            parts = {"loop": False}
        ready = all(parts.values())
        return as_json({"ready": ready, **parts}, well=ready)

    async def _scrape(self, request: Request) -> Answer:
        kind = OPENMETRICS if wants_openmetrics(request.accept) else PROMETHEUS
        clock = asyncio.get_running_loop().time
        async with self._making:
            if clock() - self._made.get(kind, (-math.inf, b""))[0] >= METRICS_TTL:
                with suppress(TimeoutError):
                    # Values that cannot be refreshed stay as they were. The loop's lag is readable all the same.
                    await self._asked(self._metrics.refresh)
                text = await asyncio.to_thread(self._metrics.expose, openmetrics=kind is OPENMETRICS)
                self._made[kind] = (clock(), text)
        return Answer(HTTPStatus.OK, kind, self._made[kind][1])

    async def _show_status(self, request: Request) -> Answer:
        refusal = status_refused(request.peer, open_status=self._open_status)
        if refusal is not None:
            return refusal
        try:
            return as_json(await self._asked(self._status), well=True)
        except TimeoutError:
            return as_json({"stuck_seconds": round(self._stuck(), 1)}, well=False)

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
