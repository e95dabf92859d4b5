"""When an API, or a host of recipients, is left alone, and for how long."""

from collections import deque
from dataclasses import dataclass
from typing import Literal

JITTER = 0.2
"""Share by which a pause is shortened or lengthened: fleets that were cut off together must not return together."""

LONGEST_WISH = 300.0
"""Seconds that one may ask us to stay away for; what asks for more is asked again after these."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """When it opens: at so many ``failures``, if they are more than this ``share`` of the results. What counts is the
    ``last`` so many results, and none older than ``window`` s: by time alone, what went well in a busy moment before
    would keep a dead API in use for hundreds of calls.

    ``shortest``: s until the first probe; ``longest``: the most between two.
    """

    failures: int
    share: float
    last: int
    window: float
    shortest: float
    longest: float


API = Rules(failures=5, share=0.6, last=40, window=10.0, shortest=1.0, longest=10.0)
"""A few failures are anybody's bad luck; longer pauses would be added to every recovery of ours."""

HOST = Rules(failures=20, share=0.8, last=40, window=60.0, shortest=1.0, longest=60.0)
"""What fails a few times is the retry schedule's business, and nobody asks a host that is dead for hours more often
than once a minute.
"""


class Breaker:
    """Closed, open for some seconds, then due for one probe, which closes it or opens it for longer.

    Times are monotonic, s; ``dice`` is uniform in [0, 1).
    """

    def __init__(self, rules: Rules = API) -> None:
        self._rules = rules
        self._results: deque[tuple[float, bool]] = deque()
        self._failed = 0
        self._until: float | None = None
        self._pause = 0.0

    @property
    def spotless(self) -> bool:
        """Closed, and nothing speaks against it: as one that was just made."""
        return self._until is None and not self._failed

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
        while len(self._results) > self._rules.last or self._results[0][0] < now - self._rules.window:
            self._failed -= not self._results.popleft()[1]
        if well or self._failed < self._rules.failures or self._failed <= self._rules.share * len(self._results):
            return None
        return self.pause(now=now, dice=dice)

    def pause(self, *, now: float, dice: float) -> float:
        """Open it, each time in a row for twice as long. For how many seconds."""
        self._pause = min(self._rules.longest, 2 * self._pause or self._rules.shortest)
        seconds = self._pause * (1 + JITTER * (2 * dice - 1))
        self.hold(seconds, now=now)
        return seconds

    def hold(self, seconds: float, *, now: float) -> None:
        """Keep it open for at least so long: it asked for that, or somebody else of the fleet found out."""
        self._until = max(self._until or 0.0, now + min(max(seconds, 0.0), LONGEST_WISH))

    def follow(self, seconds: float, *, now: float) -> None:
        """Somebody else of the fleet paused it: our next pause is twice as long as theirs, for it is one row."""
        self._pause = min(self._rules.longest, max(self._pause, seconds))
        self.hold(seconds, now=now)

    def close(self) -> None:
        """A probe went well, here or elsewhere."""
        self._results.clear()
        self._failed, self._pause = 0, 0.0
        self._until = None
