"""The parent of several workers: it starts and watches them, and does no work itself."""

import asyncio
import os
import signal
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

import structlog

from notification_sender.fleet.background import run_forever
from notification_sender.model.errors import ConfigurationFault
from notification_sender.policy.restarts import RestartPause
from notification_sender.processes.core_dumps import disable_core_dumps
from notification_sender.processes.health import ParentHealth
from notification_sender.processes.worker import WorkerProcess, end_of, is_clean
from notification_sender.telemetry import log

CHECK_SECONDS = 1.0
"""Seconds between two looks at a worker."""

START_CHECK_SECONDS = 0.2
"""The same until the first of all workers is ready: the others wait for it."""

_log = structlog.get_logger()


def run_parent(number: int, environ: Mapping[str, str]) -> int:
    """Run ``number`` workers until SIGTERM or SIGINT; a second signal cuts off deliveries. Returns the exit code.

    Raises:
        ConfigurationFault: nobody can listen on the health port.
    """
    # The workers check all options. A value that they will refuse must not stop us from showing why.
    level = environ.get("NS_LOG_LEVEL", "")
    form = environ.get("NS_LOG_FORMAT", "")
    log.configure(form="text" if form == "text" else "json", level=level if level in log.LEVELS else "info")
    disable_core_dumps()
    return asyncio.run(Parent([WorkerProcess(it, environ) for it in range(1, number + 1)]).run())


class Parent:
    """Keeps these workers running until a signal. The first starts alone; the others when it is ready.

    So a fault of the configuration is found by one worker and reported once, and ends the whole before work began.
    """

    def __init__(self, workers: Sequence[WorkerProcess]) -> None:
        self._workers = workers
        self._health = ParentHealth(workers)
        self._stop = asyncio.Event()
        self._go = asyncio.Event()
        self._been_ready = False
        self._code = os.EX_OK
        self._fault: ConfigurationFault | None = None

    async def run(self) -> int:
        """Return the exit code when all workers have ended: 0 if all ended well.

        Raises:
            ConfigurationFault: nobody can listen on the health port.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._signalled)
        await asyncio.gather(*(self._keep(worker) for worker in self._workers))
        await self._health.stop()
        if self._fault is not None:
            raise self._fault
        return self._code

    def _signalled(self) -> None:
        self._end(signal.SIGQUIT if self._stop.is_set() else signal.SIGTERM)

    def _end(self, number: int) -> None:
        """Start no worker any more, and end those that run."""
        self._stop.set()
        self._go.set()
        for worker in self._workers:
            worker.signal(number)

    async def _keep(self, worker: WorkerProcess) -> None:
        """Start the worker again whenever it ends, until all are to end."""
        pause = RestartPause()
        if worker is not self._workers[0]:
            await self._go.wait()
        while not self._stop.is_set():
            try:
                code = await self._run(worker)
            except OSError as fault:  # no more processes or files: the other workers go on
                _log.error("process.not_started", process=worker.number, error=str(fault))
                await self._wait(pause.after(0.0))
                continue
            ran = time.monotonic() - worker.started_at
            facts = {"process": worker.number, "end": end_of(code), "ran_seconds": round(ran, 1)}
            if code == os.EX_CONFIG and not self._been_ready:
                self._code = code
                self._end(signal.SIGTERM)
            elif self._stop.is_set():
                self._code = self._code or (os.EX_OK if is_clean(code) else 1)
                _log.info("process.ended", **facts)
            else:
                seconds = pause.after(ran)
                _log.error("process.ended", **facts, restart_in=seconds)
                await self._wait(seconds)

    async def _wait(self, seconds: float) -> None:
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stop.wait(), seconds)

    async def _run(self, worker: WorkerProcess) -> int:
        watching = run_forever(partial(self._watch, worker), "watch")
        try:
            return await worker.run()
        finally:
            watching.cancel()
            await asyncio.wait({watching})

    async def _watch(self, worker: WorkerProcess) -> None:
        while True:
            await asyncio.sleep(CHECK_SECONDS if self._been_ready else START_CHECK_SECONDS)
            if not self._been_ready:
                await self._look_at_start(worker)
            if await worker.stuck() and worker.kill():
                _log.error("process.stuck", process=worker.number, pid=worker.pid)

    async def _look_at_start(self, worker: WorkerProcess) -> None:
        facts = await worker.facts()
        if facts is None:
            return
        try:
            self._health.start(**facts)
        except ConfigurationFault as fault:
            self._fault = fault
            self._end(signal.SIGTERM)
        if (await worker.ready())["ready"]:
            self._been_ready = True
            self._go.set()
