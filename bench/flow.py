"""Work units published evenly for as long as wished, whatever becomes of them, and the account of what they owe."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from bench.load import TOLD
from bench.race import Receiver
from bench.stage import UNITS, Stage

TICK = 0.02
"""Seconds between two looks at what is to be published."""

LOOK = 0.2
"""Seconds between two questions to the receivers what came."""

SETTLED = 10
"""Seconds of a full load before it is measured: imports, cold caches."""


class Flow:
    """Publishes nothing until it is told: ``keep``, ``keep_pace``."""

    def __init__(self, stage: Stage, receivers: Sequence[Receiver]) -> None:
        self.owed = 0
        self.superfluous = 0
        """Arrivals that were not owed: a second time, or under an id that nobody was to be told under."""
        self.published: Counter[int] = Counter()
        """Notifications, by second of the monotonic clock."""
        self.arrived: Counter[int] = Counter()
        self.waiting: dict[str, float] = {}
        """What has not arrived, by id, and when it was published."""
        self._stage = stage
        self._receivers = receivers
        self._units = stage.load.without_end([it.url for it in receivers])
        self._pace, self._kept, self._due = 0.0, 0, 0.0

    def keep(self, number: int) -> None:
        """So many notifications waiting: as much is published as is taken."""
        self._pace, self._kept = 0.0, number

    def keep_pace(self, rate: float) -> None:
        """So many notifications a second, whatever becomes of them."""
        self._pace, self._kept = rate, 0

    @asynccontextmanager
    async def flowing(self) -> AsyncIterator[None]:
        """For the length of the block."""
        async with asyncio.TaskGroup() as group:  # noqa: TID251 - has no deadline after it
            tasks = [group.create_task(self._publish(group)), group.create_task(self._listen())]
            yield
            for task in tasks:
                task.cancel()

    async def _publish(self, group: asyncio.TaskGroup) -> None:  # noqa: TID251 - has no deadline after it
        looked = time.monotonic()
        while True:
            await asyncio.sleep(TICK)
            now = time.monotonic()
            self._due = max(self._due + self._pace * (now - looked), self._kept - len(self.waiting))
            looked = now
            units = [next(self._units) for _ in range(int(self._due / TOLD))]
            self._due -= TOLD * len(units)
            for unit in units:
                self.waiting.update(dict.fromkeys((unit.webhook_id, *unit.further), now))
            self.owed += TOLD * len(units)
            self.published[int(now)] += TOLD * len(units)
            # Not awaited: a broker that is slow must not slow what comes next.
            group.create_task(self._stage.publisher.publish(UNITS, units))

    async def _listen(self) -> None:
        while True:
            await asyncio.sleep(LOOK)
            for receiver in self._receivers:
                for webhook_id, at, _ in await receiver.news():
                    if self.waiting.pop(webhook_id, None) is None:
                        self.superfluous += 1
                    else:
                        self.arrived[int(at)] += 1

    def rate(self, begin: int, end: int) -> float:
        """Arrivals a second, between two whole seconds of the monotonic clock."""
        return sum(self.arrived[second] for second in range(begin, end)) / (end - begin)

    async def seconds(self, number: int) -> tuple[int, int]:
        """The next so many whole seconds, when they are over and everything that came in them is counted."""
        begin = int(time.monotonic()) + 1
        await asyncio.sleep(begin + number + 2 * LOOK - time.monotonic())
        return begin, begin + number

    async def settled(self) -> None:
        """When a load has been on for long enough to be measured."""
        await asyncio.sleep(SETTLED)

    async def drained(self, patience: float) -> None:
        """Until nothing waits, or nothing has come for so many seconds: what then waits is lost."""
        self.keep_pace(0.0)
        left, since = len(self.waiting), time.monotonic()
        while self.waiting and time.monotonic() - since < patience:
            await asyncio.sleep(LOOK)
            if len(self.waiting) < left:
                left, since = len(self.waiting), time.monotonic()
        # What is sent a second time may come a little later.
        await asyncio.sleep(5 * LOOK)

    def account(self, allowed: int, dead: int) -> tuple[str, bool]:
        """A line, and whether nothing is missing and no more came twice than ``allowed``."""
        lost = len(self.waiting)
        text = (
            f"accounted for: {self.owed - lost} of {self.owed} (lost {lost}, of these dead letters {dead}; "
            f"arrived without being owed {self.superfluous}, at most {allowed})"
        )
        return text, not lost and not dead and self.superfluous <= allowed
