"""``python -m bench.reports``: the CPU time that the reports of a fleet cost a worker, as a share of one processor.

Each line is the median of so many rounds, in CPU time of this process: other programs do not count. The Redis is the
embedded one, which runs in this process, so that its own time is in each figure: a worker pays less.

``--load``: beside that, what they cost a worker that does the full job as fast as it can. It asks for the queues and
makes the verdict of its fleet as well: it is alone.
"""

import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from statistics import median

from bench.race import Runner, run
from bench.stage import UNITS, stage
from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.reports import RedisReports
from notification_sender.app.fleet_reports import sample_of, show
from notification_sender.model.process_report import PERIOD, ProcessReport
from notification_sender.policy.summary import summary
from notification_sender.policy.verdict import verdict
from notification_sender.telemetry.metrics import Metrics
from tests.policy.fleets import report

PROCESSES = 75
ROUNDS = 30
MESSAGES = 20_000
"""Of the run under full load: they take half a minute or more. A report is made each five seconds."""

ALLOWED = 0.01


async def main(*, load: bool) -> int:
    reports, metrics = RedisReports(redis=EmbeddedRedis(), prefix="bench"), Metrics()
    fleet = [replace(report(number), process=f"pod-{number}") for number in range(PROCESSES)]
    for it in fleet:
        await reports.write(it, sample_of(it))
    found: dict[str, float] = {}

    async def judge() -> None:
        found.clear()
        found.update(summary(verdict(await reports.read())))
        await reports.announce(found, 60.0)

    async def write() -> None:
        await _report(reports, fleet[0])

    async def read() -> None:
        show(metrics, await reports.announced() or {})

    await reports.add_sample(0, 0, 0, (0,) * 18)
    own = await _cpu(write) + await _cpu(read)
    leader = await _cpu(judge)
    loaded = await _under_load() if load else 0.0
    print(f"each process: its report, and the summary that it reads   {_share(own)}")
    print(f"the leader, beside that: {PROCESSES} reports and the verdict        {_share(leader)}")
    if load:
        print(f"a worker under full load, alone                           {_share(loaded)}")
    print(f"allowed                                                   {ALLOWED:.2%}")
    return 0 if max(own + leader, loaded) / PERIOD <= ALLOWED else 1


async def _under_load() -> float:
    """CPU seconds of the reports of a period: the median of those of a run."""
    with tempfile.TemporaryDirectory(prefix="bench-") as made:
        file = Path(made) / "reports"
        command = [sys.executable, "-m", "bench.metering", str(file), "run"]
        async with stage(Path(made)) as prepared:
            await run(prepared, Runner("full job", UNITS, lambda _: command), MESSAGES, 0.0)
        spent: list[float] = json.loads(file.read_text())
    return median(spent)


async def _report(reports: RedisReports, it: ProcessReport) -> None:
    await reports.write(it, sample_of(it))


async def _cpu(work: Callable[[], Awaitable[None]]) -> float:
    spent = []
    for _ in range(ROUNDS):
        began = time.process_time()
        await work()
        spent.append(time.process_time() - began)
    return median(spent)


def _share(seconds: float) -> str:
    return f"{1000 * seconds:6.2f} ms of {PERIOD:g} s: {seconds / PERIOD:.3%}"


if __name__ == "__main__":
    raise SystemExit(asyncio.run(main(load="--load" in sys.argv)))
