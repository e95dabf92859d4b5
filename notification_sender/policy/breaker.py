"""When an API is left alone, and for how long."""

from collections import deque
from typing import Literal

WINDOW = 10.0
LAST = 40
"""Results that count: the last so many, and none older than so many seconds. By time alone, what went well in a busy
moment before would keep a dead API in use for hundreds of calls."""

FAILURES = 5
SHARE = 0.6
"""So many failures, and more than this share of the results, and the API is out: a few are anybody's bad luck."""

SHORTEST, LONGEST = 1.0, 10.0
"""Seconds until the first probe, and the most between two: the longer ones would be added to every recovery."""

JITTER = 0.2
"""Share by which a pause is shortened or lengthened: fleets that were cut off together must not return together."""

LONGEST_WISH = 300.0
"""Seconds that an API may ask us to stay away for; what asks for more is asked again after these."""


class Breaker:
    """Closed, open for some seconds, then due for one probe, which closes it or opens it for longer.

    Times are monotonic, s; ``dice`` is uniform in [0, 1).
    """

    def __init__(self) -> None:
        self._results: deque[tuple[float, bool]] = deque()
        self._failed = 0
        self._until: float | None = None
        self._pauses = 0

    def state(self, now: float) -> Literal["closed", "open", "due"]:
        if self._until is None:
            return "closed"
        return "open" if now < self._until else "due"

    def left(self, now: float) -> float:
        """Seconds until a probe is due."""
        return 0.0 if self._until is None else max(0.0, self._until - now)

    def ended(self, *, well: bool, now: float, dice: float) -> float | None:
        """A call has ended, that was begun while it was closed. The seconds that it is open for, if that opened it."""
        if self._until is not None:
            return None
        self._results.append((now, well))
        self._failed += not well
        while len(self._results) > LAST or self._results[0][0] < now - WINDOW:
            self._failed -= not self._results.popleft()[1]
        if well or self._failed < FAILURES or self._failed <= SHARE * len(self._results):
            return None
        return self.pause(now=now, dice=dice)

    def pause(self, *, now: float, dice: float) -> float:
        """Open it, each time in a row for twice as long. For how many seconds."""
        seconds = min(LONGEST, SHORTEST * 2.0**self._pauses) * (1 + JITTER * (2 * dice - 1))
        self._pauses += 1
        self.hold(seconds, now=now)
        return seconds

    def hold(self, seconds: float, *, now: float) -> None:
        """Keep it open for at least so long: the API asked for it, or somebody else of the fleet found out."""
        self._until = max(self._until or 0.0, now + min(max(seconds, 0.0), LONGEST_WISH))

    def close(self) -> None:
        """A probe went well, here or elsewhere."""
        self._results.clear()
        self._failed = self._pauses = 0
        self._until = None
