"""A unit with many destinations is cut, and nothing of it is lost or said twice, however often that happens."""

import asyncio
import json
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from notification_sender.model.errors import SchemaViolation
from notification_sender.model.notification import notification_id
from notification_sender.model.outcome import Dead
from notification_sender.model.strict_json import MAX_BYTES
from notification_sender.model.unit import MAX_DETAIL, MAX_SLICE, WorkUnit, decode, identity, subject_fields
from notification_sender.slices import cut, rest
from notification_sender.targets import Target, Targets
from tests.test_targets import CHANNELS, HOOK, MAIL
from tests.virtual import VirtualClock

GOOD = {"work_unit_id": "w", "organization_id": "o", "incident_id": "i", "fingerprint": "2026-03-06T08:26:00Z"}


def reached(unit: WorkUnit, own: list[Any]) -> list[Target]:
    """As composing has it."""
    offered = own if unit.destinations is None else unit.destinations
    found = asyncio.run(Targets(channels=CHANNELS, most=10_000, clock=VirtualClock()).select(unit, offered))
    return [*found, *rest(unit, found)]


def records(count: int) -> list[dict[str, Any]]:
    return [(MAIL | {"destination_id": f"m-{number}"}) for number in range(count)]


@settings(deadline=None)
@given(
    count=st.integers(0, 40),
    broken=st.sets(st.integers(0, 39)),
    size=st.integers(1, 9),
    replays=st.integers(0, 2),
    given_by_unit=st.booleans(),
)
def test_each_target_is_in_one_slice_which_is_the_same_work(
    count: int, broken: set[int], size: int, replays: int, *, given_by_unit: bool
) -> None:
    assume(not given_by_unit or not broken.issuperset(range(count)))  # else the unit itself is dead
    own: list[Any] = [it | ({"channel": "sms"} if place in broken else {}) for place, it in enumerate(records(count))]
    fields = {"destinations": own} if given_by_unit else {"channels": ["email", "webhook", "sms"]}
    unit = WorkUnit.model_validate(GOOD | {"batch": {"id": "b", "size": 1}} | fields)
    targets = reached(unit, own)
    told = []
    for name, body in cut(unit, targets, size=size, replays=replays):
        part = decode(body)
        assert part.slice is not None
        assert (part.slice.name, part.batch) == (name, None)
        assert identity(part) == f"{identity(unit)}/{name}"
        assert subject_fields(part) == subject_fields(unit)
        told += [(notification_id(part, it.destination_id), it.channel, it.end) for it in reached(part, own)]
    expected = [(notification_id(unit, it.destination_id), it.channel, it.end) for it in targets]
    assert [(id_, channel, _why(end)) for id_, channel, end in told] == [
        (id_, channel, _why(end)) for id_, channel, end in expected
    ]


def _why(end: Any) -> Any:
    return end and (end.reason, end.detail)


def test_what_was_cut_once_more_with_others_among_them_has_other_names() -> None:
    unit = WorkUnit.model_validate(GOOD)
    first = dict(cut(unit, reached(unit, records(40)), size=10, replays=0))
    again = dict(cut(unit, reached(unit, records(40)), size=10, replays=0))
    shifted = dict(cut(unit, reached(unit, records(40)[1:]), size=10, replays=0))
    replayed = dict(cut(unit, reached(unit, records(40)), size=10, replays=1))
    assert first == again
    assert not first.keys() & shifted.keys()
    assert not first.keys() & replayed.keys()


def test_one_that_was_taken_away_meanwhile_has_an_end_of_its_own() -> None:
    unit = WorkUnit.model_validate(GOOD)
    [(_, body)] = cut(unit, reached(unit, records(3)), size=10, replays=0)
    own = [records(3)[0], records(3)[1] | {"enabled": False}]
    ends = {it.destination_id: it.end and it.end.reason for it in reached(decode(body), own)}
    assert ends == {"m-0": None, "m-1": "destination_removed", "m-2": "destination_removed"}


def test_a_destination_that_cannot_be_keeps_its_name_and_its_fault_in_a_slice() -> None:
    unit = WorkUnit.model_validate(GOOD)
    bad = HOOK | {"destination_id": "bad", "url": "x" * 5_000_000}
    [(_, body)] = cut(unit, reached(unit, [bad, "noc"]), size=10, replays=0)
    assert len(body) < 2000
    found = {it.destination_id: (it.channel, it.end) for it in reached(decode(body), [])}
    assert {name: channel for name, (channel, _) in found.items()} == {"bad": "webhook", "unreadable-1": "unknown"}
    assert all(isinstance(end, Dead) and end.reason == "schema" for _, end in found.values())


def test_the_largest_unit_can_be_cut_and_each_of_its_slices_read() -> None:
    url, events = "https://a.example/".ljust(2000, "é"), ["*" * 250] * 4
    many = [HOOK | {"destination_id": f"h-{number}", "events": events, "url": url} for number in range(33)]
    fields = GOOD | {"destinations": many, "asset_ids": ["a" * 256] * 300}
    body = json.dumps(fields, ensure_ascii=False).encode()
    assert MAX_BYTES * 0.9 < len(body) <= MAX_BYTES
    unit = decode(body)
    slices = [body for _, body in cut(unit, reached(unit, []), size=32, replays=0)]
    assert [len(decode(body).destinations or ()) for body in slices] == [32, 1]


ODD = [
    {"faults": {"d": ["webhook", "a reason of their own", "x"]}},
    {"faults": {"d": ["webhook", "schema", "x" * (MAX_DETAIL + 1)]}},
    {"faults": {"d\n": ["webhook", "schema", "x"]}},
    {"faults": {"d": ["web hook", "schema", "x"]}},
    {"faults": {f"d{number}": ["webhook", "schema", "x"] for number in range(MAX_SLICE + 1)}},
    {"faults": {"d": None}},
    {"faults": []},
    {"name": "../x"},
    "x",
    None,
]


@pytest.mark.parametrize("odd", ODD)
def test_a_slice_that_no_worker_made_is_one_dead_letter_and_names_nothing_of_its_own(odd: Any) -> None:
    part = {"name": "x", "faults": {}} | odd if isinstance(odd, dict) else odd
    body = json.dumps(
        {"_slice": part, "schema_version": 2, "destination_ids": []} | GOOD, separators=(",", ":")
    ).encode()
    with pytest.raises(SchemaViolation):
        decode(body)


@pytest.mark.parametrize("field", ["destinations", "destination_ids"])
def test_a_slice_cannot_have_more_destinations_than_a_worker_takes_on(field: str) -> None:
    many: list[Any] = records(MAX_SLICE + 1)
    whom = many if field == "destinations" else [it["destination_id"] for it in many]
    head = {"_slice": {"name": "x"}, "schema_version": 2, "destination_ids": []} | GOOD
    assert decode(json.dumps(head | {field: whom[1:]}).encode()).slice is not None
    with pytest.raises(SchemaViolation, match=f"{MAX_SLICE} destinations at most"):
        decode(json.dumps(head | {field: whom}).encode())


def test_a_slice_of_all_destinations_is_none() -> None:
    body = json.dumps({"_slice": {"name": "x"}, "schema_version": 2} | GOOD).encode()
    with pytest.raises(SchemaViolation, match="destination_ids is missing"):
        decode(body)
