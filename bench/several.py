"""``python -m bench.several``: one worker and several, by turns, on all cores, which the services share.

Where RabbitMQ, Redis and the receiver take a part of each core, several workers cannot be several times as fast as one.
So each rate stands beside what is possible: the cores divided by the CPU time that all parts take for a message, and no
worker on more than one core. ``--quota`` gives each worker a part of a core only (cgroups, as root): the services have
the rest, and disturb nobody.
"""

import argparse
import asyncio
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median

import aiohttp

from bench.machine import cpu_seconds
from bench.processes import FailedError, running
from bench.race import Receiver, receiving
from bench.stage import UNITS, WORKER, Stage, stage
from tests.services.program import HOST, free_port

STARTS = 120.0
"""Seconds until all workers are ready."""

WARM_UP = 600
STALLED = 30.0
PERIOD = 20_000
"""Microseconds: the shorter, the less does a worker notice of its quota."""

CPU_GROUPS = Path("/sys/fs/cgroup/cpu")


@dataclass(frozen=True, slots=True)
class Result:
    """Messages a second; CPU time a message, µs: of all workers, and of ``all_parts``, which are they, RabbitMQ, Redis
    and the receiver. ``cores``: of the machine, and what the workers may use of them.
    """

    rate: float
    cpu: float
    all_parts: float
    cores: float
    of_workers: float

    @property
    def possible(self) -> float:
        """Messages a second, if no core waited."""
        return 1e6 * min(self.of_workers / self.cpu, self.cores / self.all_parts)

    def __str__(self) -> str:
        return (
            f"{self.rate:6.0f}/s, {self.cpu:.0f} µs a message, all parts {self.all_parts:.0f} µs; "
            f"{self.rate / self.possible:.0%} of the {self.possible:.0f}/s that are possible"
        )


async def measured(stage: Stage, number: int, messages: int, quota: float) -> Result:
    """The backlog is published while the workers are stopped: its publisher takes no time from them."""
    port = free_port()
    environment = stage.environment | {"NS_PROCESSES": str(number), "NS_HTTP_PORT": str(port)}
    async with receiving(stage, 0.0) as receiver, aiohttp.ClientSession(f"http://{HOST}:{port}") as session:
        log = stage.folder / f"several-{number}.log"
        cores = stage.cores.services | {stage.cores.worker}
        async with running([WORKER, "run"], cores=cores, log=log, environment=environment) as parent:
            pids = await _pids(session, number, parent.pid)
            await _publish(stage, receiver, WARM_UP, {parent.pid, *pids})
            await _arrived(receiver, WARM_UP)
            others = {*stage.service_pids(), receiver.pid, parent.pid}.difference(pids)
            with limited(pids, quota):
                await _publish(stage, receiver, messages, {parent.pid, *pids})
                cpu, rest, began = _used(pids), _used(others), time.monotonic()
                await _arrived(receiver, WARM_UP + messages)
                took = [at for _, at, _ in await receiver.arrivals()][-1] - began
                cpu, rest = _used(pids) - cpu, _used(others) - rest
            parent.check()
    all_cores = len(cores | {stage.cores.receiver})
    of_workers = min(number * (quota or 1.0), len(cores))
    return Result(messages / took, cpu / messages * 1e6, (cpu + rest) / messages * 1e6, all_cores, of_workers)


def _used(pids: Iterable[int]) -> float:
    """CPU seconds so far."""
    return sum(map(cpu_seconds, pids))


async def _publish(stage: Stage, receiver: Receiver, messages: int, stopped: set[int]) -> None:
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    await stage.publisher.publish(UNITS, stage.load.units(messages, receiver.url))
    for pid in stopped:
        os.kill(pid, signal.SIGCONT)


async def _arrived(receiver: Receiver, messages: int) -> None:
    seen, since = 0, time.monotonic()
    while seen < messages:
        await asyncio.sleep(0.1)
        now = await receiver.distinct()
        if now > seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since > STALLED:
            raise FailedError(f"{messages - seen} of {messages} did not arrive")


async def _pids(session: aiohttp.ClientSession, number: int, pid: int) -> Sequence[int]:
    """Of the workers, when all of them are ready."""
    async with asyncio.timeout(STARTS):
        while True:
            await asyncio.sleep(0.2)
            try:
                async with session.get("/readyz") as ready, session.get("/status") as answer:
                    if ready.ok:
                        status = await answer.json()
                        return [it["pid"] for it in status["processes"].values()] if number > 1 else [pid]
            except aiohttp.ClientError:
                continue


@contextmanager
def limited(pids: Sequence[int], quota: float) -> Iterator[None]:
    """Each of them has ``quota`` of a core at most; 0: no limit."""
    if not quota:
        yield
        return
    groups = [CPU_GROUPS / f"bench-several-{pid}" for pid in pids]
    for pid, group in zip(pids, groups, strict=True):
        group.mkdir()
        (group / "cpu.cfs_period_us").write_text(str(PERIOD))
        (group / "cpu.cfs_quota_us").write_text(str(round(quota * PERIOD)))
        (group / "cgroup.procs").write_text(str(pid))
    try:
        yield
    finally:
        for pid, group in zip(pids, groups, strict=True):
            (CPU_GROUPS / "cgroup.procs").write_text(str(pid))
            group.rmdir()


async def main(several: int, messages: int, rounds: int, quota: float) -> int:
    by_number: dict[int, list[Result]] = {1: [], several: []}
    with tempfile.TemporaryDirectory(prefix="several-") as folder:
        async with stage(Path(folder)) as prepared:
            for _ in range(rounds):
                for number, results in by_number.items():
                    results.append(await measured(prepared, number, messages, quota))
                    print(f"{number} processes: {results[-1]}", flush=True)
    one, more = map(typical, by_number.values())
    possible = f"{more.possible / one.rate:.2f} x that are possible on {more.cores:g} cores"
    print(f"\n{several} processes: {more.rate / one.rate:.2f} x the rate of one, of {possible}")
    print(f"CPU a message of all workers: {more.cpu / one.cpu:.2f} x that of one")
    return 0


def typical(results: Sequence[Result]) -> Result:
    """The median of each figure."""
    return Result(*(median(getattr(it, field.name) for it in results) for field in fields(Result)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.several", description=__doc__)
    parser.add_argument("--processes", type=int, default=2, metavar="N", help="beside one (default: %(default)s)")
    parser.add_argument("--messages", type=int, default=6000, metavar="N", help="in each run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="R", help="(default: %(default)s)")
    parser.add_argument("--quota", type=float, default=0.0, metavar="Q", help="part of a core for each worker")
    chosen = parser.parse_args()
    sys.exit(asyncio.run(main(chosen.processes, chosen.messages, chosen.rounds, chosen.quota)))
