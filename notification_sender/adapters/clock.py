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
    """The time that a fleet agrees on: what has expired, and when a webhook was sent, which recipients refuse where it
    is five minutes off.

    Where this machine's clock and the store's differ, the store's is used, as it is for leases and limits; but not
    where both have agreed and this machine's was not set since. Then the store moved, to where the clock is wrong.
    """

    def __init__(self) -> None:
        self.apart = 0.0
        """Seconds that the store's clock is ahead of the machine's, 0 where that is tolerated."""
        self._offset = 0.0
        self._agreed: float | None = None
        """What the machine's wall clock was ahead of its monotonic one when it last agreed with the store's."""

    def now(self) -> float:
        return time.time() + self._offset

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
        ahead = time.time() - time.monotonic()
        apart = off if abs(off) > TOLERATED else 0.0
        if not apart:
            self._agreed = ahead
        unmoved = self._agreed is not None and abs(ahead - self._agreed) <= TOLERATED
        if bool(apart) != bool(self.apart):
            trusted = "machine" if unmoved else "store"
            _log.warning("clock.off" if apart else "clock.well", seconds=round(off, 1), trusted=trusted)
        self.apart, self._offset = apart, 0.0 if unmoved else apart
