"""``python -m bench``: the full job against the floor, round by round on one core, and behind a slow receiver."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from bench import budget, report
from bench.ceilings import judged
from bench.figures import Figures, body_bytes, figures, typical
from bench.options import RunOptions
from bench.processes import FailedError
from bench.race import Run, Runner, paced, run
from bench.stage import FLOOR, UNITS, WORKER, Stage, stage

IN_FLIGHT = 200
"""The default of NS_CONCURRENCY."""

SLOW = 0.2
"""Seconds that the slow receiver takes."""

PACE = 200.0
"""Messages a second of the latency run: a worker that is far from busy."""

WARM_UP = 300


class Benchmark:
    """The order of the runs; keeps what each of them lost."""

    def __init__(self, stage: Stage, messages: int) -> None:
        self._stage = stage
        self._messages = messages
        self._full = Runner("full job", UNITS, lambda _: [WORKER, "run"])
        self.runs: list[Run] = []

    async def begin(self) -> None:
        """Fill the cache, and see how large a notification is: the floor posts as much."""
        warm_up = await self._run(self._full, WARM_UP, 0.0)
        size = body_bytes(warm_up)
        command = [sys.executable, "-m", "bench.floor", self._stage.amqp_url, FLOOR]
        self._floor = Runner("floor", FLOOR, lambda url: [*command, url, str(size), str(IN_FLIGHT)])
        print(f"{self._messages} messages a run, {size} bytes a notification, {IN_FLIGHT} in flight\n")

    async def all(self, rounds: int) -> None:
        """Everything that is measured, in order."""
        await self.rounds(rounds)
        await self.counts()
        await self.slow()
        await self.latency()

    async def rounds(self, number: int) -> None:
        """The floor and the full job by turns: what the machine does besides meets both."""
        print(report.HEAD)
        floor, full = [], []
        for place in range(1, number + 1):
            floor.append(await self._measured(self._floor, f"floor, round {place}", 0.0))
            full.append(await self._measured(self._full, f"full job, round {place}", 0.0))
        print(report.line("floor, median", typical(floor)))
        print(report.line("full job, median", typical(full)))
        print(
            f"\n{report.cpu_ratio(floor, full)}\n{report.rate_ratio(floor, full)}\n{report.receiver([*floor, *full])}"
        )

    async def slow(self) -> None:
        """A receiver that takes its time, as they do."""
        print(f"\nthe receiver answers after {SLOW * 1000:.0f} ms\n{report.HEAD}")
        await self._measured(self._floor, "floor", SLOW)
        print(report.ceiling(await self._measured(self._full, "full job", SLOW), IN_FLIGHT / SLOW))

    async def latency(self) -> None:
        """How long one message takes where there is no backlog."""
        print()
        for runner in (self._floor, self._full):
            seconds = await paced(self._stage, runner, round(PACE * 4), PACE)
            print(report.latency(runner.name, seconds, PACE))

    async def counts(self) -> None:
        """What does not depend on the machine: function calls, calls to Redis, tasks, frames."""
        print("\n" + "\n".join(map(str, judged(await budget.counted(self._stage)))))

    async def budget(self) -> None:
        """The same step by step, with the CPU time of each."""
        counted = await budget.counted(self._stage)
        measured, shares = await budget.sampled(self._stage, self._messages, IN_FLIGHT)
        print(f"{report.HEAD}\n{report.line('full job, sampled', measured)}\n")
        print(budget.table(measured.cpu, shares, counted))

    async def _measured(self, runner: Runner, name: str, delay: float) -> Figures:
        measured = figures(await self._run(runner, self._messages, delay), IN_FLIGHT)
        print(report.line(name, measured), flush=True)
        return measured

    async def _run(self, runner: Runner, messages: int, delay: float) -> Run:
        done = await run(self._stage, runner, messages, delay)
        self.runs.append(done)
        if done.lost or done.superfluous:
            raise FailedError(f"{runner.name}: {report.accounts([done])}; the end of its log:\n{done.log_tail}")
        return done


async def main(messages: int, rounds: int, *, budget_alone: bool = False) -> int:
    """0, or 1 where a run lost a message or sent one twice: timings are for people to judge."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with stage(Path(folder)) as prepared:
            benchmark = Benchmark(prepared, messages)
            try:
                await benchmark.begin()
                await (benchmark.budget() if budget_alone else benchmark.all(rounds))
            except FailedError as failed:
                print(failed, file=sys.stderr)
                return 1
            print(f"\n{report.accounts(benchmark.runs)}")
    return 0


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = RunOptions(prog="python -m bench", description=__doc__, messages=6000, rounds=5, of="floor and full job")
    parser.add_argument("--budget", action="store_true", help="only what each step of a message takes, as a table")
    return parser.parsed(arguments)


if __name__ == "__main__":
    chosen = options()
    sys.exit(asyncio.run(main(chosen.messages, chosen.rounds, budget_alone=chosen.budget)))
