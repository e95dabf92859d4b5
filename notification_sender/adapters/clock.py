"""The clock of this machine."""

import asyncio
import time


class SystemClock:
    """Wall time is for what the world sees; durations are measured on the monotonic one."""

    def now(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
