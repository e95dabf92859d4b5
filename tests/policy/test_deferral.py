"""A unit whose context cannot be had waits, but not for ever."""

from hypothesis import given
from hypothesis import strategies as st

from notification_sender.model.cause import Cause, Phase
from notification_sender.model.errors import ContextUnavailable, SubjectNotFound
from notification_sender.model.outcome import Dead, Deferred
from notification_sender.policy.retry import RetryPolicy

DAY = RetryPolicy({}, delivery_max_age=604_800, platform_max_age=86_400)
AWAY = ContextUnavailable("aaa: 503", cause=Cause("organization", "aaa", 503, Phase.READ))
MISSING = SubjectNotFound("incident inc-1: 404", cause=Cause("incident", "incidents", 404, Phase.READ))
dice = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 1000), st.floats(0, 86_399), dice)
def test_a_young_unit_is_deferred_by_at_most_a_minute(attempt: int, age: float, throw: float) -> None:
    outcome = DAY.unavailable(AWAY, attempt=attempt, age=age, expires_in=None, dice=throw)
    assert isinstance(outcome, Deferred)
    assert 0 <= outcome.delay <= 60


def test_too_old_is_dead_and_says_what_the_trouble_was() -> None:
    outcome = DAY.unavailable(AWAY, attempt=900, age=86_400, expires_in=None, dice=0.5)
    assert isinstance(outcome, Dead)
    assert outcome.reason == "context_unavailable"
    assert "aaa: 503" in outcome.detail


def test_it_comes_back_when_it_expires_rather_than_after() -> None:
    outcome = DAY.unavailable(AWAY, attempt=9, age=10, expires_in=2.0, dice=0.9)
    assert isinstance(outcome, Deferred)
    assert outcome.delay == 2.0


def test_a_missing_subject_is_asked_for_three_times() -> None:
    ends = [DAY.not_found(MISSING, misses=misses) for misses in range(3)]
    assert [type(end) for end in ends] == [Deferred, Deferred, Dead]
    assert ends[2] == Dead("subject_not_found", "incident inc-1: 404, 3 times", cause=MISSING.cause)


def test_what_held_it_up_goes_with_every_end() -> None:
    ends = [
        DAY.unavailable(AWAY, attempt=1, age=10, expires_in=None, dice=0.5),
        DAY.unavailable(AWAY, attempt=900, age=86_400, expires_in=None, dice=0.5),
        DAY.not_found(MISSING, misses=0),
        DAY.not_found(MISSING, misses=2),
    ]
    assert [str(it.because) for it in ends] == [
        "context_unavailable:organization aaa 503 read",
        "context_unavailable:organization aaa 503 read",
        "subject_not_found:incident incidents 404 read",
        "subject_not_found:incident incidents 404 read",
    ]
