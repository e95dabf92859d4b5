"""A notification survives being parked, and its id is the same wherever it is made."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.model.destination import Destination
from notification_sender.model.errors import Malformed, SchemaViolation, TooLarge
from notification_sender.model.notification import (
    MAX_BYTES,
    MAX_DEPTH,
    MAX_READ,
    MAX_TRIES,
    FailedAttempt,
    Notification,
    Provenance,
    decode,
    notification_id,
)
from notification_sender.model.unit import WorkUnit
from notification_sender.render import MAX_BYTES as RENDERED

UNIT = WorkUnit(work_unit_id="wu-1", organization_id="org-1", fingerprint="2026-03-06T08:26:00Z")
DESTINATION = Destination.model_validate(
    {"destination_id": "noc-hook", "channel": "webhook", "url": "https://hooks.example/x", "secret": "noc-hook"}
)


def notification(**fields: object) -> Notification:
    made: dict[str, Any] = {
        "notification_id": notification_id(UNIT, "noc-hook"),
        "organization_id": "org-1",
        "work_unit_id": "wu-1",
        "kind": "intel",
        "event": "incident.updated",
        "destination": DESTINATION,
        "content": {"json": '{"name":"Zürich \u2028 \U0001f4e1"}'},
        "expires_at": datetime(2026, 3, 7, tzinfo=UTC),
    }
    return Notification(**made | fields)


def test_parking_keeps_every_byte_and_the_channels_own_fields() -> None:
    parked = notification(tries=(FailedAttempt(attempt=1, at=1.5, error="500", sent="answered"),))
    assert decode(parked.encode()) == parked
    assert decode(parked.encode()).destination.extra["url"] == "https://hooks.example/x"


def test_the_next_attempt_has_the_same_bytes_and_one_more_entry_in_its_history() -> None:
    first = notification()
    second = first.next_attempt(FailedAttempt(attempt=1, at=2.0, error="reset", sent="unknown"))
    assert (second.attempt, second.content, second.notification_id) == (2, first.content, first.notification_id)
    assert [it.error for it in second.tries] == ["reset"]


def test_a_replay_begins_at_the_first_attempt_and_begins_once() -> None:
    dead = notification(attempt=4, replays=1, tries=(FailedAttempt(attempt=4, at=1.5, error="500", sent="answered"),))
    replay = dead.replayed(2)
    assert (replay.replays, replay.attempt, replay.tries) == (2, 1, dead.tries)
    assert replay.next_attempt(dead.tries[0]).replayed(2).attempt == 2


def test_the_id_is_a_known_uuid() -> None:
    """Pinned: a worker of another version must not send everything once more."""
    assert notification_id(UNIT, "noc-hook") == "8eb12c84-9d78-557d-9064-536d44272346"


def test_the_id_tells_organization_unit_fingerprint_and_destination_apart() -> None:
    variants = [
        UNIT,
        UNIT.model_copy(update={"organization_id": "org-2"}),
        UNIT.model_copy(update={"work_unit_id": "wu-2"}),
        UNIT.model_copy(update={"fingerprint": "v2"}),
        UNIT.model_copy(update={"fingerprint": None}),
    ]
    ids = {notification_id(unit, destination) for unit in variants for destination in ("a", "b")}
    assert len(ids) == 10


@pytest.mark.parametrize(("body", "error"), [(b"{", Malformed), (b"{}", SchemaViolation), (b"[]", SchemaViolation)])
def test_bytes_that_are_no_notification_are_refused(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PARKED = json.loads(
    notification(unit={"kind": "intel"}, tries=[FailedAttempt(attempt=1, at=0.5, error="", sent="")]).encode()
)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_crash_the_decoder(body: bytes) -> None:
    with suppress(Malformed, SchemaViolation):
        decode(body)


@given(st.dictionaries(st.sampled_from([*PARKED]), JSON), st.dictionaries(st.text(), JSON, max_size=2))
def test_a_changed_notification_is_refused_or_can_be_parked_again(
    changes: dict[str, object], extra: dict[str, object]
) -> None:
    fields = PARKED | {"destination": PARKED["destination"] | extra} | changes
    try:
        read = decode(json.dumps(fields).encode())
    except (Malformed, SchemaViolation):
        return
    parked = read.encode()
    assert decode(parked).encode() == parked


FINITE = st.floats(allow_nan=False, allow_infinity=False)
TRIES = st.builds(FailedAttempt, attempt=st.integers(1, 2**53 - 1), at=FINITE, error=st.text(), sent=st.text())
SOURCES = st.builds(Provenance, how=st.sampled_from(["given", "hit", "fetched", "stale", "missing"]), age=FINITE)


@given(
    content=st.dictionaries(st.text(), st.text()),
    tries=st.lists(TRIES, max_size=3).map(tuple),
    sources=st.dictionaries(st.text(), SOURCES, max_size=2),
    expires_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    composed_at=st.none() | FINITE,
    event=st.text(),
)
def test_any_parked_notification_comes_back_unchanged(**fields: Any) -> None:
    parked = notification(**fields)
    assert decode(parked.encode()) == parked


def nested(depth: int) -> Any:
    value: Any = "at the bottom"
    for turn in range(depth):
        value = [value] if turn % 2 else {"in": value}
    return value


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([2**53, -(2**63), 2**64, 10**400])
    | st.floats()
    | st.text(st.characters())
    | st.text(st.sampled_from("\x00\x1f\ud83d\udc00\U0001f4e1\u2028"), max_size=40)
    | st.integers(33, MAX_DEPTH - 3).map(nested),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
RECORDS = st.dictionaries(
    st.text(max_size=20).filter(lambda it: it not in Destination.model_fields), ODD, max_size=4
).map(lambda it: json.loads(json.dumps(it)))
"""As an API's answer can be read: two halves of a surrogate pair side by side are one character."""


