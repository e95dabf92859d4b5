"""An objective is judged by what was observed. Nothing is said where that is too little, or nobody reports."""

import pytest

from notification_sender.policy.objectives import Tally, grown, objectives, states

CLAIM = "claim"
"""Of 1,000 one may be late."""


def state_of(recent: Tally, whole: Tally, *, known: bool = True) -> tuple[str, float | None, float | None]:
    found = {it.objective.step: it for it in states({CLAIM: recent}, {CLAIM: whole}, known=known)}[CLAIM]
    left = found.budget_left
    return found.state, found.present, None if left is None else round(left, 6)


@pytest.mark.parametrize(
    ("recent", "whole", "said"),
    [
        (Tally(1000, 1000), Tally(10_000, 9_995), ("kept", 1.0, 0.5)),
        (Tally(1000, 990), Tally(100_000, 99_950), ("missed", 0.99, 0.5)),
        (Tally(1000, 1000), Tally(10_000, 9_970), ("spent", 1.0, -2.0)),
        (Tally(99, 0), Tally(99, 0), ("quiet", None, None)),
        (Tally(), Tally(10_000, 9_995), ("quiet", None, 0.5)),
    ],
)
def test_an_objective_is_judged_by_what_was_observed(
    recent: Tally, whole: Tally, said: tuple[str, float | None, float | None]
) -> None:
    assert state_of(recent, whole) == said


def test_nothing_is_said_of_now_where_no_process_reports() -> None:
    assert state_of(Tally(1000, 1000), Tally(10_000, 9_995), known=False) == ("unknown", None, 0.5)


def test_a_step_that_nobody_observed_is_there() -> None:
    assert [it.objective for it in states({}, {}, known=True)] == objectives()


def test_only_what_is_new_is_added() -> None:
    before, after = {CLAIM: Tally(5, 4), "admit": Tally(2, 2)}, {CLAIM: Tally(9, 7), "admit": Tally(2, 2)}
    assert grown(before, after) == {CLAIM: Tally(4, 3)}
