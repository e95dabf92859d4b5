"""How fast each critical step must be, and how much of its budget of slow ones is left."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from notification_sender.policy.declared_objectives import LEAST_OBSERVATIONS, OBJECTIVES

BUDGET_DAYS = 30
"""Days that a budget is for."""


@dataclass(frozen=True, slots=True)
class Objective:
    """``share``: the part of what is observed in a step that must be within ``within`` s."""

    step: str
    within: float
    share: float


class Tally(NamedTuple):
    """Of one step: what was observed, and what of it was within the objective."""

    observed: int = 0
    good: int = 0

    def plus(self, other: "Tally") -> "Tally":
        return Tally(self.observed + other.observed, self.good + other.good)

    def minus(self, other: "Tally") -> "Tally":
        return Tally(self.observed - other.observed, self.good - other.good)

    @property
    def share(self) -> float | None:
        """The good part; None: nothing was observed."""
        return self.good / self.observed if self.observed else None


Tallies = Mapping[str, Tally]
"""By step."""


@dataclass(frozen=True, slots=True)
class ObjectiveState:
    """One objective: how it is kept now, and in the time of its budget."""

    objective: Objective
    recent: Tally
    """Of the last hour or two."""
    whole: Tally
    """Of the last 30 days."""
    known: bool
    """False: the processes do not report, so that nothing is known of now."""

    @property
    def present(self) -> float | None:
        """The part of now that is within the objective; None: unknown, or too little was observed."""
        return self.recent.share if self.known and self.recent.observed >= LEAST_OBSERVATIONS else None

    @property
    def budget_left(self) -> float | None:
        """The part of the budget that is left, below 0 if more is spent; None: too little was observed."""
        if self.whole.observed < LEAST_OBSERVATIONS:
            return None
        allowed = (1 - self.objective.share) * self.whole.observed
        return 1 - (self.whole.observed - self.whole.good) / allowed

    @property
    def state(self) -> str:
        """``kept``, ``missed`` now, ``spent``, ``quiet`` (too little is observed) or ``unknown``."""
        if not self.known:
            return "unknown"
        if self.budget_left is not None and self.budget_left <= 0:
            return "spent"
        if self.present is None:
            return "quiet"
        return "kept" if self.present >= self.objective.share else "missed"

    def as_json(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "step": self.objective.step,
            "within_s": self.objective.within,
            "target": self.objective.share,
            "state": self.state,
            "present": _rounded(self.present),
            "observed": self.recent.observed if self.known else None,
            "budget_left": _rounded(self.budget_left),
            "observed_30d": self.whole.observed,
        }


def objectives() -> list[Objective]:
    """All objectives, as ``deploy/observability/objectives.yaml`` has them."""
    return [Objective(*it) for it in OBJECTIVES]


def states(recent: Tallies, whole: Tallies, *, known: bool) -> Sequence[ObjectiveState]:
    """The state of each objective."""
    nothing = Tally()
    return [ObjectiveState(it, recent.get(it.step, nothing), whole.get(it.step, nothing), known) for it in objectives()]


def grown(before: Tallies, after: Tallies) -> dict[str, Tally]:
    """The observations in between. A step without any is missing."""
    return {step: more for step, it in after.items() if (more := it.minus(before.get(step, Tally()))).observed}


def _rounded(share: float | None) -> float | None:
    return None if share is None else round(share, 5)
