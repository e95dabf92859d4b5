"""A worker that is given a fifth of a core, as under a CPU limit, is started beside a backlog."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.fleet import Worker
from tests.faults.rig import Rig
from tests.faults.rows import record, row
from tests.patience import patience

SHARE = 0.2
WAITING = 10_000
"""Units in the queue when it starts."""

MEASURED = 3000
"""Units by which it is known what the whole core does."""

IN_HAND = 400
"""Units that a worker takes at most: twice NS_CONCURRENCY."""

DESTINATIONS = 400
PARKED = 40

TROUBLE = {"claim.lost", "claim.not_renewed", "broker.lost", "redis.lost", "lane.not_consuming", "delivery.put_off"}
"""What a worker says that has lost a lease, a heartbeat or a deadline."""

CYCLE = """
import os, signal, sys, time
pid, on, off = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
while True:
    os.kill(pid, signal.SIGSTOP)
    time.sleep(off)
    os.kill(pid, signal.SIGCONT)
    time.sleep(on)
"""


@asynccontextmanager
async def held(worker: Worker, period: float = 0.1) -> AsyncIterator[None]:
    """To its share, as a quota does it: stopped for the rest of each period."""
    on, off = SHARE * period, (1 - SHARE) * period
    cycle = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CYCLE, str(worker.process.pid), str(on), str(off)
    )
    try:
        yield
    finally:
        cycle.kill()
        await cycle.wait()
        worker.thaw()


def backlog(rig: Rig, count: int) -> list[dict[str, Any]]:
    units = rig.units(DESTINATIONS)
    return [
        units[it % DESTINATIONS] | {"work_unit_id": f"{units[it % DESTINATIONS]['work_unit_id']}-{it}"}
        for it in range(count)
    ]


def computed(worker: Worker) -> float:
    """CPU time, s."""
    user, system = Path(f"/proc/{worker.process.pid}/stat").read_text().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def ready(rig: Rig, *, hindered: bool) -> AsyncIterator[tuple[Worker, float]]:
    """A worker, and how many seconds it took to be ready from when it listened."""
    async with rig.worker() as worker, held(worker) if hindered else nullcontext():
        await worker.says("health.listening", within=120)
        began = time.monotonic()
        await worker.becomes(200, within=120)
        yield worker, time.monotonic() - began


async def pace(rig: Rig, worker: Worker, count: int) -> tuple[float, float]:
    """Units a second, and CPU seconds a unit, over so many more."""
    began, cpu, before = time.monotonic(), computed(worker), len(rig.inbox.webhooks)
    async with patience(300):
        await rig.inbox.accepts(before + count)
    done = len(rig.inbox.webhooks) - before
    return done / (time.monotonic() - began), (computed(worker) - cpu) / done


def due(worker: Worker) -> dict[str, float]:
    """When each comes due that has failed, epoch time by destination."""
    failed = [it for it in worker.events if it["event"] == "notification.failed"]
    return {
        it["destination_id"]: datetime.fromisoformat(it["timestamp"]).timestamp() + it["delay_ms"] / 1000
        for it in failed
    }


@row(112, "a worker is held to a fifth of a core beside 10,000 units", quick=False)
@pytest.mark.timeout(900)
async def test_on_a_fifth_of_a_core_it_is_ready_keeps_what_it_holds_and_lets_in_what_comes_due(rig: Rig) -> None:
    rig.environment |= {
        "NS_LOG_LEVEL": "info",
        "NS_LEASE": "30s",
        "NS_SEND_TIMEOUT": "15s",
        "NS_RETRY_SCHEDULE": "30s 30s",
    }
    async with rig.workers(1):
        await rig.publish(rig.units(1))
        await rig.inbox.accepts(1)
    async with ready(rig, hindered=False) as (worker, quick):
        await rig.publish(backlog(rig, MEASURED))
        rate, each = await pace(rig, worker, MEASURED // 2)
        await rig.publish(rig.units(PARKED, script=[503]))
        await worker.says("notification.failed", times=PARKED)
        parked = due(worker)
        await worker.stop()
    await rig.publish(backlog(rig, WAITING))
    async with ready(rig, hindered=True) as (worker, slow):
        began, before = time.time(), len(rig.inbox.webhooks)
        slow_rate, slow_each = await pace(rig, worker, 1000)
        async with patience(300):
            while missing := parked.keys() - arrived(rig, since=began):
                assert len(rig.inbox.webhooks) < before + WAITING, f"the backlog is gone before {missing}"
                await asyncio.sleep(0.05)
        said = {it["event"] for it in worker.events}
    late = max(at - max(parked[id_], began) for id_, at in arrived(rig, since=began).items() if id_ in parked)
    record(
        figure=f"ready after {slow:.1f} s, parked at most {late:.1f} s late, "
        f"{slow_rate:.0f} units/s: {slow_rate / rate / SHARE:.0%} of the share, {slow_each / each:.2f} of the CPU"
    )
    assert not said & TROUBLE
    # Where others have the processors, too, everything takes longer: by as much as it took the unhindered one.
    assert slow <= 10 * max(1.0, 2 * quick)
    # Twice what is in hand before it, at the pace of the run; the backlog would take ten times as long.
    assert late <= max(2.0, 2 * IN_HAND / slow_rate)
    assert slow_each <= 2 * each
    assert slow_rate >= 0.5 * SHARE * rate


def arrived(rig: Rig, *, since: float) -> dict[str, float]:
    """When the first came to each destination, epoch time."""
    times: dict[str, float] = {}
    for post in rig.inbox.webhooks:
        if post.arrived >= since:
            times.setdefault(post.destination_id, post.arrived)
    return times
