"""``python -m bench.soak``: half an hour at 70 % of what the workers can, with a fault every minute, then reconnects.

Exit code 1 where anything was lost, more came twice than the promise allows, or something grew.
"""

import argparse
import asyncio
import random
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from bench.fleet import watch
from bench.gauges import BOUNDS, HEAD, Series
from bench.processes import FailedError
from bench.soak.faults import in_turn
from bench.soak.reconnects import REST, STORM, Reconnects
from bench.soak.scene import Scene, scene
from bench.stage import DEAD

SHARE = 0.7
"""Of the capacity."""

KEPT = 4000
"""Notifications that wait while the capacity is measured: more than all workers have in hand."""

MEASURED = 20
"""Seconds for the capacity."""

FAULT_EVERY = 60.0
LOOK_EVERY = 5.0

PATIENCE = 150.0
"""Seconds without an arrival after which what is missing is lost: a host that was ill is asked once a minute."""


class Soak:
    """The order of it, and what is printed."""

    def __init__(self, scene: Scene, *, seconds: float, seed: int, reconnects: int) -> None:
        self._scene = scene
        self._seconds = seconds
        self._dice = random.Random(seed)
        self._reconnects = reconnects
        self._well = True

    async def run(self) -> bool:
        """Whether all was as expected."""
        flow = self._scene.flow
        flow.keep(KEPT)
        await flow.settled()
        capacity = flow.rate(*await flow.seconds(MEASURED))
        flow.keep_pace(SHARE * capacity)
        print(f"capacity {capacity:,.0f} notifications a second, of which {SHARE:.0%}; then a fault every minute\n")
        watching = asyncio.create_task(watch(self._scene.members, LOOK_EVERY))
        await self._faults()
        await flow.drained(PATIENCE)
        await asyncio.sleep(REST)
        watching.cancel()
        await self._account()
        self._grown(BOUNDS)
        if self._reconnects:
            await self._reconnect()
        print("\nas expected" if self._well else "\nNOT AS EXPECTED")
        return self._well

    async def _faults(self) -> None:
        began = time.monotonic()
        turns = in_turn(self._dice)
        for number in range(round(self._seconds / FAULT_EVERY)):
            await asyncio.sleep(began + number * FAULT_EVERY - time.monotonic())
            await self._scene.count()
            name, fault = next(turns)
            await fault(self._scene, self._dice)
            await asyncio.sleep(began + (number + 1) * FAULT_EVERY - 1.0 - time.monotonic())
            self._tell(f"{number + 1:>4} {name}")
        await self._scene.count()

    def _tell(self, what: str) -> None:
        flow = self._scene.flow
        now = int(time.monotonic())
        rss = " ".join(f"{it.series.last('RSS MiB'):.0f}" for it in self._scene.members)
        print(
            f"{what:<36}arrived {flow.rate(now - 58, now - 1):>7,.0f}/s, waiting {len(flow.waiting):>7,}, "
            f"not owed {flow.superfluous:>4}, RSS {rss} MiB",
            flush=True,
        )

    async def _account(self) -> None:
        scene = self._scene
        text, well = scene.flow.account(scene.allowed, await scene.stage.publisher.depth(DEAD))
        self._well &= well
        print(f"\n{text}")

    def _grown(self, bounds: Mapping[str, float]) -> None:
        print(f"\n{HEAD}")
        series = {it.name: it.series for it in self._scene.members} | {"services": self._scene.services}
        longest = max(one.length for one in series.values())
        for whose, one in series.items():
            if one.length < longest / 2:
                print(f"{whose:<12}began anew too late to be judged")
                continue
            for text, well in one.lines(whose, bounds):
                self._well &= well
                print(text)

    async def _reconnect(self) -> None:
        print()
        for member in self._scene.members:
            member.series = Series()
        self._scene.services = Series()
        await Reconnects(self._scene, self._reconnects).run()
        await self._scene.flow.drained(PATIENCE)
        await self._account()
        self._grown(BOUNDS | STORM)


async def main(chosen: argparse.Namespace) -> int:
    print(f"seed {chosen.seed}", flush=True)
    try:
        with tempfile.TemporaryDirectory(prefix="soak-") as folder:
            async with scene(Path(folder)) as it:
                soak = Soak(it, seconds=60 * chosen.minutes, seed=chosen.seed, reconnects=chosen.reconnects)
                return 0 if await soak.run() else 1
    except* FailedError as failed:
        print(*failed.exceptions, file=sys.stderr)
    return 1


def options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30, help="of faults (default: %(default)s)")
    parser.add_argument(
        "--reconnects", type=int, default=5000, help="connections cut after them (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000), help="of the dice, to replay a run")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(asyncio.run(main(options())))
