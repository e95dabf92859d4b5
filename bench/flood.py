"""``python -m bench.flood``: one of 50 destinations of an organization hangs. What does it cost the others, and us?

The rate of the others is compared to theirs while nobody hangs, on the same workers. Then the host answers again. Exit
code 1 where the others were slowed down, or where what was turned away was deferred again and again.
"""

import argparse
import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import aiohttp

from bench.isolation import Scene, scene
from bench.load import Unit
from bench.machine import cpu_seconds
from tests.services.program import HOST

DESTINATIONS = 50
EACH = 100
"""Units of each destination."""

OBSERVED = 60.0
"""Seconds from the start of the flood until the host answers again."""

LEAST, MOST = 0.9, 1.2
"""Of the undisturbed rate, and deferrals for each unit that was turned away."""

RECOVERED = 90
"""Percent of what waited: what was tried while the host hung keeps to its retry schedule."""

PATIENCE = 180.0
SAMPLE = re.compile(r"^notification_sender_(\w+?)(?:_total)?(?:\{(.*)\})? (\S+)$", re.MULTILINE)
LABEL = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, slots=True)
class Counts:
    """What the workers have counted since they began: deferrals by reason, parks, claims and deliveries."""

    deferred: Counter[str]
    claims: int
    asked: int
    """Admissions of notifications, whatever the ledger answered."""
    delivered: int

    @property
    def parks(self) -> int:
        return self.deferred.total()

    def since(self, other: "Counts") -> "Counts":
        return Counts(
            self.deferred - other.deferred,
            self.claims - other.claims,
            self.asked - other.asked,
            self.delivered - other.delivered,
        )

    def line(self, name: str) -> str:
        reasons = ", ".join(f"{reason} {number}" for reason, number in self.deferred.most_common()) or "none"
        return (
            f"  {name}: {self.parks} deferrals ({reasons}), {self.claims} claims of units, "
            f"{self.asked} admissions, {self.delivered} deliveries"
        )


async def counted(it: Scene) -> Counts:
    """Of all workers together."""
    deferred: Counter[str] = Counter()
    others: Counter[str] = Counter()
    async with aiohttp.ClientSession() as session:
        for port in it.ports:
            async with session.get(f"http://{HOST}:{port}/metrics") as answer:
                for name, labels, value in SAMPLE.findall(await answer.text()):
                    _add(deferred, others, name, dict(LABEL.findall(labels)), float(value))
    return Counts(deferred, others["claims"], others["asked"], others["delivered"])


def _add(deferred: Counter[str], others: Counter[str], name: str, labels: Mapping[str, str], value: float) -> None:
    match name, labels:
        case "outcomes", {"outcome": "deferred", "reason": reason}:
            deferred[reason] += int(value)
        case "outcomes", {"outcome": "delivered"}:
            others["delivered"] += int(value)
        case "stage_seconds_count", {"stage": "unit"}:
            others["claims"] += int(value)
        case "admissions", _:
            others["asked"] += int(value)


def flood_of(it: Scene, in_front: int) -> tuple[list[Unit], list[Unit], list[Unit]]:
    """All in the order of the queue; those for the destination that hangs; the others."""
    organization = it.customers[0]
    hanging = it.stage.load.units_of(organization, in_front + EACH, it.ill.url)
    columns = [it.stage.load.units_of(organization, EACH, it.well.url, first=place) for place in range(1, DESTINATIONS)]
    rest = [unit for row in zip(hanging[in_front:], *columns, strict=True) for unit in row]
    return [*hanging[:in_front], *rest], hanging, [unit for column in columns for unit in column]


@dataclass(frozen=True, slots=True)
class Pace:
    """Of the others: deliveries a second, and CPU time of all workers for each of them, µs. When the flood began, and
    the seconds until the first and the last of them.
    """

    rate: float
    cpu: float
    began: float
    first: float
    last: float


async def paced(it: Scene, units: Sequence[Unit], others: Sequence[Unit]) -> Pace:
    with it.asleep():
        await it.publish(units)
        cpu, began = _cpu(it), time.monotonic()
    times = sorted(await it.arrived(others))
    cpu = (_cpu(it) - cpu) / len(times) * 1e6
    return Pace(len(times) / (times[-1] - times[0]), cpu, began, times[0] - began, times[-1] - began)


def _cpu(it: Scene) -> float:
    return sum(cpu_seconds(worker.pid) for worker in it.workers)


async def recovery(it: Scene, units: Sequence[Unit]) -> tuple[float, float, float]:
    """Seconds until the first, half of ``units``, and ``RECOVERED`` percent, have arrived, from the time on at which
    their host answers.
    """
    await it.ill.turn("200")
    began = time.monotonic()
    wanted = {unit.webhook_id for unit in units}
    async with asyncio.timeout(PATIENCE):
        while True:
            times = sorted(at for name, at, _ in await it.ill.arrivals() if name in wanted)
            if 100 * len(times) >= RECOVERED * len(units):
                return times[0] - began, times[len(units) // 2] - began, times[-1] - began
            await asyncio.sleep(1.0)


async def measured(processes: int, in_front: int) -> bool:
    """Whether it went as it should."""
    async with scene(processes, ill=0.0, throttle="off") as it:
        await it.ill.turn("hang")
        units, hanging, others = flood_of(it, in_front)
        _, _, alone = flood_of(it, in_front)
        undisturbed = await paced(it, alone, alone)
        before = await counted(it)
        reached = await paced(it, units, others)
        soon = (await counted(it)).since(before)
        print(f"{processes} processes, {in_front} units in front: {reached.rate:,.0f} others a second", end="")
        print(f" ({undisturbed.rate:,.0f} undisturbed), {reached.cpu:,.0f} µs each ({undisturbed.cpu:,.0f})")
        print(f"  the first of the others after {reached.first:.1f} s, the last after {reached.last:.1f} s")
        print(soon.line("until then"), flush=True)
        await asyncio.sleep(max(reached.began + OBSERVED - time.monotonic(), 0.0))
        print((await counted(it)).since(before).line(f"within {OBSERVED:g} s"), flush=True)
        first, half, most = await recovery(it, hanging)
        print(f"  once the host answers: the first after {first:.1f} s, half after {half:.1f} s", end="")
        print(f", {RECOVERED} % after {most:.1f} s")
        print((await counted(it)).since(before).line("in all"))
    share, each = reached.rate / undisturbed.rate, soon.parks / len(hanging)
    good = share >= LEAST and each <= MOST
    print(
        f"  {share:.0%} of the rate, {each:.2f} deferrals each: {'as expected' if good else 'NOT AS EXPECTED'}",
        flush=True,
    )
    return good


async def main(asked: argparse.Namespace) -> int:
    good = [await measured(asked.processes, in_front) for in_front in asked.front]
    return 0 if all(good) else 1


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.flood", description=__doc__)
    parser.add_argument("--processes", type=int, default=2, help="workers (default: %(default)s)")
    parser.add_argument(
        "--front",
        type=int,
        nargs="+",
        default=[0, 1000],
        help="units of the one that hangs before all (default: 0 1000)",
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(options())))
