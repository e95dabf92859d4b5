"""Whatever the headers of a message say, it is a delivery, and what is ours comes back as it was parked."""

from datetime import timedelta, timezone
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from notification_sender.adapters.messages import LARGEST, LONGEST_DETAIL, envelope, letter_headers, parked_headers
from notification_sender.ports import DeadLetter, Lane, Parked

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
COUNTS = st.integers(0, LARGEST)


@given(st.none() | st.dictionaries(st.sampled_from(NAMES) | st.text(), VALUES))
def test_any_headers_are_read(headers: dict[str, Any] | None) -> None:
    read = envelope(Lane.UNITS, b"", headers, None, NOW)
    assert 1 <= read.attempt <= LARGEST
    assert all(0 <= it <= LARGEST for it in (read.misses, read.bugs, read.due))
    assert 0 <= read.replays <= LARGEST + 1
    assert 0 < read.first_seen <= NOW


@given(
    st.builds(
        Parked,
        lane=st.just(Lane.UNITS),
        body=st.just(b""),
        delay=st.floats(0, 1e9),
        first_seen=st.floats(1, NOW),
        attempt=st.integers(1, LARGEST),
        misses=COUNTS,
        replays=COUNTS,
        bugs=COUNTS,
    )
)
def test_what_was_parked_comes_back_as_it_was_and_is_not_due_early(parked: Parked) -> None:
    read = envelope(Lane.UNITS, b"", parked_headers(parked, NOW), None, NOW)
    assert (read.attempt, read.misses, read.replays, read.bugs) == (
        *(parked.attempt, parked.misses, parked.replays, parked.bugs),
    )
    assert abs(parked.first_seen - read.first_seen) < 0.0011
    assert 0 <= read.due - (NOW + parked.delay) < 0.0011


@given(st.text(max_size=3 * LONGEST_DETAIL))
def test_any_detail_is_one_line_that_a_header_may_hold(detail: str) -> None:
    said = letter_headers(DeadLetter(b"", "malformed", detail, "unit", NOW))["x-detail"]
    assert len(said.encode()) <= LONGEST_DETAIL
    assert said.isprintable()
