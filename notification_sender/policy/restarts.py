"""How long a process that ended waits before it is started again."""

FIRST_PAUSE = 1.0
"""Seconds before the first restart."""

LONGEST_PAUSE = 30.0
"""Seconds. A process that cannot work is tried twice a minute: its operator may have repaired the cause."""

WELL_SECONDS = 60.0
"""A process that ran for so long was well: its end counts as the first."""


class RestartPause:
    """The pause of one process: 1, 2, 4, 8, 16, 30, 30, … seconds, from 1 again after it ran well."""

    def __init__(self) -> None:
        self._next = FIRST_PAUSE

    def after(self, ran: float) -> float:
        """Seconds to wait, if the process ended after it ran for ``ran`` seconds."""
        if ran >= WELL_SECONDS:
            self._next = FIRST_PAUSE
        pause, self._next = self._next, min(2 * self._next, LONGEST_PAUSE)
        return pause
