"""Delays stay within their bounds, whatever the dice say."""

import math
from datetime import UTC, datetime
from email.utils import format_datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.model.durations import LONGEST_DURATION, duration
from notification_sender.policy.retry import (
    BACKOFF_CAP,
    MAX_RETRY_AFTER,
    RetryPolicy,
    Schedule,
    backoff,
    retry_after,
)

SCHEDULE = Schedule.parse("5s 5m 30m 2h 5h 10h 14h 20h 24h")
dice = st.floats(0, 1, exclude_max=True)


@given(st.integers(1, 9), dice)
def test_a_delay_is_its_rung_give_or_take_a_tenth(attempt: int, throw: float) -> None:
    rung = SCHEDULE.delays[attempt - 1]
    delay = SCHEDULE.delay_after(attempt, throw)
    assert delay is not None
    assert 0.9 * rung <= delay <= 1.1 * rung


@given(st.integers(10, 10_000), dice, st.none() | st.floats(0, 1e9))
def test_after_the_last_rung_there_is_no_further_attempt(attempt: int, throw: float, wish: float | None) -> None:
    assert SCHEDULE.delay_after(attempt, throw, wish) is None


@given(st.integers(1, 9), dice, st.floats(0, 1e12))
def test_a_recipients_wish_lengthens_up_to_a_day_and_never_shortens(attempt: int, throw: float, wish: float) -> None:
    plain, wished = SCHEDULE.delay_after(attempt, throw), SCHEDULE.delay_after(attempt, throw, wish)
    assert plain is not None
    assert wished is not None
    assert wished == max(plain, min(wish, MAX_RETRY_AFTER))


@given(st.integers(1, 10_000), dice)
def test_backoff_is_below_a_cap_that_doubles_to_a_minute(attempt: int, throw: float) -> None:
    assert 0 <= backoff(attempt, throw) <= min(BACKOFF_CAP, 2 ** min(attempt - 1, 100))


def test_the_dice_spread_over_the_whole_range() -> None:
    assert backoff(20, 0.0) == 0
    assert backoff(20, 0.999) > 59
    assert SCHEDULE.delay_after(1, 0.0) == 4.5
    assert SCHEDULE.delay_after(1, 0.5) == 5.0


@pytest.mark.parametrize(
    ("text", "seconds"), [("250ms", 0.25), ("5s", 5), ("1.5h", 5400), ("7d", 604800), (" 30m ", 1800)]
)
def test_durations(text: str, seconds: float) -> None:
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "s", "-5s", "5 s", "5w", "1e3s", "5s5m"])
def test_another_form_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ValueError, match=r"as in 5s"):
        duration(text)


PIECES = ["1", "9" * 400, "0", ".", f"0.{'0' * 330}1", "s", "m", "ms", "d", " ", "-", "e9", "\n", "\u0663"]


@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=6).map("".join))
def test_any_text_is_a_duration_that_can_be_waited_or_is_refused(text: str) -> None:
    try:
        seconds = duration(text)
    except ValueError:
        return
    assert 0 <= seconds <= LONGEST_DURATION


DATES = [
    *("Sun,", "Sun", "06", "6", "-1", "99", "Nov", "Jan", "1994", "94", "0", "0001", "9999", "99999", "9" * 5000),
    *("08:49:37", "24:00:00", "08:49", "8.4.3", "GMT", "EST", "Z", "+0000", "-2400", "+9999", "AM"),
    *(",", "-", ":", " ", "\t", "(", "\x00", "\xe9", "\u0663", "06-Nov-94", "1e9", "inf", "nan"),
]
WISHES = (
    st.text()
    | st.lists(st.sampled_from(DATES), max_size=8).map(" ".join)
    | st.lists(st.sampled_from(DATES), max_size=8).map("".join)
    | st.integers().map(str)
)


@given(WISHES, st.floats(0, 4e9))
def test_whatever_a_retry_after_says_it_is_some_seconds_or_nothing(wish: str, now: float) -> None:
    seconds = retry_after(wish, now)
    assert seconds is None or (math.isfinite(seconds) and seconds >= 0)


@given(st.datetimes(datetime(1970, 1, 1), datetime(9999, 12, 31), timezones=st.just(UTC)), st.integers(1, 10**9))  # noqa: DTZ001 - hypothesis adds the zone
def test_a_date_is_read_as_what_is_left_until_then(moment: datetime, early: int) -> None:
    moment = moment.replace(microsecond=0)
    text = format_datetime(moment, usegmt=True)
    assert retry_after(text, moment.timestamp() - early) == early
    assert retry_after(text, moment.timestamp() + early) is None


def test_an_empty_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one delay"):
        Schedule.parse("  ")


@given(st.integers(1, 20), st.floats(0, 1e7), dice, st.none() | st.floats(0, 1e6))
def test_no_attempt_comes_after_the_age_limit_and_none_before_it_is_kept_from_its_rung(
    attempt: int, age: float, throw: float, wish: float | None
) -> None:
    policy = RetryPolicy({"webhook": SCHEDULE}, delivery_max_age=604_800.0, platform_max_age=86_400.0)
    delay = policy.next_delay("webhook", attempt, age=age, dice=throw, retry_after=wish)
    alone = SCHEDULE.delay_after(attempt, throw, wish)
    assert delay == (None if alone is None or age + alone > 604_800.0 else alone)
    assert not policy.is_expired(age + (delay or 0.0)) or delay is None


def test_each_channel_has_a_schedule_of_its_own() -> None:
    policy = RetryPolicy(
        {"webhook": Schedule((5.0,)), "email": Schedule((60.0, 60.0))},
        delivery_max_age=604_800.0,
        platform_max_age=86_400.0,
    )
    after = [policy.next_delay(it, attempt, age=0.0, dice=0.5) for it in ("webhook", "email") for attempt in (1, 2)]
    assert after == [5.0, None, 60.0, 60.0]
