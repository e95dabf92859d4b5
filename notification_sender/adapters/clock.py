"""The clock of this machine, and that of the fleet."""

import asyncio
import time

import structlog

from notification_sender.adapters.redis import Store
from notification_sender.model.errors import Unready

PERIOD = 10.0
"""Seconds between two looks at the store's clock."""

TOLERATED = 2.0
"""Seconds that two machines may differ: what is less is the way to the store, or nobody's concern."""

_log = structlog.get_logger()


class SystemClock:
    """Wall time is for what the world sees; durations are measured on the monotonic one."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FleetClock(SystemClock):
    """Where this machine's wall clock is wrong the store's is used, as it is for leases and limits: recipients refuse a
    webhook whose timestamp is five minutes off, and a fleet must agree on what has expired.
    """

    def __init__(self) -> None:
        self.offset = 0.0
        """Seconds that are added to the machine's clock."""

    def now(self) -> float:
        return time.time() + self.offset

    async def follow(self, store: Store) -> None:
        """To be run beside the work."""
        while True:
            await asyncio.sleep(PERIOD)
            await self.compare(store)

    async def compare(self, store: Store) -> None:
        """Look at the store's clock once; without the store what was known stands."""
        asked = time.time()
        try:
            seconds, microseconds = await store.execute("TIME")
        except Unready:
            return
        # The answer is of some moment between the two: half of the way is the best guess.
        off = int(seconds) + int(microseconds) / 1_000_000 - (asked + time.time()) / 2
        offset = off if abs(off) > TOLERATED else 0.0
        if bool(offset) != bool(self.offset):
            _log.warning("clock.off" if offset else "clock.well", seconds=round(off, 1))
        self.offset = offset
