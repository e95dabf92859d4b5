"""Long work on the event loop, in short stretches: acks, leases, heartbeats and health wait for nobody's unit."""

import asyncio

from notification_sender.ports.clock import Clock

STRETCH = 0.01
"""Seconds: a loop that is held for longer makes every deadline of this process late."""


class Checkpoint:
    """To be awaited between two small pieces of work: ``await checkpoint()``. By time and not by count, because what a
    piece costs is decided by whoever wrote the unit or the template.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._since = clock.monotonic()

    async def __call__(self) -> None:
        """Give the loop to others if this work has had it for ``STRETCH`` seconds."""
        if self._clock.monotonic() - self._since >= STRETCH:
            await asyncio.sleep(0)
            self._since = self._clock.monotonic()
