"""Outcomes by organization, for the busiest organizations: one series for each would be thousands."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from notification_sender.policy.busiest import busiest, decayed

OTHER = "(other)"
"""All organizations that are not named. No id of an organization has brackets."""

MOST_PENDING = 10_000
"""Pairs of organization and outcome that are counted between two refreshes, while nobody scrapes."""


class TopOrganizations(Collector):
    """Counts on the loop's thread in one dictionary. ``refresh`` decides which organizations are named.

    No series ever falls: what was counted while an organization was not named stays in ``OTHER``, and the count of one
    that is named again begins at zero.
    """

    def __init__(
        self,
        name: str,
        text: str,
        labels: Sequence[str],
        *,
        most: int,
        registry: CollectorRegistry,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._family = (name, text, labels)
        self._most = most
        self._monotonic = monotonic
        self._refreshed = monotonic()
        self._pending: dict[tuple[str, str], int] = {}
        self._recent: dict[str, float] = {}
        self._named: set[str] = set()
        self._counts: dict[tuple[str, str], int] = {}
        registry.register(self)

    def count(self, organization: str, outcome: str) -> None:
        """Count one. It is a call for each notification."""
        pair, pending = (organization, outcome), self._pending
        if pair in pending:
            pending[pair] += 1
            return
        pending[pair] = 1
        if len(pending) >= MOST_PENDING:
            self.refresh()

    def refresh(self) -> None:
        """Add what was counted since the last refresh. It runs on the loop."""
        now, pending = self._monotonic(), self._pending
        self._pending = {}
        recent = defaultdict(float, decayed(self._recent, now - self._refreshed))
        for (organization, _), number in pending.items():
            recent[organization] += number
        named = busiest(recent, self._named, self._most)
        kept = {pair: number for pair, number in self._counts.items() if pair[0] in named or pair[0] == OTHER}
        for (organization, outcome), number in pending.items():
            pair = (organization if organization in named else OTHER, outcome)
            kept[pair] = kept.get(pair, 0) + number
        self._refreshed, self._recent, self._named, self._counts = now, recent, named, kept

    def collect(self) -> Iterable[Metric]:
        family = self._made()
        for pair, number in self._counts.items():  # never changed, only replaced: a scrape is in another thread
            family.add_metric(pair, number)
        yield family

    def describe(self) -> Iterator[Metric]:
        yield self._made()

    def _made(self) -> CounterMetricFamily:
        name, text, labels = self._family
        return CounterMetricFamily(name, text, labels=labels)
