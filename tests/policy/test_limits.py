"""Nobody is sent more than they are owed, and whoever waits waits no longer than that takes."""

import heapq
import re
from itertools import count, cycle

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notification_sender.policy.limits import LATE, SECOND, Arrivals, Booking, Limit, Spent, Wait, spend, standing

HORIZON = 3600 * SECOND
ASKS = 2000
"""So often is asked in all at most: those who always miss their slots take very long."""

limit = st.builds(Limit, st.just("own"), st.integers(1, 20 * SECOND), st.integers(1, 20))
pauses = st.lists(st.integers(0, 30 * SECOND), min_size=1, max_size=40)


def sent(limits: list[Limit], pauses: list[int], lateness: list[int], horizon: int = HORIZON) -> list[int]:
    """When each request passes. All come back when they are told to, and as late as ``lateness`` says, in turn."""
    arrivals: dict[str, Arrivals] = {}
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
        verdict = spend(limits, arrivals, now, booking, horizon)
        arrivals |= verdict.arrivals
        if isinstance(verdict, Spent):
            passed.append(now)
            continue
        heapq.heappush(due, (now + verdict.delay + next(late), next(numbers), verdict.booking))
    return passed


def assert_owed(limit: Limit, moments: list[int]) -> None:
    """A burst, and the rate for as long as the window is and a quarter of a second."""
    for first, begin in enumerate(moments):
        for last in range(first, len(moments)):
            assert last - first + 1 <= limit.burst + (moments[last] - begin + LATE) / limit.interval


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


@given(st.integers(1, 3 * SECOND), st.integers(1, 5), st.integers(SECOND, 300 * SECOND))
def test_a_crowd_that_is_always_late_is_served_at_the_full_rate_all_the_same(
    interval: int, burst: int, lateness: int
) -> None:
    moments = sent([Limit("own", interval, burst)], [0] * 40, [lateness])
    assert len(moments) == 40
    assert moments[-1] <= 40 * interval + lateness


@given(limit, st.integers(1, 40), st.integers(1, 86_400 * SECOND))
def test_when_the_clock_is_set_back_the_booked_are_late_by_no_more_than_a_burst_takes(
    limit: Limit, crowd: int, back: int
) -> None:
    arrivals: dict[str, Arrivals] = {}
    waiting: list[Wait] = []
    start = 100_000 * SECOND
    for _ in range(limit.burst + crowd):
        verdict = spend([limit], arrivals, start, None, 2**62)
        arrivals |= verdict.arrivals
        if isinstance(verdict, Wait):
            waiting.append(verdict)
    late = 0
    for wait in waiting:
        while isinstance(
            verdict := spend([limit], arrivals, start + wait.delay + late - back, wait.booking, 2**62), Wait
        ):
            arrivals |= verdict.arrivals
            late += verdict.delay
            assert late <= (limit.burst + 1) * limit.interval + LATE
        arrivals |= verdict.arrivals


def test_a_wait_books_on_the_slowest_limit_alone() -> None:
    quick, slow = Limit("quick", SECOND, 1), Limit("slow", 10 * SECOND, 1)
    arrivals = {"quick": Arrivals(SECOND, SECOND), "slow": Arrivals(10 * SECOND, 10 * SECOND)}
    booking = Booking("slow", 10 * SECOND)
    after = Arrivals(20 * SECOND, 10 * SECOND)
    assert spend([quick, slow], arrivals, 0, None, HORIZON) == Wait(10 * SECOND, "slow", booking, {"slow": after})
    assert spend([quick, slow], {"slow": after}, 10 * SECOND, booking, HORIZON) == Spent(
        {"quick": Arrivals(11 * SECOND, 11 * SECOND), "slow": Arrivals(20 * SECOND, 20 * SECOND)}
    )


def test_a_booking_on_a_limit_that_holds_no_more_is_none() -> None:
    own = Limit("own", 10 * SECOND, 1)
    assert isinstance(spend([own], {}, 0, Booking("another", 60 * SECOND), HORIZON), Spent)


def test_beyond_the_horizon_nothing_is_booked() -> None:
    slow = Limit("slow", 10 * SECOND, 1)
    far = {"slow": Arrivals(2 * HORIZON, SECOND)}
    assert spend([slow], far, 0, None, HORIZON) == Wait(HORIZON, "slow", None, {})


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


ODD_RATES = ["1/second burst 00", "1/second burst 1000001", "0.000000000001/day", f"{'9' * 400}/second"]


@pytest.mark.parametrize(
    "text", ["", "600", "0/minute", "0.0/second", "1/week", "-1/minute", "1/minute burst 0", *ODD_RATES]
)
def test_what_is_no_rate_is_refused_in_its_own_words(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        Limit.parse("webhook", text)


PIECES = [
    "1",
    "9" * 400,
    "0",
    "00",
    f"0.{'0' * 330}1",
    "0.000001",
    "/",
    "second",
    "day",
    " burst ",
    "600",
    "-",
    "\u0663",
]
FORMS = st.tuples(*[st.sampled_from(PIECES)] * 2).map(lambda it: f"{it[0]}/day burst {it[1]}")


@given(st.text() | st.lists(st.sampled_from(PIECES), max_size=6).map("".join) | FORMS)
def test_any_text_is_a_rate_that_can_be_kept_or_is_refused(text: str) -> None:
    try:
        limit = Limit.parse("webhook", text)
    except ValueError:
        return
    assert limit is None or (limit.interval >= 1 <= limit.burst <= 1_000_000)
    assert limit is None or isinstance(spend([limit], {}, 0, None, HORIZON), Spent)


@given(limit, st.lists(st.integers(0, 20 * SECOND), max_size=12))
def test_what_is_shown_of_a_limit_is_what_it_lets_pass(limit: Limit, pauses: list[int]) -> None:
    known: dict[str, Arrivals] = {}
    now = 1000 * SECOND
    for pause in pauses:
        now += pause
        known |= spend([limit], known, now, None, 2**62).arrivals
    shown = standing(limit, known.get(limit.name, Arrivals(0, 0)), now)
    passing = 0
    while isinstance(verdict := spend([limit], known, now, None, 2**62), Spent):
        known, passing = known | verdict.arrivals, passing + 1
    assert shown.tokens == passing
    assert (shown.delay == 0) == (passing > 0)
    if not passing:
        assert verdict.delay == shown.delay
        assert standing(limit, verdict.arrivals[limit.name], now).booked >= 1


@pytest.mark.parametrize(
    "text", ["600/minute burst 60", "1/hour burst 1", "2/second burst 5", "1/day burst 3", "0.5/day burst 1"]
)
def test_a_rate_is_written_as_it_is_read(text: str) -> None:
    written = Limit.parse("own", text)
    assert written is not None
    assert Limit.parse("own", written.text) == written
    assert Limit.parse("own", "600/minute burst 60") == Limit("own", 100_000, 60)
