from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.adaptive_limit import MOST, START, AimdLimit
from notification_sender.policy.retry import RetryBudget


def test_of_all_calls_that_were_too_much_together_one_counts() -> None:
    window = AimdLimit()
    for _ in range(20):
        window.on_overload(begun=0.0, now=1.0)
    assert window.limit == int(0.7 * START)
    window.on_overload(begun=1.0, now=2.0)
    assert window.limit == int(0.49 * START)


def test_it_doubles_until_it_was_too_much_and_then_grows_by_one_for_each_window_of_good_calls() -> None:
    window = AimdLimit()
    for _ in range(int(START)):
        window.on_success(in_flight=50)
    assert window.limit == 2 * START
    window.on_overload(begun=0.0, now=1.0)
    limit = window.limit
    for _ in range(limit + 1):
        window.on_success(in_flight=limit)
    assert window.limit == limit + 1


def test_only_a_window_that_was_used_grows() -> None:
    window = AimdLimit()
    for _ in range(1000):
        window.on_success(in_flight=1)
    assert window.limit == START


@given(st.lists(st.booleans(), max_size=300))
def test_it_never_closes_and_never_grows_without_end(ends: list[bool]) -> None:
    window = AimdLimit()
    for now, well in enumerate(ends):
        if well:
            window.on_success(in_flight=200)
        else:
            window.on_overload(begun=float(now), now=now + 0.5)
        assert 1 <= window.limit <= MOST


@given(st.lists(st.booleans(), max_size=500))
def test_retries_are_at_most_a_fifth_of_the_calls_and_two(steps: list[bool]) -> None:
    budget, calls, retries = RetryBudget(), 0, 0
    for retry in steps:
        if retry:
            retries += budget.spend()
        else:
            calls += 1
            budget.called()
        assert retries <= 0.2 * calls + 2 + 1e-9
