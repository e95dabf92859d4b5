"""``python -m bench.isolation``: one customer that hangs, or has a backlog behind a slow receiver, beside all others.

Several workers on all cores, with the defaults. Exit code 1 where others waited longer than they may.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path

from bench.figures import percentile
from bench.load import Unit
from bench.processes import Running, running
from bench.race import Receiver, receiving
from bench.stage import UNITS, WORKER, Stage, stage
from tests.services.program import free_port

CUSTOMERS, INCIDENTS = 50, 200
NEVER = 3600.0
PATIENCE = 180.0
"""Seconds for what must arrive."""

OTHERS = 50
"""Units of others behind the backlog of one."""


@dataclass(frozen=True, slots=True)
class Scene:
    """``well`` answers at once, ``ill`` does not. ``customers``: the first is the one in trouble."""

    stage: Stage
    workers: Sequence[Running]
    well: Receiver
    ill: Receiver
    customers: Sequence[str]
    ports: Sequence[int]
    """Of the workers' health servers."""

    def units(self, customers: Sequence[str], number: int, receiver: Receiver) -> list[Unit]:
        """``number`` in all, of these customers by turns."""
        each = [self.stage.load.units_of(it, -(-number // len(customers)), receiver.url) for it in customers]
        return [unit for turn in zip(*each, strict=True) for unit in turn][:number]

    async def publish(self, units: Sequence[Unit]) -> None:
        await self.stage.publisher.publish(UNITS, units)

    @contextmanager
    def asleep(self) -> Iterator[None]:
        """No worker does anything: a backlog is there at once."""
        for number in (signal.SIGSTOP, signal.SIGCONT):
            for worker in self.workers:
                os.kill(worker.pid, number)
            if number == signal.SIGSTOP:
                yield

    async def arrived(self, units: Sequence[Unit]) -> list[float]:
        """When each of them did.

        Raises:
            TimeoutError: not all of them did.

        """
        async with asyncio.timeout(PATIENCE):
            while True:
                seen = {it: at for it, at, _ in await self.well.arrivals()}
                if all(unit.webhook_id in seen for unit in units):
                    return [seen[unit.webhook_id] for unit in units]
                await asyncio.sleep(1.0)


@asynccontextmanager
async def scene(processes: int, *, ill: float, throttle: str) -> AsyncIterator[Scene]:
    """``processes`` workers, warm. ``ill``: seconds that the receiver takes that is not well."""
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        prepared = await opened.enter_async_context(stage(folder, CUSTOMERS, INCIDENTS))
        receivers = [await opened.enter_async_context(receiving(prepared, delay)) for delay in (0.0, ill)]
        environment = prepared.environment | {"NS_THROTTLE_WEBHOOK": throttle}
        ports = [free_port() for _ in range(processes)]
        cores = {prepared.cores.worker, prepared.cores.receiver, *prepared.cores.services}
        workers = [
            await opened.enter_async_context(
                running(
                    [WORKER, "run"],
                    cores=cores,
                    log=folder / f"worker-{port}.log",
                    environment=environment | {"NS_HTTP_PORT": str(port)},
                )
            )
            for port in ports
        ]
        made = Scene(prepared, workers, *receivers, prepared.load.organizations(), ports)
        warm = made.units(made.customers, 20 * CUSTOMERS, made.well)
        await made.publish(warm)
        await made.arrived(warm)
        yield made


async def capacity(it: Scene, number: int) -> float:
    """Messages a second, from a backlog of all customers."""
    units = it.units(it.customers, number, it.well)
    with it.asleep():
        await it.publish(units)
    times = sorted(await it.arrived(units))
    middle = times[number // 6 : -number // 6]
    return len(middle) / (middle[-1] - middle[0])


async def evenly(it: Scene, rate: float, seconds: float, *, hangs: bool) -> list[float]:
    """How long each unit of those who are well was on its way, s; published evenly whatever becomes of them."""
    number = round(rate * seconds)
    well = it.units(it.customers[1:], number, it.well)
    ill = it.units(it.customers[:1], number // len(it.customers) + 1, it.ill if hangs else it.well)
    tasks, published = set(), {}
    began = time.monotonic()
    for place, unit in enumerate(well):
        if (early := began + place / rate - time.monotonic()) > 0:
            await asyncio.sleep(early)
        published[unit.webhook_id] = time.monotonic()
        turn = [unit] if place % len(it.customers) else [unit, ill[place // len(it.customers)]]
        tasks.add(asyncio.create_task(it.publish(turn)))
    await asyncio.gather(*tasks)
    times = await it.arrived(well)
    return [at - published[unit.webhook_id] for unit, at in zip(well, times, strict=True)]


async def one_hangs(processes: int, seconds: float) -> bool:
    """Whether those who are well hardly noticed."""
    async with scene(processes, ill=NEVER, throttle="off") as it:
        rate = await capacity(it, 6000) / 2
        print(f"{len(it.customers)} customers, {processes} processes, {rate:,.0f} messages a second for {seconds:g} s")
        base = await evenly(it, rate, seconds, hangs=False)
        print(line("nobody hangs", base), flush=True)
        beside = await evenly(it, rate, seconds, hangs=True)
        print(line("one hangs, the others", beside))
    allowed = max(1.5 * percentile(base, 99), percentile(base, 99) + 0.5)
    return judged(percentile(beside, 99), allowed)


async def one_floods(processes: int, number: int, *, slow: float, throttle: str) -> bool:
    """Whether those behind its backlog came through soon."""
    async with scene(processes, ill=slow, throttle=throttle) as it:
        flood = it.units(it.customers[:1], number, it.ill)
        others = it.units(it.customers[1:], OTHERS, it.well)
        with it.asleep():
            await it.publish(flood)
            await it.publish(others)
            began = time.monotonic()
        waits = [at - began for at in await it.arrived(others)]
        name = f"{number} of one, {slow:g} s each, throttle {throttle}; {OTHERS} others"
        print(line(name, waits), flush=True)
    return judged(percentile(waits, 99), 5.0)


def line(name: str, seconds: Sequence[float]) -> str:
    p50, p99 = (percentile(seconds, share) * 1000 for share in (50, 99))
    return f"{name}: p50 {p50:,.0f} ms, p99 {p99:,.0f} ms, the last {max(seconds) * 1000:,.0f} ms"


def judged(seconds: float, allowed: float) -> bool:
    good = seconds <= allowed
    print(f"  p99 {seconds:.2f} s, at most {allowed:.2f} s: {'as expected' if good else 'NOT AS EXPECTED'}", flush=True)
    return good


async def main(asked: argparse.Namespace) -> int:
    good = [await one_hangs(2, asked.seconds)] if asked.only != "flood" else []
    if asked.only != "hang":
        for slow, throttle in ((2.0, "600/minute burst 60"), (2.0, "off"), (NEVER, "off")):
            good.append(await one_floods(4, asked.flood, slow=slow, throttle=throttle))
    return 0 if all(good) else 1


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.isolation", description=__doc__)
    parser.add_argument("--seconds", type=float, default=40, help="of each open loop (default: %(default)s)")
    parser.add_argument("--flood", type=int, default=8000, help="units of one customer (default: %(default)s)")
    parser.add_argument("--only", choices=["hang", "flood"], help="one of the two questions")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(options())))
