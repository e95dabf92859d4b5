"""Our own broker and store may go away: a step is kept in hand and taken again when they are back."""

import math
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from notification_sender.model.errors import Unready
from notification_sender.ports import Clock

LONGEST = 300.0
"""Seconds that one step is kept; then its message is parked, long before the broker's own consumer timeout."""

PAUSE = 0.25
"""Seconds between two tries."""

Result = TypeVar("Result")
_log = structlog.get_logger()


class Readiness:
    """Whoever keeps a step keeps its slot: while something of ours is away, no more is begun than there are slots."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock
        self._kept = 0
        self._until = -math.inf

    @property
    def troubled(self) -> float:
        """Until when steps had to be kept, on the monotonic clock: until now, while one is."""
        return self._clock.monotonic() if self._kept else self._until

    async def keep(self, step: Callable[[], Awaitable[Result]], longest: float = LONGEST) -> Result:
        """Take ``step`` until it is through. One step, never two: what went through before would be done again.

        Raises:
            Unready: it was not through after ``longest`` seconds.
        """
        try:
            return await step()
        except Unready as fault:
            self._kept += 1
            try:
                return await self._insist(step, longest, fault)
            finally:
                self._kept -= 1
                self._until = self._clock.monotonic()

    async def _insist(self, step: Callable[[], Awaitable[Result]], longest: float, fault: Unready) -> Result:
        until = self._clock.monotonic() + longest
        while self._clock.monotonic() < until:
            _log.debug("step.kept", error=str(fault))
            await self._clock.sleep(PAUSE)
            try:
                return await step()
            except Unready as again:
                fault = again
        raise fault
