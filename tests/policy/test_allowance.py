from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.allowance import LEAST, LOOKS, START, TURN, Allowance

MOST = 200
SHORT, LONG = 0.001, 3 * TURN


def turn(allowance: Allowance, cpu: float, *, times: int = 1, share: float = 1.0, used: int | None = None) -> None:
    for _ in range(times):
        allowance.record_turn(cpu / share, cpu, used=allowance.limit if used is None else used)


def test_it_begins_with_few_and_doubles_while_turns_are_short() -> None:
    allowance = Allowance(MOST)
    assert allowance.limit == START
    turn(allowance, SHORT, times=40)
    assert allowance.limit == MOST


def test_long_turns_cut_it_and_short_ones_give_it_back() -> None:
    allowance = Allowance(MOST)
    turn(allowance, SHORT, times=40)
    turn(allowance, LONG, times=2)
    assert allowance.limit == 140
    turn(allowance, SHORT, times=100)
    assert allowance.limit == MOST


def test_shares_are_parts_of_the_most_until_it_was_too_much_once() -> None:
    allowance = Allowance(200)
    assert (allowance.limit, allowance.shared) == (START, 200)
    for _ in range(2):
        allowance.record_turn(1.0, 1.0, used=allowance.limit)
    assert allowance.shared == allowance.limit < START


def test_one_long_turn_of_a_hundred_cuts_nothing() -> None:
    allowance = Allowance(MOST)
    for _ in range(20):
        turn(allowance, LONG)
        turn(allowance, SHORT, times=LOOKS)
    assert allowance.limit == MOST


def test_a_machine_that_stops_us_in_short_turns_cuts_nothing() -> None:
    allowance = Allowance(MOST)
    turn(allowance, TURN / 5, times=1000, share=0.05)
    assert allowance.limit == MOST


def test_only_the_last_hundred_turns_count() -> None:
    new, old = Allowance(MOST), Allowance(MOST)
    turn(old, TURN / 5, times=3 * LOOKS, share=0.05, used=0)
    for allowance in (new, old):
        turn(allowance, SHORT, times=LOOKS, used=0)
        turn(allowance, 0.9 * TURN, times=3)
    assert old.limit == new.limit == START


def test_an_allowance_that_is_not_used_says_nothing() -> None:
    allowance = Allowance(MOST)
    turn(allowance, SHORT, times=1000, used=0)
    turn(allowance, LONG, times=1000, used=0)
    assert (allowance.limit, allowance.taken) == (START, 2 * MOST)


def test_what_is_taken_follows_coarsely_once_it_was_too_much() -> None:
    allowance = Allowance(MOST)
    turn(allowance, SHORT, times=1000)
    changes = {allowance.taken}
    turn(allowance, LONG, times=100)
    changes.add(allowance.taken)
    assert allowance.limit == LEAST
    assert allowance.taken < 8 * LEAST
    before = allowance.taken
    turn(allowance, SHORT, times=1000)
    assert (allowance.limit, allowance.taken) == (MOST, 2 * MOST)
    assert before in changes


@given(
    st.integers(1, 2000),
    st.lists(st.tuples(st.floats(0, 1), st.floats(0.01, 1), st.integers(0, 2000)), max_size=400),
)
def test_it_stays_within_its_bounds_and_what_is_taken_keeps_it_busy(
    most: int, turns: list[tuple[float, float, int]]
) -> None:
    allowance = Allowance(most)
    for cpu, share, used in turns:
        allowance.record_turn(cpu / share, cpu, used=used)
        assert min(LEAST, most) <= allowance.limit <= most
        assert min(2 * allowance.limit, 2 * most) <= allowance.taken <= 2 * most


@given(st.floats(0.0005, 0.01))
def test_it_settles_where_turns_are_as_long_as_they_may_be(each: float) -> None:
    """A turn that is longer the more is in hand: within a few steps of the bound for as long as it lasts."""
    allowance = Allowance(MOST)
    for _ in range(3000):
        turn(allowance, each * allowance.limit / 10)
    bound = min(MOST, 10 * TURN / each)
    assert 0.5 * bound - 1 <= max(allowance.limit, LEAST) <= max(1.1 * bound + 8, LEAST)
