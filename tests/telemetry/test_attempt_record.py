"""The record of an attempt and the published schema of its event have the same fields, of the same types."""

from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from types import NoneType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import orjson
import pytest

from notification_sender.model.cause import Cause, Phase
from notification_sender.model.errors import Rejected, SendFailed, Sent
from notification_sender.model.notification import Provenance
from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed, Outcome, Receipt, Suppressed
from notification_sender.telemetry.attempt_record import AttemptFacts, AttemptRecord, End, known_facts
from notification_sender.telemetry.outcomes import _end

SCHEMA = orjson.loads((Path(__file__).parents[2] / "docs" / "reference" / "event.schema.json").read_bytes())
NAMES = {str: "string", int: "integer", float: "number", tuple: "array", Mapping: "object", Cause: "object"}
PARTS = (AttemptFacts, End, AttemptRecord)
CAUSE = Cause("organization", "aaa", 503, Phase.READ)


def declared(kind: Any) -> dict[str, Any]:
    """What a schema says of a field of this type."""
    [kind] = [it for it in get_args(kind) if it is not NoneType] if NoneType in get_args(kind) else [kind]
    if get_origin(kind) is Literal:
        return {"type": "string", "enum": [it for it in get_args(kind) if it != "deferred"]}
    if isinstance(kind, type) and issubclass(kind, StrEnum):
        return {"type": "string", "enum": list(map(str, kind))}
    return {"type": NAMES[get_origin(kind) or kind]}


def types(part: type) -> dict[str, Any]:
    return {"try" if name == "try_" else name: kind for name, kind in get_type_hints(part).items()}


def test_the_schema_has_the_fields_of_the_record_and_their_types() -> None:
    own = {name: kind for part in PARTS for name, kind in types(part).items() if kind not in PARTS}
    published = SCHEMA["properties"]
    assert published.keys() == own.keys()
    said = {name: {key: it[key] for key in ("type", "enum") if key in it} for name, it in published.items()}
    assert said == {name: declared(kind) for name, kind in own.items()}


def test_the_schema_has_the_fields_of_provenance_and_cause() -> None:
    source = SCHEMA["properties"]["sources"]["additionalProperties"]["properties"]
    assert source.keys() == types(Provenance).keys()
    cause = SCHEMA["properties"]["cause"]["properties"]
    assert cause.keys() == types(Cause).keys()
    assert CAUSE.known().keys() == cause.keys()


def test_what_the_schema_requires_has_no_default() -> None:
    assert set(SCHEMA["required"]) == set(End._fields) - End._field_defaults.keys()


@pytest.mark.parametrize(
    ("outcome", "known", "for_the_log"),
    [
        (
            Delivered(Receipt("250 ok", 250)),
            {"outcome": "delivered", "reason": "", "status": 250},
            {"receipt": "250 ok"},
        ),
        (
            Suppressed("no_longer_relevant", "resolved"),
            {"outcome": "suppressed", "reason": "no_longer_relevant", "because": "no_longer_relevant:resolved"},
            {},
        ),
        (
            Deferred(2.5, "throttled", "webhook"),
            {"outcome": "deferred", "reason": "throttled", "because": "throttled:webhook", "delay_ms": 2500.0},
            {},
        ),
        (
            Failed(5.0, SendFailed("answered 503", sent=Sent.ANSWERED, status=503)),
            {"outcome": "failed", "reason": "sent_answered", "sent": "answered", "status": 503, "delay_ms": 5000.0},
            {"error": "answered 503"},
        ),
        (
            Dead.of(Rejected("answered 404", status=404)),
            {"outcome": "dead", "reason": "rejected", "status": 404},
            {"detail": "answered 404"},
        ),
        (
            Dead("context_unavailable", "too old", cause=CAUSE),
            {
                "outcome": "dead",
                "reason": "context_unavailable",
                "because": "context_unavailable:organization aaa 503 read",
                "cause": {"source": "organization", "api": "aaa", "status": 503, "phase": "read"},
            },
            {"detail": "too old"},
        ),
    ],
)
def test_an_outcome_is_told_by_its_codes_and_what_is_not_ours_is_for_the_log(
    outcome: Outcome, known: dict[str, Any], for_the_log: dict[str, str]
) -> None:
    end, log = _end(outcome)
    assert AttemptRecord(facts=AttemptFacts(), end=end).known() == known
    assert log == for_the_log


def test_what_nobody_knows_is_not_there() -> None:
    assert known_facts(AttemptFacts(organization_id="org", attempt=0, try_=3)) == {
        "organization_id": "org",
        "attempt": 0,
        "try": 3,
    }
