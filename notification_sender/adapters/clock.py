"""The clock of this machine, and the clock that the fleet agrees on."""

import asyncio
import time

import structlog

from notification_sender.adapters.redis.client import Store
from notification_sender.model.errors import Unready

COMPARE_PERIOD = 10.0
"""Seconds between two comparisons with the clock of Redis."""

TOLERATED_SKEW = 2.0
"""Seconds that two clocks may differ. A smaller difference may be network delay, and does no harm."""

_log = structlog.get_logger()


class SystemClock:
    """Wall-clock time for everything that leaves the process; monotonic time for durations."""

    # The functions themselves, without a method around them: each message reads the clock 40 times.
    now = staticmethod(time.time)
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


class FleetClock(SystemClock):
    """The time that the fleet agrees on. It decides what has expired, and it dates webhooks: many recipients refuse a
    timestamp that is five minutes off.

    Where this machine's clock and Redis's clock differ, this clock follows Redis, as leases and limits do. One
    exception: both agreed before and this machine's clock was not set since. Then Redis moved to a wrong clock, and
    this clock follows the machine.
    """

    def __init__(self) -> None:
        self.apart = 0.0
        """Seconds that Redis's clock is ahead of the machine's; 0 while the difference is tolerated."""
        self._offset = 0.0
        self._agreed: float | None = None
        """Wall clock minus monotonic clock, in seconds, when the wall clock last agreed with Redis's."""

    def now(self) -> float:
        return time.time() + self._offset

    async def follow(self, store: Store) -> None:
        """Compare the clocks every ``COMPARE_PERIOD``, until cancelled."""
        while True:
            await asyncio.sleep(COMPARE_PERIOD)
            await self.compare(store)

    async def compare(self, store: Store) -> None:
        """Compare the clocks once. While Redis is away the last comparison stands."""
        asked = time.time()
        try:
            seconds, microseconds = await store.execute("TIME")
        except Unready:
            return
        # Redis read its clock between the request and the reply: the middle is the best estimate.
        off = int(seconds) + int(microseconds) / 1_000_000 - (asked + time.time()) / 2
        ahead = time.time() - time.monotonic()
        apart = off if abs(off) > TOLERATED_SKEW else 0.0
        if not apart:
            self._agreed = ahead
        unmoved = self._agreed is not None and abs(ahead - self._agreed) <= TOLERATED_SKEW
        if bool(apart) != bool(self.apart):
            trusted = "machine" if unmoved else "store"
            _log.warning("clock.skewed" if apart else "clock.in_sync", seconds=round(off, 1), trusted=trusted)
        self.apart, self._offset = apart, 0.0 if unmoved else apart
