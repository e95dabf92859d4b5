"""Whatever the headers of a message say, it is a delivery, and what is ours comes back as it was parked."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.adapters.rabbitmq import headers
from notification_sender.adapters.rabbitmq.headers import (
    MAX_DETAIL_BYTES,
    MAX_DUE_MS,
    MAX_WAIT_STEPS,
    envelope,
    letter_headers,
    parked_headers,
)
from notification_sender.ports.broker import COUNTED, DeadLetter, Lane, MessageState, Parked, Wait

NOW = 1_772_785_560.0
NAMES = ["x-attempt", "x-misses", "x-first-seen", "x-due", "x-replayed", "x-bugs", "x-paused", "x-reason", "x-death"]
NAMES += ["x-waits-for", "x-waits-since", "timestamp_in_ms"]
STEPS = st.sampled_from(["throttle_wait", "retry_wait", "queue_wait", "deferred.host_out"])
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
def test_any_headers_are_read(said: dict[str, Any] | None) -> None:
    read = envelope(Lane.UNITS, b"", said, None, NOW)
    state = read.state
    assert 1 <= state.attempt <= state.next_attempt.attempt <= COUNTED
    assert all(0 <= it <= COUNTED for it in (state.misses, state.bugs, state.replays))
    assert 0 <= read.due <= MAX_DUE_MS
    assert 0 < state.first_seen <= NOW
    assert 0 <= read.waited < NOW


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
            paused=st.integers(0, 10**9).map(float),
        ),
        wait=st.none() | st.builds(Wait, step=STEPS, since=st.floats(1, NOW)),
    )
)
def test_what_was_parked_comes_back_as_it_was_and_is_not_due_early(parked: Parked) -> None:
    read = envelope(Lane.UNITS, b"", parked_headers(parked, NOW), None, NOW)
    assert replace(read.state, first_seen=parked.state.first_seen) == parked.state
    assert abs(parked.state.first_seen - read.state.first_seen) < 0.0011
    assert 0 <= read.due - (NOW + parked.delay) < 0.0011
    assert (read.wait and read.wait.step) == (parked.wait and parked.wait.step)
    assert read.wait is None or parked.wait is None or abs(read.wait.since - parked.wait.since) < 0.000_002


@pytest.mark.parametrize(
    ("said", "published", "waited"),
    [
        (None, NOW - 2, 2.0),
        ({"x": 1}, NOW - 2, 2.0),
        ({"timestamp_in_ms": int(NOW * 1000) - 250}, NOW - 2, 0.25),
        ({"x-first-seen": NOW - 5, "timestamp_in_ms": int(NOW * 1000) - 250}, NOW - 2, 5.0),
        ({"x-first-seen": NOW - 5, "x-due": int(NOW * 1000) - 3000}, NOW - 9, 3.0),
        ({"x-reason": "exhausted", "timestamp_in_ms": int(NOW * 1000) - 250}, NOW - 9, 0.0),
        ({}, NOW + 2, 0.0),
    ],
    ids=["property", "beside headers", "in ms", "first seen", "parked by an older version", "replay", "future"],
)
def test_a_message_has_waited_since_it_was_first_seen_or_published_or_due(
    said: dict[str, Any] | None, published: float, waited: float
) -> None:
    assert envelope(Lane.UNITS, b"", said, None, NOW, published=published).waited == pytest.approx(waited)


def test_headers_of_anybody_make_only_so_many_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headers, "_wait_steps", set())
    names = [f"deferred.{letter * number}" for letter in "xyz" for number in range(1, 41)] + ["throttle_wait", "a_wait"]
    read = [envelope(Lane.UNITS, b"", {"x-waits-for": it, "x-waits-since": 1}, None, NOW).wait for it in names]
    assert len({it.step for it in read if it}) == MAX_WAIT_STEPS + 2
    assert read[-3:] == [Wait("deferred.other", 1e-6), Wait("throttle_wait", 1e-6), None]


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


SINCE = {"x-waits-for": "deferred.paused", "x-waits-since": round((NOW - 600) * 1_000_000)}


@pytest.mark.parametrize(
    ("headers", "paused"),
    [
        (SINCE, 600.0),  # resumed
        (SINCE | {"x-due": round((NOW - 100) * 1000)}, 500.0),
        (SINCE | {"x-due": round((NOW + 100) * 1000), "x-paused": 7_000}, 607.0),
        (SINCE | {"x-waits-for": "deferred.host_out", "x-paused": 7_000}, 7.0),
    ],
)
def test_the_time_of_a_pause_is_carried_and_does_not_age(headers: dict[str, Any], paused: float) -> None:
    seen = {"x-first-seen": datetime.fromtimestamp(NOW - 1000, UTC)}
    state = envelope(Lane.UNITS, b"", headers | seen, None, NOW).state
    assert (state.paused, state.age(NOW)) == (pytest.approx(paused), pytest.approx(1000 - paused))
