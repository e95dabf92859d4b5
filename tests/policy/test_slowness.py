"""What is slow is told from what is slow now and then."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.slowness import BETTER, LAST, LASTS_SECONDS, Slowness

seconds = st.floats(0, 60)
NOW = 1000.0


def after(*calls: float, objective: float = 1.0) -> Slowness:
    slowness = Slowness(objective)
    for it in calls:
        slowness.add(it, NOW)
    return slowness


@given(before=st.lists(seconds), slow=st.floats(1.01, 60))
def test_it_is_slow_once_its_last_calls_are_whatever_was_before(before: list[float], slow: float) -> None:
    assert after(*before, *[slow] * LAST).slow


@given(before=st.lists(seconds), quick=st.floats(0, BETTER))
def test_it_is_well_once_its_last_calls_are_whatever_was_before(before: list[float], quick: float) -> None:
    assert not after(*before, *[quick] * LAST).slow


@given(calls=st.lists(seconds, max_size=LAST - 1))
def test_a_few_calls_say_nothing(calls: list[float]) -> None:
    assert not after(*calls).slow


@given(quick=st.lists(st.floats(0, 1), min_size=LAST // 2 + 1, max_size=LAST), slow=st.lists(st.floats(1, 60)))
def test_a_few_slow_ones_among_many_do_not_make_it_slow(quick: list[float], slow: list[float]) -> None:
    assert not after(*slow[: LAST - len(quick)], *quick).slow


@given(st.lists(st.floats(BETTER + 0.001, 1.0), max_size=200))
def test_just_about_the_objective_it_does_not_change_to_and_fro(calls: list[float]) -> None:
    for start in ([5.0] * LAST, [0.1] * LAST):
        slowness = after(*start)
        states = [slowness.slow]
        for it in calls:
            slowness.add(it, NOW)
            states.append(slowness.slow)
        assert sum(one != other for one, other in pairwise(states)) == 0


def test_what_was_before_an_outage_is_forgotten() -> None:
    slowness = after(*[5.0] * LAST)
    slowness.forget()
    assert (slowness.slow, slowness.typical) == (False, 0.0)


def test_an_api_that_is_not_called_any_more_is_not_slow() -> None:
    slowness = after(*[5.0] * LAST)
    slowness.lapse(NOW + LASTS_SECONDS)
    assert slowness.slow
    slowness.lapse(NOW + LASTS_SECONDS + 1)
    assert not slowness.slow
