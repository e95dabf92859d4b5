"""Whatever the headers of a message say, it is a delivery, and what is ours comes back as it was parked."""

from dataclasses import replace
from datetime import timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from notification_sender.adapters.rabbitmq.headers import (
    MAX_DETAIL_BYTES,
    MAX_DUE_MS,
    envelope,
    letter_headers,
    parked_headers,
)
from notification_sender.ports.broker import COUNTED, DeadLetter, Lane, MessageState, Parked

NOW = 1_772_785_560.0
NAMES = ["x-attempt", "x-misses", "x-first-seen", "x-due", "x-replayed", "x-bugs", "x-reason", "x-death"]
MOMENTS = st.datetimes(timezones=st.none() | st.integers(-1439, 1439).map(lambda it: timezone(timedelta(minutes=it))))
VALUES: st.SearchStrategy[Any] = st.recursive(
    st.one_of(
        *(st.none(), st.booleans(), st.integers(-(2**64), 2**64), st.floats(), st.decimals(), st.binary(), st.text()),
        *(MOMENTS, MOMENTS.map(str), st.integers().map(str)),
    ),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
COUNTS = st.integers(0, COUNTED)


@given(st.none() | st.dictionaries(st.sampled_from(NAMES) | st.text(), VALUES))
def test_any_headers_are_read(headers: dict[str, Any] | None) -> None:
    read = envelope(Lane.UNITS, b"", headers, None, NOW)
    state = read.state
    assert 1 <= state.attempt <= state.next_attempt.attempt <= COUNTED
    assert all(0 <= it <= COUNTED for it in (state.misses, state.bugs, state.replays))
    assert 0 <= read.due <= MAX_DUE_MS
    assert 0 < state.first_seen <= NOW


@given(
    st.builds(
        Parked,
        lane=st.just(Lane.UNITS),
        body=st.just(b""),
        delay=st.floats(0, 1e9),
        state=st.builds(
            MessageState,
            first_seen=st.floats(1, NOW),
            attempt=st.integers(1, COUNTED),
            misses=COUNTS,
            replays=COUNTS,
            bugs=COUNTS,
        ),
    )
)
def test_what_was_parked_comes_back_as_it_was_and_is_not_due_early(parked: Parked) -> None:
    read = envelope(Lane.UNITS, b"", parked_headers(parked, NOW), None, NOW)
    assert replace(read.state, first_seen=parked.state.first_seen) == parked.state
    assert abs(parked.state.first_seen - read.state.first_seen) < 0.0011
    assert 0 <= read.due - (NOW + parked.delay) < 0.0011


@given(st.integers(1, 2**64) | st.integers(COUNTED - 2, COUNTED + 2) | st.integers(2**52 - 2, 2**53 + 2), st.booleans())
def test_the_copy_of_what_anybody_has_counted_comes_back_with_the_number_it_was_given(
    number: int,
    as_text: bool,  # noqa: FBT001 - drawn
) -> None:
    said = str(number) if as_text else number
    replayed = envelope(Lane.UNITS, b"", {"x-attempt": said, "x-replayed": said, "x-reason": "expired"}, None, NOW)
    counted = envelope(Lane.UNITS, b"", {"x-attempt": said}, None, NOW)
    state = replace(replayed.state, attempt=counted.state.next_attempt.attempt)
    back = envelope(Lane.UNITS, b"", parked_headers(Parked(Lane.UNITS, b"", 1.0, state), NOW), None, NOW)
    assert (back.state.attempt, back.state.replays) == (state.attempt, state.replays)


@given(st.text(max_size=3 * MAX_DETAIL_BYTES))
def test_any_detail_is_one_line_that_a_header_may_hold(detail: str) -> None:
    said = letter_headers(DeadLetter(b"", "malformed", detail, "unit", MessageState(NOW)))["x-detail"]
    assert len(said.encode()) <= MAX_DETAIL_BYTES
    assert said.isprintable()
