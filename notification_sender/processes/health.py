"""The health port of the parent: one answer for all its workers.

=========  ==============================================================================================
/livez     200: the parent kills a stuck worker by itself. 503 for as long as a killed worker does not end
/readyz    200 while every worker is ready, else 503; names each
/metrics   Prometheus text, or OpenMetrics: the series of each worker with its number as ``process``, and ours
/status    JSON: the status of each worker, and their sums
=========  ==============================================================================================
"""

import asyncio
import math
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import orjson
import structlog

from notification_sender.adapters.health_answers import (
    OPENMETRICS,
    PROMETHEUS,
    as_json,
    route,
    status_refused,
    wants_openmetrics,
)
from notification_sender.adapters.health_port import Answer, HealthPort, Request, listen
from notification_sender.adapters.process_link import EXEMPLARS
from notification_sender.fleet.background import run_forever
from notification_sender.processes.exposition import END, family, merged
from notification_sender.processes.worker import WorkerProcess
from notification_sender.telemetry.declared import DECLARED

METRICS_TTL = 1.0
"""Seconds for which the merged text is reused, however many clients scrape."""

SUMMED = ("in_hand", "unsettled")
"""Numbers of ``/status`` whose sum over all workers is a number of the whole."""

_log = structlog.get_logger()


class ParentHealth:
    """Answers for ``workers``. It listens where the first worker that has read the configuration says."""

    def __init__(self, workers: Sequence[WorkerProcess]) -> None:
        self._workers = workers
        self._serving: asyncio.Task[None] | None = None
        self._open_status = False
        self._made: dict[str, tuple[float, bytes]] = {}
        """When the text of each type was made, and the text."""
        self._making = asyncio.Lock()
        self._paths = {
            "/livez": self._livez,
            "/readyz": self._readyz,
            "/metrics": self._scrape,
            "/status": self._status,
        }

    def start(self, *, host: str, port: int, open_status: bool) -> None:
        """Listen, unless it does already.

        Raises:
            ConfigurationFault: the address is not this machine's, or the port is in use.
        """
        if self._serving is None:
            listener = listen(host, port)
            self._open_status = open_status
            self._serving = run_forever(HealthPort(listener, self._answer).serve, "health")
            self._serving.add_done_callback(lambda _: listener.close())
            _log.info("health.listening", port=listener.getsockname()[1])

    async def stop(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            await asyncio.wait({self._serving})

    async def _answer(self, request: Request) -> Answer:
        return await route(self._paths, request)

    async def _livez(self, _: Request) -> Answer:
        immortal = [worker.number for worker in self._workers if worker.outlived_kill]
        return as_json({"live": not immortal} | ({"not_ended": immortal} if immortal else {}), well=not immortal)

    async def _readyz(self, _: Request) -> Answer:
        parts = await self._ready()
        return as_json(parts, well=parts["ready"])

    async def _ready(self) -> dict[str, Any]:
        """``ready`` and each of its parts for all workers together, then those of each worker."""
        each = await asyncio.gather(*(worker.ready() for worker in self._workers))
        names = list(dict.fromkeys(name for it in each for name in it if name != "state"))
        by_number = {str(worker.number): it for worker, it in zip(self._workers, each, strict=True)}
        return {name: all(it.get(name, False) for it in each) for name in names} | {"processes": by_number}

    async def _scrape(self, request: Request) -> Answer:
        kind = OPENMETRICS if wants_openmetrics(request.accept) else PROMETHEUS
        async with self._making:
            if time.monotonic() - self._made.get(kind, (-math.inf, b""))[0] >= METRICS_TTL:
                text = await self._metrics(openmetrics=kind is OPENMETRICS)
                self._made[kind] = (time.monotonic(), text.encode())
        return Answer(HTTPStatus.OK, kind, self._made[kind][1])

    async def _metrics(self, *, openmetrics: bool) -> str:
        workers = self._workers
        path = EXEMPLARS if openmetrics else "/metrics"
        replies = await asyncio.gather(*(worker.ask(path) for worker in workers))
        texts = {it.number: reply.body.decode() for it, reply in zip(workers, replies, strict=True) if reply}
        values: Mapping[str, Sequence[tuple[int, int]]] = {
            "process_starts_total": [(it.number, it.starts) for it in workers],
            "process_kills_total": [(it.number, it.killed) for it in workers],
            "process_up": [(it.number, it.number in texts) for it in workers],
        }
        own = (family(DECLARED[name], numbers, openmetrics=openmetrics) for name, numbers in values.items())
        return "".join((merged(texts), *own, f"{END}\n" if openmetrics else ""))

    async def _status(self, request: Request) -> Answer:
        refusal = status_refused(request.peer, open_status=self._open_status)
        if refusal is not None:
            return refusal
        each = await asyncio.gather(*(self._status_of(worker) for worker in self._workers))
        sums = {name: sum(it.get(name, 0) for it in each) for name in SUMMED}
        by_number = {str(worker.number): it for worker, it in zip(self._workers, each, strict=True)}
        return as_json({"ready": (await self._ready())["ready"], **sums, "processes": by_number}, well=True)

    async def _status_of(self, worker: WorkerProcess) -> dict[str, Any]:
        own = {"pid": worker.pid, "state": worker.state, "starts": worker.starts}
        reply = await worker.ask("/status")
        return own | (orjson.loads(reply.body) if reply else {})
