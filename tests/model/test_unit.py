"""How a work unit is read from a message, and which messages are refused."""

import json
from contextlib import suppress
from datetime import timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from notification_sender.model.destination import Destination, Rate
from notification_sender.model.errors import Malformed, SchemaViolation
from notification_sender.model.notification import notification_id
from notification_sender.model.strict_json import MAX_BYTES
from notification_sender.model.unit import (
    MAX_BATCH,
    Batch,
    WorkUnit,
    decode,
    fingerprint_time,
    for_one,
    identity,
    subject_fields,
)

GOOD = {"work_unit_id": "wu-1", "organization_id": "org-1", "incident_id": "inc-1"}


def encoded(**fields: object) -> bytes:
    return json.dumps({**GOOD, **fields}).encode()


def raw(member: str) -> bytes:
    return encoded()[:-1] + f', "more": {member}}}'.encode()


MALFORMED = {
    "empty": b"",
    "blank": b"  \n",
    "no JSON": b"hello",
    "cut off": encoded()[:-5],
    "two values": encoded() + encoded(),
    "trailing comma": encoded()[:-1] + b",}",
    "single quotes": b"{'work_unit_id': 'a'}",
    "surrogate that is no escape": encoded()[:-1] + b', "more": "\xed\xa0\x80"}',
    "not UTF-8": encoded()[:-1] + b', "more": "\xff\xfe"}',
    "UTF-16": encoded().decode().encode("utf-16"),
    "latin-1": b'{"name": "caf\xe9"}',
    "byte order mark": b"\xef\xbb\xbf" + encoded(),
    "gzip": b"\x1f\x8b\x08\x00" + encoded(),
    "NaN": raw("NaN"),
    "Infinity": raw("Infinity"),
    "-Infinity": raw("-Infinity"),
    "overflow": raw("1e999"),
    "4,301 digits": raw("1" * 4301),
    "2^53": raw(str(2**53)),
    "-2^64": raw(str(-(2**64))),
    "name twice": b'{"work_unit_id": "a", "work_unit_id": "b", "organization_id": "o", "incident_id": "i"}',
    "lone surrogate": raw(r'"\ud800"'),
    "lone surrogate in a name": raw(r'{"\udfff": 1}'),
    "nested 33 deep": raw("[" * 33 + "]" * 33),
    "nested 100,000 deep": raw("[" * 100_000 + "]" * 100_000),
    "too large": encoded(more="x" * MAX_BYTES),
}

BREAKS_A_RULE = {
    "a list": b"[]",
    "a string": b'"hello"',
    "null": b"null",
    "no id": b'{"organization_id": "o", "incident_id": "i"}',
    "no organization": b'{"work_unit_id": "w", "incident_id": "i"}',
    "id with a dot": encoded(work_unit_id="a.b"),
    "id with CRLF": encoded(work_unit_id="a\r\nb"),
    "id ending in a line feed": encoded(work_unit_id="a\n"),
    "id of 129": encoded(work_unit_id="a" * 129),
    "empty id": encoded(work_unit_id=""),
    "id of 10 kB": encoded(organization_id="a" * 10_240),
    "id a number": encoded(work_unit_id=7),
    "id null": encoded(work_unit_id=None),
    "version 2": encoded(schema_version=2),
    "version of a slice that is none": encoded(schema_version=2, _slice=None),
    "slice without a name": encoded(schema_version=2, _slice={}),
    "version a string": encoded(schema_version="1"),
    "version true": encoded(schema_version=True),
    "time without zone": encoded(occurred_at="2026-03-06T08:26:00"),
    "time before the year 1 in UTC": encoded(occurred_at="0001-01-01T00:00:00+01:00"),
    "time after the year 9999 in UTC": encoded(not_before="9999-12-31T23:59:59-01:00"),
    "time nonsense": encoded(expires_at="tomorrow"),
    "asset ids a string": encoded(asset_ids="a-1"),
    "asset ids numbers": encoded(asset_ids=[1]),
    "channels a string": encoded(channels="webhook"),
    "destination twice": encoded(destinations=[{"destination_id": "d", "channel": "webhook"}] * 2),
    "batch without size": encoded(batch={"id": "b"}),
    "batch of zero": encoded(batch={"id": "b", "size": 0}),
}


@pytest.mark.parametrize("body", MALFORMED.values(), ids=MALFORMED)
def test_an_unreadable_message_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed) as refusal:
        decode(body)
    assert str(refusal.value)


@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")])
def test_a_message_of_32_levels_is_read_and_one_of_33_is_not(opening: str, closing: str) -> None:
    assert decode(raw(opening * 31 + "1" + closing * 31)), "the message itself is the first"
    with pytest.raises(Malformed, match="nested deeper than 32"):
        decode(raw(opening * 32 + "1" + closing * 32))


@pytest.mark.parametrize("member", ["[]," * 40, r'"\ud83d\ude00", "\u00e9",'])
def test_many_brackets_and_escapes_are_read(member: str) -> None:
    assert decode(raw(f"[{member} 1]"))


@pytest.mark.parametrize("body", BREAKS_A_RULE.values(), ids=BREAKS_A_RULE)
def test_a_broken_rule_names_its_field(body: bytes) -> None:
    with pytest.raises(SchemaViolation) as refusal:
        decode(body)
    assert ":" in str(refusal.value) or "schema_version" in str(refusal.value)


def test_one_error_names_every_fault() -> None:
    with pytest.raises(SchemaViolation) as refusal:
        decode(b'{"work_unit_id": "a.b", "occurred_at": "now"}')
    assert all(word in str(refusal.value) for word in ("work_unit_id", "organization_id", "occurred_at"))


