"""Nobody is sent more than they are owed, and whoever waits waits no longer than that takes."""

import heapq
import re
from itertools import count, cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notification_sender.policy.limits import LATE, SECOND, Booking, Limit, Spent, Wait, spend

HORIZON = 3600 * SECOND
ASKS = 2000
"""So often is asked in all at most: those who always miss their slots take very long."""

limit = st.builds(Limit, st.just("own"), st.integers(1, 20 * SECOND), st.integers(1, 20))
pauses = st.lists(st.integers(0, 30 * SECOND), min_size=1, max_size=40)


def sent(limits: list[Limit], pauses: list[int], lateness: list[int], horizon: int = HORIZON) -> list[int]:
    """When each request passes. All come back when they are told to, and as late as ``lateness`` says, in turn."""
    tats: dict[str, int] = {}
    late = cycle(lateness)
    numbers = count()
    due: list[tuple[int, int, Booking | None]] = []
    now = 0
    for pause in pauses:
        now += pause
        due.append((now, next(numbers), None))
    passed = []
    for _ in range(ASKS):
        if not due:
            break
        now, _, booking = heapq.heappop(due)
        verdict = spend(limits, tats, now, booking, horizon)
        if isinstance(verdict, Spent):
            tats |= verdict.tats
            passed.append(now)
            continue
        if verdict.tat is not None:
            tats[verdict.limit] = verdict.tat
        heapq.heappush(due, (verdict.until + next(late), next(numbers), verdict.booking))
    return passed


def assert_owed(limit: Limit, moments: list[int]) -> None:
    """A burst and the rate, and what comes late beside what comes in time: a quarter of a second of it, or one."""
    for first, begin in enumerate(moments):
        for last in range(first, len(moments)):
            window = moments[last] - begin + max(LATE, limit.interval)
            assert last - first + 1 <= limit.burst + window / limit.interval


@settings(deadline=None)
@given(limit, pauses, st.lists(st.integers(0, 60 * SECOND), min_size=1, max_size=10))
def test_however_late_the_booked_return_no_window_holds_more_than_it_may(
    limit: Limit, pauses: list[int], lateness: list[int]
) -> None:
    assert_owed(limit, sent([limit], pauses, lateness))


@settings(deadline=None)
@given(
    limit,
    limit,
    pauses,
    st.lists(st.integers(0, 60 * SECOND), min_size=1, max_size=10),
    st.integers(10 * SECOND, HORIZON),
)
def test_of_two_limits_both_hold(
    own: Limit, organizations: Limit, pauses: list[int], lateness: list[int], horizon: int
) -> None:
    both = [own, Limit("organization", organizations.interval, organizations.burst)]
    passed = sent(both, pauses, lateness, horizon)
    for each in both:
        assert_owed(each, passed)


@settings(deadline=None)
@given(limit, pauses, st.integers(10 * SECOND, HORIZON))
def test_if_all_return_in_time_no_window_holds_more_than_a_burst_and_the_rate(
    limit: Limit, pauses: list[int], horizon: int
) -> None:
    moments = sent([limit], pauses, [0], horizon)
    for first, begin in enumerate(moments):
        for last in range(first, len(moments)):
            assert last - first + 1 <= limit.burst + (moments[last] - begin) // limit.interval


@given(limit, st.integers(1, 60))
def test_a_crowd_that_comes_back_in_time_is_served_at_the_full_rate(limit: Limit, crowd: int) -> None:
    passed = sent([limit], [0] * crowd, [0])
    assert passed == [max(0, place - limit.burst + 1) * limit.interval for place in range(crowd)]


def test_a_wait_books_on_the_slowest_limit_alone() -> None:
    quick, slow = Limit("quick", SECOND, 1), Limit("slow", 10 * SECOND, 1)
    tats = {"quick": SECOND, "slow": 10 * SECOND}
    booking = Booking("slow", 10 * SECOND)
    assert spend([quick, slow], tats, 0, None, HORIZON) == Wait(10 * SECOND, "slow", booking, 20 * SECOND)
    assert spend([quick, slow], {"slow": 20 * SECOND}, 10 * SECOND, booking, HORIZON) == Spent({"quick": 11 * SECOND})


def test_beyond_the_horizon_nothing_is_booked() -> None:
    slow = Limit("slow", 10 * SECOND, 1)
    assert spend([slow], {"slow": 2 * HORIZON}, 0, None, HORIZON) == Wait(HORIZON, "slow", None, None)


@pytest.mark.parametrize(
    ("text", "interval", "burst"),
    [
        ("600/minute burst 60", SECOND // 10, 60),
        (" 1 / second ", SECOND, 1),
        ("0.5/second burst 2", 2 * SECOND, 2),
        ("7/hour", 514_285_715, 1),
        ("1/day", 86_400 * SECOND, 1),
    ],
)
def test_a_rate_is_read_and_never_rounded_up(text: str, interval: int, burst: int) -> None:
    assert Limit.parse("webhook", text) == Limit("webhook", interval, burst)


def test_off_is_no_limit() -> None:
    assert Limit.parse("webhook", "off") is None


@pytest.mark.parametrize("text", ["", "600", "0/minute", "0.0/second", "1/week", "-1/minute", "1/minute burst 0"])
def test_what_is_no_rate_is_refused_in_its_own_words(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        Limit.parse("webhook", text)
