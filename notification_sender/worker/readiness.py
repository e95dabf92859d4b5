"""Our own broker and store may go away: a step is kept in hand and taken again when they are back."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog

from notification_sender.model.errors import Unready
from notification_sender.ports import Clock

LONGEST = 300.0
"""Seconds that anything is kept in hand; after that it is parked, far below the broker's own consumer timeout."""

PAUSE = 0.25
"""Seconds between two tries."""

Result = TypeVar("Result")
_log = structlog.get_logger()


class Readiness:
    """Whoever keeps a step keeps its slot: while something of ours is away, no more is begun than there are slots."""

    def __init__(self, *, clock: Clock) -> None:
        self._clock = clock

    async def keep(self, step: Callable[[], Awaitable[Result]]) -> Result:
        """Take ``step`` until it is through; it must be safe to repeat.

        Raises:
            Unready: it was not through after ``LONGEST`` seconds.
        """
        until = self._clock.monotonic() + LONGEST
        while True:
            try:
                return await step()
            except Unready as fault:
                if self._clock.monotonic() >= until:
                    raise
                _log.debug("step.kept", error=str(fault))
                await self._clock.sleep(PAUSE)
