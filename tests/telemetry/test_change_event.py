"""The event of a change and its published schema have the same fields."""

from pathlib import Path

import jsonschema
import orjson

from notification_sender.telemetry.change_event import Change

SCHEMA = orjson.loads((Path(__file__).parents[2] / "docs" / "reference" / "change.schema.json").read_bytes())
MOMENT = 1_772_785_560.0


def test_the_schema_has_the_fields_of_a_change_and_requires_those_without_a_default() -> None:
    fields = Change.__dataclass_fields__
    assert SCHEMA["properties"].keys() == fields.keys()
    with_all = Change(**{name: 1 if name == "count" else MOMENT if name == "until" else "x" for name in fields})
    jsonschema.validate(with_all.data(), SCHEMA)
    assert Change(change="resumed", by="x", subject="all").data().keys() == set(SCHEMA["required"])


def test_an_event_says_who_changed_what_until_when() -> None:
    change = Change(change="paused", by="anna@bastion", subject="organization/org-1", until=MOMENT + 3600)
    event = orjson.loads(change.event(prefix="mine", now=MOMENT))
    assert change.topic == "operator.paused"
    assert event["type"] == "notification-sender.operator.paused"
    assert (event["source"], event["subject"]) == ("/notification-sender/mine", "organization/org-1")
    assert event["data"] == {
        "change": "paused",
        "by": "anna@bastion",
        "subject": "organization/org-1",
        "until": "2026-03-06T09:26:00Z",
    }
