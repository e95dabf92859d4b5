"""A circuit breaker: when the calls to an API or to a recipient's host stop, and for how long."""

from collections import deque
from dataclasses import dataclass
from typing import Literal

JITTER = 0.2
"""Share by which a pause varies up and down: fleets that were cut off together must not return together."""

LONGEST_WISH = 300.0
"""Seconds that the other side may ask us to stay away for; after these it is tried again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """The breaker opens at ``failures`` failures if they are more than ``share`` of the results. Only the ``last``
    results count, and none older than ``window`` s. By time alone, the successes of a busy moment before would keep a
    dead API in use for hundreds of calls.

    ``shortest``: seconds until the first probe; ``longest``: seconds between two probes at most.
    """

    failures: int
    share: float
    last: int
    window: float
    shortest: float
    longest: float


API = Rules(failures=5, share=0.6, last=40, window=10.0, shortest=1.0, longest=10.0)
"""A few failures are bad luck. Longer pauses would be added to each of our recoveries."""

HOST = Rules(failures=20, share=0.8, last=40, window=60.0, shortest=1.0, longest=60.0)
"""A few failures are left to the retry schedule. A host that is dead for hours is probed once a minute at most."""


class Breaker:
    """Closed, open for some seconds, then due for one probe, which closes the breaker or opens it for longer.

    Times are monotonic, s; ``dice`` is uniform in [0, 1).
    """

    def __init__(self, rules: Rules = API) -> None:
        self._rules = rules
        self._results: deque[tuple[float, bool]] = deque()
        self._failed = 0
        self._until: float | None = None
        self._pause = 0.0

    @property
    def has_no_failures(self) -> bool:
        """Closed, with no failure that counts: as good as a new breaker."""
        return self._until is None and not self._failed

    def state(self, now: float) -> Literal["closed", "open", "due"]:
        if self._until is None:
            return "closed"
        return "open" if now < self._until else "due"

    def left(self, now: float) -> float:
        """Seconds until a probe is due."""
        return 0.0 if self._until is None else max(0.0, self._until - now)

    def make_probe_due(self, now: float) -> None:
        """Make a probe due now if the breaker is open: something says that the other side may be well again."""
        if self._until is not None:
            self._until = min(self._until, now)

    def record_result(self, *, well: bool, now: float, dice: float) -> float | None:
        """Count the end of a call that began while the breaker was closed. Returns the pause that it causes, if any."""
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
        """Open the breaker, for twice the last pause. Returns for how many seconds."""
        self._pause = min(self._rules.longest, 2 * self._pause or self._rules.shortest)
        seconds = self._pause * (1 + JITTER * (2 * dice - 1))
        self.hold_open(seconds, now=now)
        return seconds

    def hold_open(self, seconds: float, *, now: float) -> None:
        """Keep the breaker open for at least so long; the next pause does not change. The other side asked for that."""
        self._until = max(self._until or 0.0, now + min(max(seconds, 0.0), LONGEST_WISH))

    def adopt_pause(self, seconds: float, *, now: float) -> None:
        """Follow a pause that another process made. Our next is twice as long: the pauses of a fleet are one row."""
        self._pause = min(self._rules.longest, max(self._pause, seconds))
        self.hold_open(seconds, now=now)

    def close(self) -> None:
        """Close the breaker: a probe went well, in this process or in another one."""
        self._results.clear()
        self._failed, self._pause = 0, 0.0
        self._until = None
