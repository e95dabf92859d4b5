"""When the circuit of a host opens for all organizations, and not for one alone."""

from collections import OrderedDict, deque
from math import ceil, inf

from notification_sender.policy.breaker import HOST, Rules

SEVERAL = 3
"""Organizations whose sends must fail before a host counts as down. Each counts for a third of the needed failures at
most: two organizations with broken paths of their own prove nothing about a third one's."""

ORGANIZATIONS = 40
"""Organizations that are remembered for one host: those that failed last."""


class SharedHost:
    """Results at one host, by organization. Times are monotonic, s."""

    def __init__(self, rules: Rules = HOST) -> None:
        self._rules = rules
        self._each = ceil(rules.failures / SEVERAL)
        self._failures: OrderedDict[str, deque[float]] = OrderedDict()
        self._succeeded = -inf

    def proven(self, now: float) -> bool:
        """Whether a send of any organization went well within the window: then the host is not down."""
        return now - self._succeeded < self._rules.window

    def succeeded(self, now: float) -> None:
        """A send of some organization went well."""
        self._succeeded = now
        if self._failures:
            self.forget()

    def forget(self) -> None:
        """Forget all failures: the host is well again."""
        self._failures.clear()

    def failed(self, organization: str, now: float) -> bool:
        """A send of this organization failed. Returns whether the host is down as a whole by now."""
        own = self._failures.setdefault(organization, deque(maxlen=self._each))
        own.append(now)
        self._failures.move_to_end(organization)
        if len(self._failures) > ORGANIZATIONS:
            self._failures.popitem(last=False)
        if self.proven(now):
            return False
        since = now - self._rules.window
        return sum(at >= since for failures in self._failures.values() for at in failures) >= self._rules.failures
