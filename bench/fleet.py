"""Workers that may be killed, stopped and started again, all on one core, and what each of them holds."""

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress

import aiohttp

from bench.gauges import Series, scraped
from bench.processes import FailedError, Running, running
from bench.stage import WORKER, Stage
from tests.services.program import HOST, free_port

STARTS = 60.0
"""Seconds that a worker may take until it is ready."""

PATIENCE = 2.0
"""Seconds that its health port may take: it may have been stopped."""


class Member:
    """One worker, on the core of the workers; its ``series`` begins anew when it does."""

    def __init__(self, name: str, stage: Stage, session: aiohttp.ClientSession, **settings: str) -> None:
        self.name = name
        self.series = Series()
        port = free_port()
        self._url = f"http://{HOST}:{port}"
        self._environment = stage.environment | {"NS_HTTP_PORT": str(port)} | settings
        self._core = stage.cores.worker
        self._log = stage.folder / f"{name}.log"
        self._session = session
        self._opened = AsyncExitStack()
        self._running: Running | None = None

    @property
    def pid(self) -> int:
        """Of its process at present."""
        if self._running is None:
            raise FailedError(f"{self.name} was not started")
        return self._running.pid

    async def start(self) -> None:
        """Return when it is ready."""
        command = running([WORKER, "run"], cores=[self._core], log=self._log, environment=self._environment)
        self._running = await self._opened.enter_async_context(command)
        self.series = Series()
        async with asyncio.timeout(STARTS):
            while not await self.ready():
                self._running.check()
                await asyncio.sleep(0.1)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    async def end(self) -> None:
        """What was frozen goes on, to end."""
        with suppress(ProcessLookupError, FailedError):
            self.signal(signal.SIGCONT)
        await self._opened.aclose()

    async def ready(self) -> bool:
        return await self._ask("/readyz") is not None

    async def look(self) -> None:
        """Read its gauges, if it answers."""
        metrics = await self._ask("/metrics")
        if metrics is not None:
            self.series.add(time.monotonic(), scraped(metrics))

    async def _ask(self, path: str) -> str | None:
        """None where it does not answer, or not well."""
        try:
            async with asyncio.timeout(PATIENCE), self._session.get(self._url + path) as answer:
                return await answer.text() if answer.ok else None
        except (TimeoutError, aiohttp.ClientError):
            return None


@asynccontextmanager
async def fleet(stage: Stage, each: Sequence[dict[str, str]]) -> AsyncIterator[list[Member]]:
    """A worker for each of these settings, ready."""
    async with aiohttp.ClientSession() as session, AsyncExitStack() as opened:
        members = [Member(f"worker-{number}", stage, session, **own) for number, own in enumerate(each)]
        for member in members:
            opened.push_async_callback(member.end)
        await asyncio.gather(*(member.start() for member in members))
        yield members


async def watch(members: Sequence[Member], every: float) -> None:
    """Read their gauges for ever."""
    while True:
        await asyncio.gather(*(member.look() for member in members))
        await asyncio.sleep(every)
