"""How many calls an API is given at once: more while it bears them, fewer as soon as it does not.

Additive increase, multiplicative decrease, after a start that doubles: as in TCP (Jacobson, "Congestion Avoidance and
Control", 1988).
"""

import math

START, MOST = 50.0, 200.0
DECREASE = 0.7


class Window:
    """``limit`` of calls at once in this process. Times are monotonic, s."""

    def __init__(self) -> None:
        self._size = START
        self._cut = -math.inf

    @property
    def limit(self) -> int:
        return int(self._size)

    def bore(self, in_flight: int) -> None:
        """A call went well. Only a window that was used says anything of a larger one."""
        if 2 * in_flight >= self._size:
            self._size = min(MOST, self._size + (1.0 if self._cut == -math.inf else 1 / self._size))

    def overloaded(self, *, begun: float, now: float) -> None:
        """A call that began at ``begun`` was too much. Of all that were under way together, one counts."""
        if begun >= self._cut:
            self._size = max(1.0, self._size * DECREASE)
            self._cut = now
