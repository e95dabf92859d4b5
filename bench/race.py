"""One run: a receiver, a backlog, a worker on a core of its own, and what it took to get everything delivered."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import aiohttp

from bench.load import Unit
from bench.machine import Reading, peak_rss, read
from bench.processes import Running, running
from bench.stage import Stage

PAUSE = 0.02
"""Seconds between two readings."""

NO_SETTINGS: Mapping[str, str] = MappingProxyType({})

STALLED = 20.0
"""Seconds without a new arrival after which what is missing counts as lost."""


@dataclass(frozen=True, slots=True)
class Runner:
    """Who takes part. ``command`` gets the receiver's address and gives the worker's command line."""

    name: str
    queue: str
    command: Callable[[str], Sequence[str]]


@dataclass(frozen=True, slots=True)
class Run:
    """Everything that was seen; ``arrivals`` in order: webhook-id, monotonic time, bytes."""

    runner: str
    expected: frozenset[str]
    arrivals: Sequence[tuple[str, float, int]]
    readings: Sequence[Reading]
    peak_rss: float
    log_tail: str

    @property
    def lost(self) -> int:
        return len(self.expected.difference(webhook_id for webhook_id, _, _ in self.arrivals))

    @property
    def superfluous(self) -> int:
        """Arrivals that were not owed: a second time, or under an id that nobody was to be told under."""
        return len(self.arrivals) - (len(self.expected) - self.lost)


class Receiver:
    """The receiver's process, seen from here."""

    def __init__(self, running: Running, port: str, session: aiohttp.ClientSession) -> None:
        self.pid = running.pid
        self.url = f"http://127.0.0.1:{port}/hooks/bench"
        self._questions = f"http://127.0.0.1:{port}"
        self._session = session

    async def distinct(self) -> int:
        return int((await self._ask("/seen"))["distinct"])

    async def arrivals(self) -> list[tuple[str, float, int]]:
        return [(webhook_id, at, size) for webhook_id, at, size in await self._ask("/arrivals")]

    async def news(self) -> list[tuple[str, float, int]]:
        """Arrivals that nobody was told of yet."""
        return [(webhook_id, at, size) for webhook_id, at, size in await self._ask("/news")]

    async def turn(self, mood: str) -> None:
        """``200``, ``500`` or ``hang``, from now on."""
        await self._ask(f"/mood/{mood}")

    async def _ask(self, path: str) -> Any:
        async with self._session.get(self._questions + path) as answer:
            return await answer.json(content_type=None)


async def run(stage: Stage, runner: Runner, messages: int, delay: float) -> Run:
    """A run of plain units. The backlog is there before the worker is: it never waits for a publisher.

    Raises:
        FailedError: a process ended by itself.

    """
    async with receiving(stage, delay) as receiver:
        return await run_to(stage, runner, receiver, stage.load.units(messages, receiver.url))


async def run_to(
    stage: Stage, runner: Runner, receiver: Receiver, units: Sequence[Unit], settings: Mapping[str, str] = NO_SETTINGS
) -> Run:
    """A run of these units. ``settings``: of the worker, beside those of the stage."""
    expected = frozenset(webhook_id for unit in units for webhook_id in unit.webhook_ids)
    await stage.publisher.publish(runner.queue, units)
    async with running_worker(stage, runner, receiver, settings) as worker:
        readings = await _until_arrived(worker, receiver, len(expected), stage.service_pids())
        peak = peak_rss(worker.pid)
    # Only now: what the worker sent twice, it may have sent while it was ending.
    return Run(runner.name, expected, await receiver.arrivals(), readings, peak, worker.tail)


@asynccontextmanager
async def running_worker(
    stage: Stage, runner: Runner, receiver: Receiver, settings: Mapping[str, str] = NO_SETTINGS
) -> AsyncIterator[Running]:
    """Who takes part, on its core, for the length of the block."""
    async with running(
        runner.command(receiver.url),
        cores=[stage.cores.worker],
        log=stage.folder / f"{runner.name}.log",
        environment=stage.environment | settings,
    ) as worker:
        yield worker


async def paced(stage: Stage, runner: Runner, messages: int, rate: float) -> list[float]:
    """Seconds from publishing to arrival, of messages published evenly to a worker with nothing else to do."""
    async with receiving(stage, 0.0) as receiver:
        warm, units = stage.load.units(messages, receiver.url), stage.load.units(messages, receiver.url)
        await stage.publisher.publish(runner.queue, warm)
        async with running_worker(stage, runner, receiver) as worker:
            await _until_arrived(worker, receiver, messages)
            published = await publish_evenly(stage, runner.queue, units, rate)
            await _until_arrived(worker, receiver, 2 * messages)
        return [
            at - published[webhook_id] for webhook_id, at, _ in await receiver.arrivals() if webhook_id in published
        ]


async def publish_evenly(stage: Stage, queue: str, units: Sequence[Unit], rate: float) -> dict[str, float]:
    published = {}
    began = time.monotonic()
    for number, unit in enumerate(units):
        await asyncio.sleep(began + number / rate - time.monotonic())
        published[unit.webhook_id] = time.monotonic()
        await stage.publisher.publish(queue, [unit])
    return published


async def _until_arrived(
    worker: Running, receiver: Receiver, messages: int, services: Sequence[int] = ()
) -> list[Reading]:
    """Until all did, or nothing new does: the receiver's list then says what is missing. ``services``: by process."""
    readings, seen, since = [], 0, time.monotonic()
    while seen < messages and time.monotonic() - since < STALLED:
        worker.check()
        readings.append(read(worker.pid, receiver.pid, services))
        now_seen = await receiver.distinct()
        if now_seen > seen:
            seen, since = now_seen, time.monotonic()
        await asyncio.sleep(PAUSE)
    return readings


@asynccontextmanager
async def receiving(stage: Stage, delay: float, address: str = "127.0.0.1") -> AsyncIterator[Receiver]:
    """A receiver that answers after ``delay`` s, for the length of the block."""
    command = [sys.executable, "-m", "bench.receiver", str(delay), address]
    log = stage.folder / "receiver.log"
    async with (
        running(command, cores=[stage.cores.receiver], log=log, talks=True) as process,
        aiohttp.ClientSession() as session,
    ):
        yield Receiver(process, await process.first_line(), session)
