"""The last seconds of figures that only grow."""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

Totals = Mapping[str, Mapping[str, float]]
"""Figures since the start of the process, by group and name."""


class Recent(NamedTuple):
    """How much figures grew in ``seconds``. What did not grow is missing."""

    seconds: float
    grown: Mapping[str, Mapping[str, float]]

    def group(self, name: str) -> Mapping[str, float]:
        return self.grown.get(name, {})


class RecentFigures:
    """Keeps the totals of some seconds. ``longest``: how many."""

    def __init__(self, longest: float, now: float, totals: Totals) -> None:
        self._longest = longest
        self._kept: deque[tuple[float, Totals]] = deque([(now, totals)])

    def add(self, now: float, totals: Totals) -> Recent:
        """Add the totals of now. Returns what they grew by in the window."""
        kept = self._kept
        while len(kept) > 1 and now - kept[1][0] >= self._longest:
            kept.popleft()
        since, before = kept[0]
        kept.append((now, totals))
        return Recent(now - since, {group: _grown(before.get(group, {}), it) for group, it in totals.items()})


def _grown(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    return {name: number - before.get(name, 0) for name, number in after.items() if number != before.get(name, 0)}
