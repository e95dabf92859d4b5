"""How many calls an API gets at once: more while it answers them, fewer as soon as it is overloaded.

Additive increase, multiplicative decrease, after a start that doubles: as in TCP (Jacobson, "Congestion Avoidance and
Control", 1988).
"""

import math

START, MOST = 50.0, 200.0
DECREASE = 0.7


class AimdLimit:
    """``limit`` of calls at once in this process. Times are monotonic, s."""

    def __init__(self) -> None:
        self._size = START
        self._cut = -math.inf

    @property
    def limit(self) -> int:
        return int(self._size)

    def on_success(self, in_flight: int) -> None:
        """A call went well. The limit grows only while at least half of it is used: an unused limit proves nothing."""
        if 2 * in_flight >= self._size:
            self._size = min(MOST, self._size + (1.0 if self._cut == -math.inf else 1 / self._size))

    def on_overload(self, *, begun: float, now: float) -> None:
        """A call that began at ``begun`` was too much. Of all calls that were under way together one counts."""
        if begun >= self._cut:
            self._size = max(1.0, self._size * DECREASE)
            self._cut = now
