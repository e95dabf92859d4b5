"""A notification survives being parked, and its id is the same wherever it is made."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.model.destination import Destination
from notification_sender.model.errors import Malformed, SchemaViolation
from notification_sender.model.notification import Notification, Provenance, Try, decode, notification_id
from notification_sender.model.unit import WorkUnit

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
    parked = notification(tries=(Try(attempt=1, at=1.5, error="500", sent="answered"),))
    assert decode(parked.encode()) == parked
    assert decode(parked.encode()).destination.extra["url"] == "https://hooks.example/x"


def test_the_next_attempt_has_the_same_bytes_and_one_more_try_in_its_story() -> None:
    first = notification()
    second = first.again(Try(attempt=1, at=2.0, error="reset", sent="unknown"))
    assert (second.attempt, second.content, second.notification_id) == (2, first.content, first.notification_id)
    assert [it.error for it in second.tries] == ["reset"]


def test_a_replay_begins_at_the_first_attempt_and_is_begun_once() -> None:
    dead = notification(attempt=4, replays=1, tries=(Try(attempt=4, at=1.5, error="500", sent="answered"),))
    replay = dead.afresh(2)
    assert (replay.replays, replay.attempt, replay.tries) == (2, 1, dead.tries)
    assert replay.again(dead.tries[0]).afresh(2).attempt == 2


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
def test_what_is_no_notification_is_refused(body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        decode(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
PARKED = json.loads(notification(unit={"kind": "intel"}, tries=[Try(attempt=1, at=0.5, error="", sent="")]).encode())


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_crash_the_decoder(body: bytes) -> None:
    with suppress(Malformed, SchemaViolation):
        decode(body)


@given(st.dictionaries(st.sampled_from([*PARKED]), JSON), st.dictionaries(st.text(), JSON, max_size=2))
def test_whatever_of_it_somebody_changed_it_is_refused_or_read_and_can_be_parked_again(
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
TRIES = st.builds(Try, attempt=st.integers(1, 2**53 - 1), at=FINITE, error=st.text(), sent=st.text())
SOURCES = st.builds(Provenance, how=st.sampled_from(["given", "hit", "fetched", "stale", "missing"]), age=FINITE)


@given(
    content=st.dictionaries(st.text(), st.text()),
    tries=st.lists(TRIES, max_size=3).map(tuple),
    sources=st.dictionaries(st.text(), SOURCES, max_size=2),
    expires_at=st.none() | st.datetimes(timezones=st.just(UTC)),
    composed_at=st.none() | FINITE,
    event=st.text(),
)
def test_whatever_is_parked_comes_back_as_it_was(**fields: Any) -> None:
    parked = notification(**fields)
    assert decode(parked.encode()) == parked


def test_a_newer_version_is_refused_rather_than_misread() -> None:
    newer = json.loads(notification().encode()) | {"version": 2}
    with pytest.raises(SchemaViolation):
        decode(json.dumps(newer).encode())
