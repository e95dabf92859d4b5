"""Whether an API gives no answer at all. Calls that hang are too few to open a breaker: one deadline is as long as the
breaker's window, and token calls go one at a time.
"""

from collections import Counter

from notification_sender.policy.breaker import API
from notification_sender.policy.doubts import IN_A_ROW, OF_ONE

SEVERAL = 3
"""Organizations whose calls must go unanswered: calls of fewer may hang over their records."""

FORGOTTEN = 300.0
"""Seconds without a call after which earlier calls do not count any more."""

ROUNDING = 1e-6
"""Seconds: two calls of one deadline each are two deadlines, however their times were rounded."""

NOBODY = ""
"""In place of an organization, where a call is about the API itself: for a token, or without a connection."""


class Silence:
    """The silence of one API, as one process sees it: the time in which calls were under way and none got an answer of
    any kind. Time without a call does not count. ``max_silence`` in seconds.

    Times are monotonic, s, without the time that the loop of this process lost.
    """

    def __init__(self, max_silence: float) -> None:
        self._max_silence = max_silence
        self._in_flight = 0
        self._since = 0.0
        """While calls are under way: their time since then is not in ``_waited`` yet. Else: when the last one ended."""
        self._waited = 0.0
        self._unanswered: Counter[str] = Counter()

    def call_began(self, now: float) -> None:
        """A call began."""
        if not self._in_flight:
            if now - self._since > FORGOTTEN:
                self.forget(now)
            self._since = now
        self._in_flight += 1

    def call_ended(self, now: float) -> None:
        """A call ended, with an answer or without."""
        self._in_flight -= 1
        if not self._in_flight:
            self._waited += now - self._since
            self._since = now

    def unanswered(self, organization: str) -> None:
        """A call for this organization ended without an answer."""
        self._unanswered[organization] += 1

    def forget(self, now: float) -> None:
        """Count anew from now on: a call was answered, or the API is not called for a while."""
        self._waited, self._since = 0.0, now
        self._unanswered.clear()

    def lasts(self, now: float) -> bool:
        """Whether the calls should stop: by the time, or after as many calls as open a breaker, however far apart."""
        calls = self._unanswered
        weight = sum(count if organization == NOBODY else min(count, OF_ONE) for organization, count in calls.items())
        if weight >= API.failures:
            return True
        waited = self._waited + (now - self._since if self._in_flight else 0.0)
        conclusive = NOBODY in calls or len(calls) >= SEVERAL or calls.total() >= IN_A_ROW
        return conclusive and waited > self._max_silence - ROUNDING
