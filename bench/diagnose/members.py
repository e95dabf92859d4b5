"""The worker processes: started as a user starts them, and started again when they die, as Kubernetes does it."""

import asyncio
import os
import signal
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from bench.processes import Running, running
from bench.stage import WORKER
from tests.patience import patient
from tests.services.program import HOST, free_port

STARTS = 60.0
"""Seconds that a worker may take until it is ready."""

ANSWERS = 2.0
"""Seconds that its health port may take."""

AGAIN = 1.0
"""Seconds from the death of a worker to the next one."""


STARVED = 0.25
"""Part of the time for which a worker waits for a processor. On a busy machine it waits a millisecond for each turn."""


@dataclass(frozen=True, slots=True)
class Processor:
    """Seconds for which a process had a processor, and for which it waited for one."""

    pid: int
    ran: float
    waited: float

    def starved_since(self, before: "Processor", seconds: float) -> bool:
        """Whether it waited for longer than it ran, and for a quarter of ``seconds``.

        A process that was started since says nothing.
        """
        waited, ran = self.waited - before.waited, self.ran - before.ran
        return self.pid == before.pid and waited > ran and waited >= STARVED * seconds


class Member:
    """One ``notification-sender run``."""

    def __init__(self, environment: Mapping[str, str], log: Path, session: aiohttp.ClientSession) -> None:
        port = free_port()
        self._environment = {**environment, "NS_HTTP_PORT": str(port)}
        self.address = f"{HOST}:{port}"
        """Of its health port."""
        self._log = log
        self._session = session
        self._opened = AsyncExitStack()
        self._running: Running | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._settings: Mapping[str, str] = {}

    @property
    def pid(self) -> int:
        assert self._running is not None  # noqa: S101 - the scene starts it
        return self._running.pid

    async def start(self, **settings: str) -> None:
        """Return when it is ready. ``settings``: besides those of all workers, until the next start."""
        self._settings = settings
        await self._run()
        self._keeper = asyncio.create_task(self._keep())
        await self.becomes_ready()

    async def restart(self, **settings: str) -> None:
        await self.stop()
        await self.start(**settings)

    async def stop(self) -> None:
        """SIGTERM, as a deployment does it. A frozen one goes on, to end."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.gather(self._keeper, return_exceptions=True)
        with suppress(ProcessLookupError):
            self.signal(signal.SIGCONT)
        await self._opened.aclose()

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def processor(self) -> Processor:
        """Of the thread of its event loop, since it was started."""
        try:
            ran, waited, _ = map(int, Path(f"/proc/{self.pid}/schedstat").read_text().split())
        except OSError:
            return Processor(self.pid, 0.0, 0.0)
        return Processor(self.pid, ran / 1e9, waited / 1e9)

    async def ready(self) -> bool:
        try:
            async with asyncio.timeout(ANSWERS), self._session.get(f"http://{self.address}/readyz") as answer:
                return answer.ok
        except (TimeoutError, aiohttp.ClientError):
            return False

    async def becomes_ready(self) -> None:
        async with asyncio.timeout(patient(STARTS)):
            while not await self.ready():  # noqa: ASYNC110 - it can only be asked
                await asyncio.sleep(0.2)

    async def _run(self) -> None:
        command = running(
            [WORKER, "run"],
            cores=os.sched_getaffinity(0),
            log=self._log,
            environment={**self._environment, **self._settings},
        )
        self._running = await self._opened.enter_async_context(command)

    async def _keep(self) -> None:
        while True:
            assert self._running is not None  # noqa: S101 - as above
            await self._running.process.wait()
            await asyncio.sleep(AGAIN)
            await self._opened.aclose()
            await self._run()
