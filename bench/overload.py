"""``python -m bench.overload``: three times as much as can be done, for minutes, and then a little less than that.

The capacity is measured in the same run, and what the workers' core could do meanwhile and at any time after: machines
are shared. Exit code 1 where in ten seconds of either less than 90 % of what was possible then was delivered although
there was work, or workers grew, or anything was lost or came twice.
"""

import argparse
import asyncio
import math
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.core import Core, Power
from bench.fleet import Member, fleet, watch
from bench.flow import Flow
from bench.gauges import BOUNDS, HEAD
from bench.labour import laborious_templates
from bench.machine import cpu_seconds
from bench.processes import FailedError
from bench.race import receiving
from bench.stage import DEAD, Stage, stage

PROCESSES = 2
KEPT = 8000
"""Notifications that wait while the capacity is measured: more than all processes have in hand."""

MEASURED = 30
WINDOW = 10
"""Seconds, both."""

TIMES = 3.0
LEAST = 0.9
"""Of what was possible, in every window."""

SETTINGS = {"NS_LEDGER_TTL": "5m", "NS_RETRY_SCHEDULE": "5s 10s 30s", "NS_LOG_LEVEL": "warning"}
"""The ledger of an hour would fill the store with what nobody asks about."""

GROWN = {"RSS MiB": BOUNDS["RSS MiB"]}
"""Files and tasks come and go with the sends under way."""

PATIENCE = 60.0
TITLES = (
    f"{'':<16}{'published/s':>12}{'accepted/s':>12}{'of capacity':>13}{'the core':>10}{'of possible':>13}"
    f"{'waiting':>11}{'used':>6}"
)


@dataclass(frozen=True, slots=True)
class Look:
    """Some seconds: notifications a second, what part of the core the workers used, and what it could do."""

    published: float
    accepted: float
    used: float
    power: Power


class Overload:
    """The order of it, and what is printed."""

    def __init__(self, flow: Flow, members: Sequence[Member], core: Core) -> None:
        self._flow = flow
        self._members = members
        self._core = core
        self._capacity = 0.0
        self._power = Power(1.0, 1.0)
        self._worst = 1.0

    async def measure(self) -> None:
        """The capacity."""
        self._flow.keep(KEPT)
        await self._flow.settled()
        it = await self._look(MEASURED)
        self._capacity, self._power = it.accepted, it.power
        print(f"capacity: {it.accepted:,.0f} notifications a second, the workers use {it.used:.0%} of their core\n")

    async def run(self, seconds: int, after: float, cut: float) -> bool:
        """Whether the goodput held, and no worker grew. ``after``: of the capacity, for ``cut`` seconds or until it is
        drained; then nothing more.
        """
        print(TITLES)
        began = time.monotonic()
        self._flow.keep_pace(TIMES * self._capacity)
        for number in range(max(seconds // WINDOW, 1)):
            await self._window(f"{TIMES:g} x, {number * WINDOW:>4} s")
        grown = [member.series.since(began) for member in self._members]
        drained = await self._drain(after, cut, most=round(2 * seconds * (TIMES - 1) / (1 - after) / WINDOW))
        print(f"\nthe least in {WINDOW} s with work waiting: {self._worst:.0%} of the possible (at least {LEAST:.0%})")
        print(f"\nwhile the backlog grew\n{HEAD}")
        lines = [it for member, one in zip(self._members, grown, strict=True) for it in one.lines(member.name, GROWN)]
        print(*(text for text, _ in lines), sep="\n")
        return drained and self._worst >= LEAST and all(well for _, well in lines)

    async def _drain(self, after: float, cut: float, most: int) -> bool:
        """Whether the backlog went, within so many windows: twice as many as it should take."""
        for number in range(most):
            if len(self._flow.waiting) <= WINDOW * self._capacity:
                return True
            times = after if number * WINDOW < cut else 0.0
            self._flow.keep_pace(times * self._capacity)
            await self._window(f"{times:g} x, {number * WINDOW:>4} s")
        print("the backlog does not go: NOT AS EXPECTED")
        return False

    async def _window(self, name: str) -> None:
        it = await self._look(WINDOW)
        core = it.power.compared(self._power)
        # A core that is faster for once is no debt.
        share = it.accepted / (self._capacity * min(core, 1.0))
        self._worst = min(self._worst, share)
        print(
            f"{name:<16}{it.published:>12,.0f}{it.accepted:>12,.0f}{it.accepted / self._capacity:>13.0%}{core:>10.0%}"
            f"{share:>13.0%}{len(self._flow.waiting):>11,}{it.used:>6.0%}",
            flush=True,
        )

    async def _look(self, seconds: int) -> Look:
        flow, before, began = self._flow, self._cpu(), time.monotonic()
        self._core.begin()
        begin, end = await flow.seconds(seconds)
        used = self._cpu() - before
        published = sum(flow.published[second] for second in range(begin, end)) / seconds
        share = used / (time.monotonic() - began)
        return Look(published, flow.rate(begin, end), share, self._core.power(used))

    def _cpu(self) -> float:
        return sum(cpu_seconds(it.pid) for it in self._members)


async def overload(prepared: Stage, chosen: argparse.Namespace) -> bool:
    """Whether all was as expected."""
    async with AsyncExitStack() as opened:
        receivers = [await opened.enter_async_context(receiving(prepared, 0.0)) for _ in range(2)]
        own = SETTINGS | {"NS_TEMPLATES_DIR": laborious_templates(prepared.folder)}
        members = await opened.enter_async_context(fleet(prepared, [own] * PROCESSES))
        flow, core = Flow(prepared, receivers), Core(prepared.cores.worker)
        run = Overload(flow, members, core)
        async with core.watched(), flow.flowing():
            watching = asyncio.create_task(watch(members, 1.0))
            await run.measure()
            held = await run.run(chosen.seconds, chosen.after, chosen.cut)
            watching.cancel()
            await flow.drained(PATIENCE)
        line, all_there = flow.account(0, await prepared.publisher.depth(DEAD))
        print(f"\n{line}\n{'as expected' if held and all_there else 'NOT AS EXPECTED'}")
        return held and all_there


async def main(chosen: argparse.Namespace) -> int:
    try:
        with tempfile.TemporaryDirectory(prefix="overload-") as folder:
            async with stage(Path(folder)) as prepared:
                return 0 if await overload(prepared, chosen) else 1
    except* FailedError as failed:
        print(*failed.exceptions, file=sys.stderr)
    return 1


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.overload", description=__doc__)
    parser.add_argument("--seconds", type=int, default=300, help="of the overload (default: %(default)s)")
    parser.add_argument(
        "--after",
        type=float,
        default=0.8,
        help="of the capacity, until drained: that takes ten times as long as the overload (default: %(default)s)",
    )
    parser.add_argument(
        "--cut",
        type=float,
        default=math.inf,
        metavar="SECONDS",
        help="of that; then nothing more is published, and what waits is drained in a fifth of the time",
    )
    chosen = parser.parse_args()
    if not 0 <= chosen.after < 1:
        parser.error("at the capacity and above it never drains")
    return chosen


if __name__ == "__main__":
    sys.exit(asyncio.run(main(options())))
