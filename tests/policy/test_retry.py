"""Delays stay within their bounds, whatever the dice say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.retry import BACKOFF_CAP, MAX_RETRY_AFTER, Patience, Schedule, backoff, duration

SCHEDULE = Schedule.parse("5s 5m 30m 2h 5h 10h 14h 20h 24h")
dice = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 9), dice)
def test_a_delay_is_its_rung_give_or_take_a_tenth(attempt: int, throw: float) -> None:
    rung = SCHEDULE.delays[attempt - 1]
    delay = SCHEDULE.after(attempt, throw)
    assert delay is not None
    assert 0.9 * rung <= delay <= 1.1 * rung


@given(st.integers(10, 10_000), dice, st.none() | st.floats(0, 1e9))
def test_after_the_last_rung_there_is_no_further_attempt(attempt: int, throw: float, wish: float | None) -> None:
    assert SCHEDULE.after(attempt, throw, wish) is None


@given(st.integers(1, 9), dice, st.floats(0, 1e12))
def test_a_recipients_wish_lengthens_up_to_a_day_and_never_shortens(attempt: int, throw: float, wish: float) -> None:
    plain, wished = SCHEDULE.after(attempt, throw), SCHEDULE.after(attempt, throw, wish)
    assert plain is not None
    assert wished is not None
    assert wished == max(plain, min(wish, MAX_RETRY_AFTER))


@given(st.integers(1, 10_000), dice)
def test_backoff_is_below_a_cap_that_doubles_to_a_minute(attempt: int, throw: float) -> None:
    assert 0 <= backoff(attempt, throw) <= min(BACKOFF_CAP, 2 ** min(attempt - 1, 100))


def test_the_dice_spread_over_the_whole_range() -> None:
    assert backoff(20, 0.0) == 0
    assert backoff(20, 0.999) > 59
    assert SCHEDULE.after(1, 0.0) == 4.5
    assert SCHEDULE.after(1, 0.5) == 5.0


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("5s", 5), ("1.5h", 5400), ("7d", 604800), (" 30m ", 1800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 s", "5w", "1e3s", "5s5m"])
def test_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"as in 5s"):
        duration(text)


def test_an_empty_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one delay"):
        Schedule.parse("  ")


@given(st.integers(1, 20), st.floats(0, 1e7), dice, st.none() | st.floats(0, 1e6))
def test_no_attempt_comes_after_the_age_limit_and_none_before_it_is_kept_from_its_rung(
    attempt: int, age: float, throw: float, wish: float | None
) -> None:
    patience = Patience({"webhook": SCHEDULE}, max_age=604_800.0)
    delay = patience.after("webhook", attempt, age=age, dice=throw, retry_after=wish)
    alone = SCHEDULE.after(attempt, throw, wish)
    assert delay == (None if alone is None or age + alone > 604_800.0 else alone)
    assert not patience.over(age + (delay or 0.0)) or delay is None


def test_each_channel_has_a_schedule_of_its_own() -> None:
    patience = Patience({"webhook": Schedule((5.0,)), "email": Schedule((60.0, 60.0))}, max_age=604_800.0)
    after = [patience.after(it, attempt, age=0.0, dice=0.5) for it in ("webhook", "email") for attempt in (1, 2)]
    assert after == [5.0, None, 60.0, 60.0]