def test_a_unit_with_its_required_fields_has_the_defaults_of_the_contract() -> None:
    unit = decode(encoded(unknown={"is": "ignored"}))
    assert (unit.schema_version, unit.kind, unit.event) == (1, "intel", "incident.updated")
    assert (unit.fingerprint, unit.channels, unit.destinations, unit.batch) == (None, None, None, None)


def test_the_slice_field_in_a_unit_of_version_1_is_ignored() -> None:
    assert decode(encoded(_slice={"any": "thing"})) == decode(encoded())


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_no_bytes_crash_the_decoder(body: bytes) -> None:
    with suppress(Malformed, SchemaViolation):
        decode(body)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from([*GOOD, "occurred_at", "channels", "destinations", "batch", "kind"]), JSON))
def test_no_fields_crash_the_decoder(fields: dict[str, object]) -> None:
    with suppress(Malformed, SchemaViolation):
        decode(json.dumps({**GOOD, **fields}).encode())


IDS = st.from_regex(r"[A-Za-z0-9_:-]{1,128}", fullmatch=True)
TIMES = st.datetimes(timezones=st.integers(-1439, 1439).map(lambda it: timezone(timedelta(minutes=it))))
DESTINATIONS = st.builds(
    Destination,
    destination_id=IDS,
    channel=IDS,
    template=st.none() | IDS,
    rate=st.none() | st.builds(Rate, per_minute=st.floats(0.001, 6e6), burst=st.integers(1, 10**6)),
    events=st.none() | st.lists(st.text(), max_size=2),
    enabled=st.booleans(),
    url=st.text(),
)
JSON_DESTINATIONS = DESTINATIONS.map(lambda it: it.model_dump(mode="json"))
UNITS = st.fixed_dictionaries(
    {"work_unit_id": IDS, "organization_id": IDS},
    optional={
        "incident_id": st.text(min_size=1, max_size=256),
        "asset_ids": st.lists(st.text(min_size=1), max_size=2),
        "fingerprint": st.text() | TIMES.map(str),
        "occurred_at": TIMES,
        "not_before": TIMES,
        "expires_at": TIMES,
        "channels": st.lists(IDS, max_size=2),
        "destinations": st.lists(JSON_DESTINATIONS, max_size=2, unique_by=lambda it: str(it["destination_id"])),
        "batch": st.builds(Batch, id=IDS, size=st.integers(1, MAX_BATCH)),
    },
)


@given(UNITS)
def test_any_unit_that_is_written_and_read_again_is_the_same_unit(fields: dict[str, object]) -> None:
    try:
        unit = WorkUnit.model_validate(fields)
    except ValidationError as fault:
        assert "outside the years" in str(fault)  # noqa: PT017 - all that may be wrong with it
        return
    assert decode(unit.model_dump_json().encode()) == unit
    about = decode(json.dumps(subject_fields(unit)).encode())
    assert (identity(about), about.occurred_at, about.expires_at) == (
        identity(unit),
        unit.occurred_at,
        unit.expires_at,
    )
    for moment in (unit.occurred_at, unit.not_before, unit.expires_at, fingerprint_time(unit)):
        assert moment is None or moment.utcoffset() == timedelta()


def test_the_fingerprint_is_part_of_the_identity() -> None:
    first, same, other = (decode(encoded(fingerprint=it)) for it in ("v1", "v1", "v2"))
    assert identity(first) == identity(same) != identity(other)
    assert identity(decode(encoded())) == "wu-1"


@pytest.mark.parametrize(
    ("fingerprint", "is_time"),
    [
        ("2026-03-06T08:26:00Z", True),
        ("2026-03-06T09:26:00+01:00", True),
        ("2026-03-06T08:26:00", False),
        ("0001-01-01T00:00:00+01:00", False),
        ("v7", False),
    ],
)
def test_only_a_time_with_an_offset_is_a_fence(fingerprint: str, is_time: bool) -> None:  # noqa: FBT001 - a table
    assert (fingerprint_time(decode(encoded(fingerprint=fingerprint))) is not None) is is_time


@given(
    unit_id=st.text("abc-_:1", min_size=1, max_size=128),
    fingerprint=st.none() | st.text(max_size=50).filter(lambda it: it.isprintable()),
    brought=st.booleans(),
    channels=st.none() | st.just(["webhook"]),
    batch=st.none() | st.just({"id": "b", "size": 3}),
)
def test_a_unit_for_one_destination_keeps_its_identity_and_drops_the_others(
    *,
    unit_id: str,
    fingerprint: str | None,
    brought: bool,
    channels: Any,
    batch: Any,
) -> None:
    records = [{"destination_id": f"d-{number}", "channel": "webhook"} for number in range(40)]
    unit = WorkUnit.model_validate(
        {
            "work_unit_id": unit_id,
            "organization_id": "acme",
            "incident_id": "inc",
            "fingerprint": fingerprint,
            "expires_at": "2026-03-06T08:00:00Z",
            "channels": channels,
            "batch": batch,
            "destinations": records if brought else None,
        }
    )
    carried = orjson.dumps(for_one(unit, "d-7", records[7]))
    again = decode(carried)
    assert (identity(again), notification_id(again, "d-7")) == (identity(unit), notification_id(unit, "d-7"))
    assert (again.destination_ids, again.destinations) == (frozenset({"d-7"}), (records[7],) if brought else None)
    assert subject_fields(again) == subject_fields(unit)
    assert len(carried) < 3000
