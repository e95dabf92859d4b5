"""The progress of a command, shown on a terminal only."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from notification_sender.adapters.rabbitmq.waiting import Moved

PERIOD = 0.2
"""Seconds between two updates of the line."""

WIDTH = 24
"""Characters of the bar."""


class Progress:
    """A bar with how much of ``total`` is done, on one line of standard error."""

    def __init__(self, verb: str, total: int = 0, every: float = PERIOD) -> None:
        """``verb`` is what is done to each, as a past participle: ``published``."""
        self.done = 0
        self.total = total
        self._verb = verb
        self._every = every
        self._shown = time.monotonic()
        self._open = False

    def one_more(self) -> None:
        self.done += 1
        if sys.stderr.isatty() and time.monotonic() - self._shown >= self._every:
            self._shown, self._open = time.monotonic(), True
            filled = WIDTH * self.done // max(self.done, self.total)
            bar = "━" * filled + "╌" * (WIDTH - filled)
            print(f"\r{bar}  {self._verb} {self.done} of {self.total}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """End the line."""
        if self._open:
            print(file=sys.stderr)


@contextmanager
def reading_ladder() -> Iterator[Callable[["Moved"], None]]:
    """A bar of the messages that are read on the delay ladder; gives the function to call after each."""
    progress = Progress("looked at")

    def step(moved: "Moved") -> None:
        progress.total = moved.waiting
        progress.one_more()

    try:
        yield step
    finally:
        progress.end()
