"""A notification survives being parked, and its id is the same wherever it is made."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from notification_sender.model.destination import Destination
from notification_sender.model.errors import Malformed, SchemaViolation
from notification_sender.model.notification import Notification, Try, decode, notification_id
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
    assert second.afresh().attempt == 1


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


def test_a_newer_version_is_refused_rather_than_misread() -> None:
    newer = json.loads(notification().encode()) | {"version": 2}
    with pytest.raises(SchemaViolation):
        decode(json.dumps(newer).encode())
