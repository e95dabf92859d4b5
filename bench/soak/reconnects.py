"""Every connection of every worker to the broker and the store cut as soon as it is back, thousands of times."""

import asyncio
import time
from statistics import median

from bench.processes import FailedError
from bench.soak.scene import Link, Scene

PACE = 100.0
"""Notifications a second meanwhile: there is something in hand each time."""

BACK = 30.0
"""Seconds that a worker may take until it is ready again."""

LOOK = 0.05
PARTS = 10
REST = 32.0
"""Seconds in which nothing is published before the gauges are looked at: connections to receivers are closed after 15
without use, and looked at every 15.
"""

STORM = {"RSS MiB": 6.0}
"""Wider bounds than elsewhere: all that is in hand fails together each time, and the peak of that moves in jumps.
A leak of 15 KiB a connection is more.
"""


class Reconnects:
    """``made``: connections that were cut and made anew. ``took``: seconds of each round of a worker."""

    def __init__(self, scene: Scene, number: int) -> None:
        self._scene = scene
        self._number = number
        self.made = 0
        self.took: list[float] = []

    async def run(self) -> None:
        """The workers side by side, each as quickly as it is back; with breaks, to count what the broker holds."""
        seconds = 0.0
        for part in range(PARTS):
            await self._look()
            self._scene.flow.keep_pace(PACE)
            began = time.monotonic()
            async with asyncio.TaskGroup() as group:  # noqa: TID251 - has no deadline after it
                for link in self._scene.links:
                    group.create_task(self._one(link, self._number * (part + 1) // PARTS))
            seconds += time.monotonic() - began
            rss = " ".join(f"{it.series.last('RSS MiB'):.0f}" for it in self._scene.members)
            print(f"{self.made:>6} connections after {seconds:>4.0f} s, RSS {rss} MiB before", flush=True)
        await self._look()
        print(
            f"{self.made} connections cut and made anew in {seconds:.0f} s, in {len(self.took)} rounds of a worker: "
            f"{median(self.took):.2f} s each in the median, {max(self.took):.1f} s at most"
        )

    async def _look(self) -> None:
        self._scene.flow.keep_pace(0.0)
        await asyncio.sleep(REST)
        await asyncio.gather(*(it.look() for it in self._scene.members))
        await self._scene.count()

    async def _one(self, link: Link, until: int) -> None:
        while self.made < until:
            began = time.monotonic()
            # Not in one line: the other workers' would be forgotten.
            made = await cut(link)
            self.made += made
            self.took.append(time.monotonic() - began)


async def cut(link: Link) -> int:
    """All connections of one worker; returns how many when as many are there again, and it is ready.

    Raises:
        FailedError: it does not come back.
    """
    proxies = (link.broker, link.store)
    wanted = [it.connections for it in proxies]
    made = [it.made for it in proxies]
    for proxy in proxies:
        proxy.reset()
    try:
        async with asyncio.timeout(BACK):
            while not _all_new(link, made, wanted) or not await link.member.ready():  # noqa: ASYNC110 - as bench.race
                await asyncio.sleep(LOOK)
    except TimeoutError:
        raise FailedError(f"{link.member.name} was not back after {BACK:g} s") from None
    return sum(wanted)


def _all_new(link: Link, made: list[int], wanted: list[int]) -> bool:
    proxies = (link.broker, link.store)
    return all(it.made >= was + want for it, was, want in zip(proxies, made, wanted, strict=True))
