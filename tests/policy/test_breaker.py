from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.breaker import FAILURES, LAST, LONGEST, LONGEST_WISH, SHARE, Breaker


def broken(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(FAILURES):
        breaker.ended(well=False, now=at, dice=0.5)
    return breaker


def test_it_opens_at_the_fifth_failure_and_is_due_a_second_later() -> None:
    breaker = Breaker()
    opened = [breaker.ended(well=False, now=0.0, dice=0.5) for _ in range(FAILURES)]
    assert opened == [None] * (FAILURES - 1) + [1.0]
    assert [breaker.state(now) for now in (0.0, 0.9, 1.0)] == ["open", "open", "due"]


def test_a_few_failures_among_many_good_answers_do_not_open_it() -> None:
    breaker = Breaker()
    for _ in range(100):
        assert breaker.ended(well=True, now=0.0, dice=0.5) is None
        assert breaker.ended(well=False, now=0.0, dice=0.5) is None or breaker.state(0.0) == "closed"
    assert breaker.state(0.0) == "closed"


def test_good_answers_of_a_busy_moment_before_do_not_keep_it_closed() -> None:
    breaker = Breaker()
    for _ in range(10_000):
        breaker.ended(well=True, now=0.0, dice=0.5)
    opened = [breaker.ended(well=False, now=0.1, dice=0.5) for _ in range(LAST)]
    assert [it for it in opened if it]
    assert opened.index(1.0) <= LAST * SHARE


def test_failures_of_long_ago_do_not_count() -> None:
    breaker = Breaker()
    for number in range(50):
        assert breaker.ended(well=False, now=3.0 * number, dice=0.5) is None


def test_each_pause_in_a_row_is_twice_as_long_up_to_ten_seconds_and_a_good_probe_ends_that() -> None:
    breaker = broken()
    pauses = [breaker.pause(now=0.0, dice=0.5) for _ in range(6)]
    assert pauses == [2.0, 4.0, 8.0, LONGEST, LONGEST, LONGEST]
    breaker.close()
    assert breaker.state(0.0) == "closed"
    assert breaker.pause(now=0.0, dice=0.5) == 1.0


@given(wish=st.floats(allow_nan=False), dice=st.floats(0, 1, exclude_max=True))
def test_whatever_an_api_wishes_it_is_asked_again_within_minutes(wish: float, dice: float) -> None:
    breaker = broken()
    breaker.hold(wish, now=0.0)
    assert breaker.left(0.0) <= LONGEST_WISH
    assert breaker.state(0.5) == "open"
    assert 0.8 * LONGEST <= [breaker.pause(now=0.0, dice=dice) for _ in range(9)][-1] <= 1.2 * LONGEST


def test_what_ends_while_it_is_open_changes_nothing() -> None:
    breaker = broken()
    assert breaker.ended(well=False, now=0.1, dice=0.5) is None
    assert breaker.left(0.0) == 1.0
