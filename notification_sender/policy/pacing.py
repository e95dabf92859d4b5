"""When deferred deliveries come back: one after the other, at the pace at which places become free."""

LONGEST = 60.0
"""Longest delay in seconds, because much may have changed by then."""


class Pacer:
    """A virtual schedule, as of a rate limit: one number, the time of the next turn. Times are monotonic, s.

    No delay is longer than ``longest``.
    """

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._next = 0.0

    def next_delay(self, step: float, *, now: float, dice: float, opens: float = 0.0) -> float:
        """Seconds until ``step`` s after the turn before, and not before the time ``opens``.

        A delivery whose turn is later than ``longest`` comes back at any time in the second half of it, by ``dice``
        (uniform in [0, 1)): all at its end would come at once.
        """
        self._next = max(self._next, now, opens) + step
        if self._next <= now + self._longest:
            return self._next - now
        self._next = now + self._longest
        return self._longest * (1 + dice) / 2
