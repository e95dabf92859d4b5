"""A unit whose context cannot be had waits, but not for ever."""

from hypothesis import given
from hypothesis import strategies as st

from notification_sender.model.outcome import Dead, Deferred
from notification_sender.policy.deferral import Deferral

DAY = Deferral(max_age=86_400)
dice = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 1000), st.floats(0, 86_399), dice)
def test_a_young_unit_is_deferred_by_at_most_a_minute(attempt: int, age: float, throw: float) -> None:
    outcome = DAY.unavailable("aaa: 503", attempt=attempt, age=age, expires_in=None, dice=throw)
    assert isinstance(outcome, Deferred)
    assert 0 <= outcome.delay <= 60


def test_too_old_is_dead_and_says_what_the_trouble_was() -> None:
    outcome = DAY.unavailable("aaa: 503", attempt=900, age=86_400, expires_in=None, dice=0.5)
    assert isinstance(outcome, Dead)
    assert outcome.reason == "context_unavailable"
    assert "aaa: 503" in outcome.detail


def test_it_comes_back_when_it_expires_rather_than_after() -> None:
    outcome = DAY.unavailable("aaa: 503", attempt=9, age=10, expires_in=2.0, dice=0.9)
    assert outcome == Deferred(2.0, "context_unavailable")


def test_a_missing_subject_is_asked_for_three_times() -> None:
    ends = [DAY.not_found("incident inc-1: 404", misses=misses) for misses in range(3)]
    assert [type(end) for end in ends] == [Deferred, Deferred, Dead]
    assert ends[2] == Dead("subject_not_found", "incident inc-1: 404, 3 times")
