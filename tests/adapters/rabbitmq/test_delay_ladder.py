"""A message waits exactly the rungs whose bits its delay has."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.adapters.rabbitmq.delay_ladder import MAX_DELAY, RUNGS, binding, routing_key, whole_seconds


def matches(pattern: str, key: str) -> bool:
    """AMQP topic matching, for patterns of ``*`` and words with one ``#`` at the end."""
    wanted, words = pattern.removesuffix(".#").split("."), key.split(".")
    return len(words) >= len(wanted) and all(want in ("*", word) for want, word in zip(wanted, words, strict=False))


@given(st.integers(0, MAX_DELAY))
def test_the_rungs_a_message_waits_in_add_up_to_its_delay(seconds: int) -> None:
    key = routing_key(seconds, "units")
    waited = 0
    for rung in range(RUNGS):
        waits, passes = matches(binding(rung, waits=True), key), matches(binding(rung, waits=False), key)
        assert waits != passes
        waited += 2**rung if waits else 0
    assert waited == seconds


@given(st.floats(-10, 1e9))
def test_the_ladder_never_waits_longer_than_asked(delay: float) -> None:
    assert 0 <= whole_seconds(delay) <= max(0.0, delay)


def test_a_delay_beyond_the_ladder_is_cut_and_refused_as_a_key() -> None:
    assert whole_seconds(1e9) == MAX_DELAY
    with pytest.raises(ValueError, match="outside the ladder"):
        routing_key(MAX_DELAY + 1, "units")
