"""One design against one platform of its own: until all is delivered, or patience is over."""

import asyncio
import json
import random
import re
import socket
import sys
import time
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
import httpx
from aio_pika import DeliveryMode, Message

from bench.incident.day import (
    AAA,
    INCIDENTS,
    ORGANIZATIONS,
    POOL_AFTER,
    POOL_BEFORE,
    SCALED_AT,
    SECONDS,
    Scale,
    bodies,
)
from bench.processes import Running, finished, running
from bench.stage import UNITS, WORKER, exported, without_ours

SANDBOX = (sys.executable, "-m", "notification_sender.sandbox")
SIZE = ("--organizations", str(ORGANIZATIONS), "--incidents", str(INCIDENTS))
LOOK = 0.5
"""Seconds between two looks at the queue."""

AT_ONCE = 500

OURS = "ours"
HEALTH = 30_100
"""Port of the first of our processes; the others follow."""

WAITS = re.compile(r"_wait$|^deferred\.")
"""Steps without a slot."""


@dataclass(slots=True)
class Run:
    """What became of one design."""

    name: str
    units: int
    queue: list[tuple[float, int]] = field(default_factory=list)
    """Seconds since the start, and how many notifications were still owed."""
    calls: int = 0
    asked: int = 0
    different: int = 0
    median: float = 0.0
    p99: float = 0.0
    """Seconds a unit."""
    drained: float | None = None
    grown: float | None = None
    """Seconds, as measured: when all was delivered, when AAA got its replicas."""


class Platform:
    """The simulated platform of one run, as a process."""

    def __init__(self, environment: dict[str, str], port: int) -> None:
        self.environment = environment
        self.hook = f"http://127.0.0.1:{port + 1}/hooks/noc"
        self._control = f"http://127.0.0.1:{port + 3}"

    async def turn(self, client: httpx.AsyncClient, name: str, **knobs: Any) -> None:
        (await client.post(f"{self._control}/behaviours/{name}", json=knobs)).raise_for_status()

    async def report(self, client: httpx.AsyncClient) -> dict[str, Any]:
        found: dict[str, Any] = (await client.get(f"{self._control}/report")).json()
        return found


@asynccontextmanager
async def platform(folder: Path, scale: Scale, cores: set[int]) -> AsyncIterator[Platform]:
    port = free_ports()
    command = [*SANDBOX, "--port", str(port), *SIZE]
    async with running(command, cores=cores, log=folder / "platform.log", talks=True) as process:
        it = Platform(without_ours() | exported(await process.lines_until("# what it saw")), port)
        async with httpx.AsyncClient() as client:
            for name, seconds in SECONDS.items():
                await it.turn(client, name, latency=scale.seconds(seconds))
            for name in AAA:
                await it.turn(client, name, capacity=POOL_BEFORE)
        yield it


@dataclass(slots=True)
class Replay:
    """Publishes, waits until the design has drained it, looks now and then."""

    folder: Path
    scale: Scale
    units: int
    amqp_url: str
    redis_url: str
    cores: set[int]
    patience: float

    async def of(self, name: str, size: int) -> Run:
        """``size``: consumers of that day's design, or processes of ours."""
        async with platform(self.folder, self.scale, self.cores) as it:
            await finished([WORKER, "topology"], self._environment(it))
            await self._publish(it)
            run = Run(name, self.units)
            async with AsyncExitStack() as opened:
                processes = await self._start(opened, name, size, self._environment(it))
                await self._watch(run, it, processes)
                run.median, run.p99 = await _spent(name, processes)
            return run

    def _environment(self, it: Platform) -> dict[str, str]:
        services = {"NS_AMQP_URL": self.amqp_url, "NS_REDIS_URL": self.redis_url, "NS_THROTTLE_WEBHOOK": "off"}
        return it.environment | services | {"NS_CURRENT_INCIDENTS": "off", "NS_HTTP_HOST": "127.0.0.1"}

    async def _publish(self, it: Platform) -> None:
        async with await aio_pika.connect(self.amqp_url) as connection:
            channel = await connection.channel(publisher_confirms=True)
            await (await channel.get_queue(UNITS)).purge()
            messages = [Message(it, delivery_mode=DeliveryMode.PERSISTENT) for it in bodies(self.units, it.hook)]
            for start in range(0, len(messages), AT_ONCE):
                some = messages[start : start + AT_ONCE]
                await asyncio.gather(*(channel.default_exchange.publish(message, UNITS) for message in some))

    async def _start(
        self, opened: AsyncExitStack, name: str, size: int, environment: dict[str, str]
    ) -> Sequence[Running]:
        log = self.folder / f"{name}.log"
        if name == OURS:
            return [
                await opened.enter_async_context(
                    running(
                        [WORKER, "run"], cores=self.cores, log=log, environment=environment | {"NS_HTTP_PORT": port}
                    )
                )
                for port in map(str, range(HEALTH, HEALTH + size))
            ]
        command = [sys.executable, "-m", "bench.incident.that_day", str(self.scale.by), str(size)]
        process = await opened.enter_async_context(
            running(command, cores=self.cores, log=log, environment=environment, talks=True)
        )
        await process.first_line()
        return [process]

    async def _watch(self, run: Run, it: Platform, processes: Sequence[Running]) -> None:
        began = time.monotonic()
        async with httpx.AsyncClient(timeout=30) as client:
            while (now := time.monotonic() - began) < self.patience:
                seen = await it.report(client)
                owed = self.units - seen["webhooks"]
                run.queue.append((now, owed))
                run.calls, facts = sum(seen["calls"].values()), seen["facts"]
                run.asked, run.different = facts["asked"], facts["different"]
                if owed <= 0:
                    run.drained = now
                    return
                if run.grown is None and owed < self.units * (1 - SCALED_AT):
                    run.grown = now
                    for name in AAA:
                        await it.turn(client, name, capacity=POOL_AFTER)
                for process in processes:
                    process.check()
                await asyncio.sleep(LOOK)


async def _spent(name: str, processes: Sequence[Running]) -> tuple[float, float]:
    """Median and 99th percentile of a unit, s."""
    if name != OURS:
        (process,) = processes
        process.process.terminate()
        median, p99 = json.loads(await process.first_line())
        return median, p99
    seconds = sorted(_worked_on(processes[0].log))
    return seconds[len(seconds) // 2], seconds[len(seconds) * 99 // 100]


def _worked_on(log: Path) -> Iterator[float]:
    """Seconds in a slot, of each line about a unit or its notification: without the waits before."""
    for line in log.read_bytes().splitlines():
        steps: Mapping[str, float] = json.loads(line).get("steps_ms", {}) if line.startswith(b"{") else {}
        if steps:
            yield sum(took for step, took in steps.items() if not WAITS.search(step)) / 1000


def free_ports() -> int:
    """The first of four ports in a row that nobody uses."""
    while True:
        first = random.randrange(20_000, 30_000)
        with ExitStack() as taken:
            try:
                for port in range(first, first + 4):
                    taken.enter_context(socket.create_server(("127.0.0.1", port)))
            except OSError:
                continue
            return first
