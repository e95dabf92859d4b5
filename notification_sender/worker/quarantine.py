"""Units whose workers died: one of them at a time, so that one that kills its worker takes no other with it again."""

from collections.abc import Iterator
from contextlib import contextmanager

from notification_sender.ports import Dice

AWAY = 1.0
"""Seconds that the others stay away for at least, and up to four times that: together they would be a crowd again."""


class Quarantine:
    """Room for one. What a worker has in hand dies with it: those that died together would do so time and again."""

    def __init__(self, *, dice: Dice) -> None:
        self._dice = dice
        self._taken = False

    @contextmanager
    def room(self) -> Iterator[float]:
        """Ours while it is open where this is 0; else the seconds after which to ask again."""
        if self._taken:
            yield AWAY * (1 + 3 * self._dice())
            return
        self._taken = True
        try:
            yield 0.0
        finally:
            self._taken = False