def same(one: Notification, other: Notification) -> bool:
    """NaN is nothing's equal, not even its own."""
    return one.encode() == other.encode() and repr(one.destination) == repr(other.destination)


@given(record=RECORDS, events=st.none() | st.lists(st.text(), max_size=3), content=st.text())
def test_an_encoded_notification_can_be_decoded_for_any_destination_record(
    record: dict[str, Any], events: Any, content: str
) -> None:
    own = {"destination_id": "noc", "channel": "webhook", "events": events, "rate": {"per_minute": 0.5}}
    made = notification(destination=Destination.model_validate(own | record), content={"json": content})
    with suppress(TooLarge):
        made.check_bounds()
        came = decode(made.encode())
        assert same(came, made)
        again = came.next_attempt(FailedAttempt(attempt=1, at=0.5, error="\x00", sent=""))
        assert same(decode(again.encode()), again)


@pytest.mark.parametrize(
    "extra",
    [
        {"notes": "n" * 5_000_000},
        {"notes": "\x01" * 700_000},
        {"deep": nested(MAX_DEPTH)},
        {"number": 10**4000},
    ],
)
def test_a_notification_within_the_bounds_is_read_back(extra: dict[str, Any]) -> None:
    made = notification(destination=Destination.model_validate(DESTINATION.model_dump() | extra))
    made.check_bounds()
    assert decode(made.encode()) == made


@pytest.mark.parametrize(
    ("extra", "says"),
    [
        ({"notes": "n" * MAX_BYTES}, "at most"),
        ({"notes": "\x01" * (MAX_BYTES // 6)}, "at most"),
        ({"deep": nested(MAX_DEPTH + 1)}, "nested deeper"),
        ({"deep": nested(100_000)}, "nested deeper"),
        ({"number": 10**5000}, "4300 digits"),
    ],
)
def test_a_notification_beyond_a_bound_is_refused_and_its_dead_letter_can_be_read(
    extra: dict[str, Any], says: str
) -> None:
    made = notification(destination=Destination.model_validate(DESTINATION.model_dump() | extra))
    with pytest.raises(TooLarge, match=says) as caught:
        made.check_bounds()
    assert caught.value.reason == "too_large"
    letter = made.without_content()
    assert decode(letter.encode()) == letter
    assert letter.destination == Destination(destination_id="noc-hook", channel="webhook")


def test_rendered_content_of_the_largest_size_fits_as_control_characters() -> None:
    made = notification(content={"txt": "\x01" * RENDERED})
    made.check_bounds()
    assert decode(made.encode()) == made


def test_the_history_keeps_its_last_attempts() -> None:
    made = notification()
    for number in range(1, 3 * MAX_TRIES):
        made = made.with_failure(FailedAttempt(attempt=number, at=1.5, error="\x00" * 500, sent="nothing"))
    assert [it.attempt for it in made.tries] == [*range(2 * MAX_TRIES, 3 * MAX_TRIES)]
    assert len(made.encode()) < MAX_READ - MAX_BYTES


def test_a_copy_parked_by_the_version_before_is_read() -> None:
    """Written by orjson as it was, all extra fields and integers up to 64 bits included."""
    fields = PARKED | {"destination": PARKED["destination"] | {"number": 2**63, "deep": nested(200), "notes": "\x01"}}
    body = orjson.dumps(fields)
    read = decode(body)
    assert read.destination.extra["number"] == 2**63
    assert same(decode(read.encode()), read)


def test_a_notification_of_a_newer_version_is_refused() -> None:
    newer = json.loads(notification().encode()) | {"version": 2}
    with pytest.raises(SchemaViolation):
        decode(json.dumps(newer).encode())
