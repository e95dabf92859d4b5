"""The audit: how many work units were promised, and what became of each."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WORST_FIRST = ("dead", "waiting", "delivered", "suppressed")
"""A unit counts as the worst that became of any of its notifications."""

OVER = {"dead": "dead", "delivered": "delivered", "suppressed": "suppressed", "done": "suppressed"}
"""What a recorded state counts as. A unit that is done and has no notification had nobody to tell.

Every other state (claimed, parked, its record gone) is still waiting: never taken for a success.
"""


@dataclass(frozen=True, slots=True)
class Audit:
    """Work units, each counted once. ``str()`` is the line that commands print."""

    expected: int
    delivered: int
    suppressed: int
    waiting: int
    dead: int

    @property
    def accounted(self) -> int:
        """How many were seen, whatever became of them."""
        return self.delivered + self.suppressed + self.waiting + self.dead

    @property
    def missing(self) -> int:
        """How many were promised and never seen."""
        return max(0, self.expected - self.accounted)

    def __str__(self) -> str:
        line = (
            f"accounted for: {self.accounted} of {self.expected} (delivered {self.delivered}, "
            f"suppressed {self.suppressed}, waiting {self.waiting}, dead {self.dead})"
        )
        return f"{line}, missing: {self.missing}" if self.missing else line


def audit(expected: int, fates: Mapping[str, Sequence[str]]) -> Audit:
    """Count. ``fates``: of every unit seen, the states of its notifications, or its own where it has none."""
    units = Counter(_fate(states) for states in fates.values())
    return Audit(expected, **{fate: units[fate] for fate in WORST_FIRST})


def _fate(states: Sequence[str]) -> str:
    return min((OVER.get(state, "waiting") for state in states), key=WORST_FIRST.index, default="waiting")
