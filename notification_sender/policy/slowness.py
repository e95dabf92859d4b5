"""Whether an API is slow: it answers, but the first byte comes later than it should."""

import math
from collections import deque
from statistics import median

LAST = 20
"""Calls that count."""

LASTS_SECONDS = 60.0
"""Seconds without a call after which nothing is known of the API any more."""

BETTER = 0.8
"""Share of the objective below which the median ends the slowness: the state must not change with each call."""


class Slowness:
    """The last calls of one API, as one process sees them. ``objective``: seconds to the first byte of an answer.

    The API is slow while half of the last 20 calls took longer. Fewer calls prove nothing: a few are bad luck.
    """

    def __init__(self, objective: float) -> None:
        self.objective = objective
        self.slow = False
        self._last: deque[float] = deque(maxlen=LAST)
        self._last_at = -math.inf

    @property
    def typical(self) -> float:
        """The median of the last calls, in seconds."""
        return median(self._last) if self._last else 0.0

    def add(self, seconds: float, now: float) -> None:
        """Add one call: its seconds to the first byte, or without an answer the seconds that were waited."""
        self.lapse(now)
        self._last_at = now
        self._last.append(seconds)
        if len(self._last) == LAST:
            self.slow = self.typical > self.objective * (BETTER if self.slow else 1.0)

    def lapse(self, now: float) -> None:
        """Forget all calls if the last one was long ago: an API that nobody calls is not slow."""
        if now - self._last_at > LASTS_SECONDS:
            self.forget()

    def forget(self) -> None:
        """Forget all calls: the circuit was open, and earlier calls prove nothing any more."""
        self._last.clear()
        self.slow = False
