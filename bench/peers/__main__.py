"""``python -m bench.peers``: floor, full job and peers by turns, at full speed and behind a slow receiver."""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import cast

from bench import report
from bench.__main__ import IN_FLIGHT, SLOW, WARM_UP
from bench.figures import Figures, body_bytes, figures, typical
from bench.load import Publisher
from bench.options import RunOptions
from bench.peers.drivers import DRIVERS, FEW, MANY, Driver, PeerPublisher, missing, runner
from bench.peers.table import FLOOR as FLOOR_ROW
from bench.peers.table import FULL, table
from bench.processes import FailedError
from bench.race import Run, Runner, run
from bench.stage import FLOOR, UNITS, WORKER, Stage, stage


class Contest:
    """Who takes part, and what each run lost."""

    def __init__(self, stage: Stage, messages: int, drivers: Iterable[Driver]) -> None:
        self._stage = stage
        self._messages = messages
        self._drivers = tuple(drivers)
        self._full = Runner(FULL, UNITS, lambda _: [WORKER, "run"])
        self.runs: list[Run] = []

    async def begin(self) -> None:
        """Fill the cache, and see how large a notification is: everybody else posts as much."""
        self._size = body_bytes(await self._run(self._stage, self._full, WARM_UP, 0.0))
        print(f"{self._messages} messages a run, {self._size} bytes a notification, {IN_FLIGHT} in flight")

    async def rounds(self, number: int, delay: float, threads: int) -> None:
        """Everybody by turns: what the machine does besides meets all. The medians are printed."""
        measured: dict[str, list[Figures]] = {}
        for place in range(1, number + 1):
            for on, contestant in await self._contestants(threads):
                done = await self._run(on, contestant, self._messages, delay)
                measured.setdefault(contestant.name, []).append(figures(done, IN_FLIGHT))
                print(f"  round {place} {report.line(contestant.name, measured[contestant.name][-1])}", flush=True)
        print(table({name: typical(all_of) for name, all_of in measured.items()}))
        print(report.receiver([it for all_of in measured.values() for it in all_of]))

    async def _contestants(self, threads: int) -> list[tuple[Stage, Runner]]:
        """Everybody, and where. All but the full job get a new queue: what they have sent but not yet acked when they
        are ended comes back, and the next run would count it.
        """
        stage, number = self._stage, len(self.runs)
        command = [sys.executable, "-m", "bench.floor", stage.amqp_url, f"{FLOOR}.{number}"]
        await stage.publisher.declare(command[-1])
        floor = Runner(FLOOR_ROW, command[-1], lambda url: [*command, url, str(self._size), str(IN_FLIGHT)])
        return [(stage, floor), (stage, self._full), *(self._peer(driver, number, threads) for driver in self._drivers)]

    def _peer(self, driver: Driver, number: int, threads: int) -> tuple[Stage, Runner]:
        queue = f"{driver.module}-{driver.client}-{number}"
        publisher = cast("Publisher", PeerPublisher(self._stage, driver))
        amqp_url, size = self._stage.amqp_url, self._size
        peer = runner(driver, queue, amqp_url=amqp_url, size=size, in_flight=IN_FLIGHT, threads=threads)
        return replace(self._stage, publisher=publisher), peer

    async def _run(self, on: Stage, contestant: Runner, messages: int, delay: float) -> Run:
        done = await run(on, contestant, messages, delay)
        self.runs.append(done)
        if done.lost or done.superfluous:
            raise FailedError(f"{contestant.name}: {report.accounts([done])}; the end of its log:\n{done.log_tail}")
        return done


async def main(messages: int, rounds: int, drivers: Iterable[Driver]) -> int:
    """0, or 1 where a run lost a message or sent one twice: timings are for people to judge."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        async with stage(Path(folder)) as prepared:
            contest = Contest(prepared, messages, drivers)
            try:
                await contest.begin()
                print(f"\nthe receiver answers at once, {FEW} threads")
                await contest.rounds(rounds, 0.0, FEW)
                print(f"\nthe receiver answers after {SLOW * 1000:.0f} ms, {MANY} threads")
                await contest.rounds(rounds, SLOW, MANY)
            except FailedError as failed:
                print(failed, file=sys.stderr)
                return 1
            print(f"\n{report.accounts(contest.runs)}")
    return 0


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = RunOptions(prog="python -m bench.peers", description=__doc__, messages=3000, rounds=3, of="of everybody")
    names = [driver.name for driver in DRIVERS]
    parser.add_argument("--only", nargs="*", choices=names, default=names, help="peers (default: all)")
    parsed = parser.parsed(arguments)
    if fault := missing():
        parser.error(fault)
    return parsed


if __name__ == "__main__":
    chosen = options()
    taking_part = [driver for driver in DRIVERS if driver.name in chosen.only]
    sys.exit(asyncio.run(main(chosen.messages, chosen.rounds, taking_part)))
