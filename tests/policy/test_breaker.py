from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.breaker import API, HOST, LONGEST_WISH, Breaker


def broken(at: float = 0.0) -> Breaker:
    breaker = Breaker()
    for _ in range(API.failures):
        breaker.record_result(well=False, now=at, dice=0.5)
    return breaker


def test_it_opens_at_the_fifth_failure_and_is_due_a_second_later() -> None:
    breaker = Breaker()
    opened = [breaker.record_result(well=False, now=0.0, dice=0.5) for _ in range(API.failures)]
    assert opened == [None] * (API.failures - 1) + [1.0]
    assert [breaker.state(now) for now in (0.0, 0.9, 1.0)] == ["open", "open", "due"]


def test_a_few_failures_among_many_good_answers_do_not_open_it() -> None:
    breaker = Breaker()
    for _ in range(100):
        assert breaker.record_result(well=True, now=0.0, dice=0.5) is None
        assert breaker.record_result(well=False, now=0.0, dice=0.5) is None or breaker.state(0.0) == "closed"
    assert breaker.state(0.0) == "closed"


def test_good_answers_of_a_busy_moment_before_do_not_keep_it_closed() -> None:
    breaker = Breaker()
    for _ in range(10_000):
        breaker.record_result(well=True, now=0.0, dice=0.5)
    opened = [breaker.record_result(well=False, now=0.1, dice=0.5) for _ in range(API.last)]
    assert [it for it in opened if it]
    assert opened.index(1.0) <= API.last * API.share


def test_failures_of_long_ago_do_not_count() -> None:
    breaker = Breaker()
    for number in range(50):
        assert breaker.record_result(well=False, now=3.0 * number, dice=0.5) is None


def test_each_pause_in_a_row_is_twice_as_long_up_to_ten_seconds_and_a_good_probe_ends_that() -> None:
    breaker = broken()
    pauses = [breaker.pause(now=0.0, dice=0.5) for _ in range(6)]
    assert pauses == [2.0, 4.0, 8.0, API.longest, API.longest, API.longest]
    breaker.close()
    assert breaker.state(0.0) == "closed"
    assert breaker.pause(now=0.0, dice=0.5) == 1.0


@given(wish=st.floats(allow_nan=False), dice=st.floats(0, 1, exclude_max=True))
def test_whatever_an_api_wishes_it_is_asked_again_within_minutes(wish: float, dice: float) -> None:
    breaker = broken()
    breaker.hold_open(wish, now=0.0)
    assert breaker.left(0.0) <= LONGEST_WISH
    assert breaker.state(0.5) == "open"
    assert 0.8 * API.longest <= [breaker.pause(now=0.0, dice=dice) for _ in range(9)][-1] <= 1.2 * API.longest


def test_what_ends_while_it_is_open_changes_nothing() -> None:
    breaker = broken()
    assert breaker.record_result(well=False, now=0.1, dice=0.5) is None
    assert breaker.left(0.0) == 1.0


def test_a_host_is_out_only_once_nearly_everything_fails() -> None:
    breaker, now = Breaker(HOST), 0.0
    for _ in range(50):
        for well in (False, False, False, True):
            now += 0.1
            assert breaker.record_result(well=well, now=now, dice=0.5) is None
    opened = [breaker.record_result(well=False, now=now, dice=0.5) for _ in range(HOST.failures)]
    assert [it for it in opened if it] == [1.0]


def test_pauses_of_several_processes_are_one_row() -> None:
    ours, theirs = Breaker(HOST), Breaker(HOST)
    pauses = [ours.pause(now=0.0, dice=0.5)]
    for _, other in [(ours, theirs), (theirs, ours)] * 4:
        other.adopt_pause(pauses[-1], now=0.0)
        pauses.append(other.pause(now=0.0, dice=0.5))
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]


def test_one_that_nothing_speaks_against_need_not_be_kept() -> None:
    breaker = Breaker(HOST)
    breaker.record_result(well=False, now=0.0, dice=0.5)
    assert not breaker.has_no_failures
    breaker.record_result(well=True, now=HOST.window + 1, dice=0.5)
    assert breaker.has_no_failures
    breaker.hold_open(1.0, now=100.0)
    assert not breaker.has_no_failures
    breaker.close()
    assert breaker.has_no_failures
