"""When those come back who were sent away together: one after the other, at the pace at which there is room."""

LONGEST = 60.0
"""Seconds: nobody is sent away for longer, because by then much may have changed."""


class Returns:
    """A virtual schedule, as of a limit: one number, when the next one's turn is. Times are monotonic, s.

    Nobody is sent away for more than ``longest``.
    """

    def __init__(self, longest: float = LONGEST) -> None:
        self._longest = longest
        self._next = 0.0

    def after(self, step: float, *, now: float, dice: float, opens: float = 0.0) -> float:
        """Seconds to stay away for: until ``step`` s after the one before, and after ``opens`` (a moment).

        Who would have to wait for longer than that comes back at any time in the second half of it, by ``dice``
        (uniform in [0, 1)): all at its end would be one crowd.
        """
        self._next = max(self._next, now, opens) + step
        if self._next <= now + self._longest:
            return self._next - now
        self._next = now + self._longest
        return self._longest * (1 + dice) / 2
