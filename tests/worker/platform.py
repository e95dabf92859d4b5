"""Our own APIs as the worker sees them: in, or out but for a few."""

import asyncio


class Platform:
    """Lets everybody in until it is told otherwise."""

    def __init__(self) -> None:
        self.out = False
        self.probes = 0
        """Units that are let in all the same."""
        self.blamed: list[Exception] = []
        self._moved = asyncio.Event()

    def admits(self) -> bool:
        return not self.out or self.probes > 0

    def unit_started(self) -> None:
        self.probes = max(self.probes - 1, 0)

    def record_failure(self, error: Exception) -> None:
        self.blamed.append(error)

    async def changed(self) -> None:
        await self._moved.wait()
        self._moved.clear()

    def turn(self, *, out: bool, probes: int = 0) -> None:
        self.out, self.probes = out, probes
        self._moved.set()
