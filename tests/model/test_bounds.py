"""Every list and every text of a unit and of a destination has a bound, and the reference page states it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from notification_sender.channels.email import Email
from notification_sender.channels.webhook import Webhook
from notification_sender.model.destination import Destination
from notification_sender.model.errors import SchemaViolation
from notification_sender.model.unit import MAX_BATCH, WorkUnit, decode
from tests.test_targets import CHANNELS, HOOK, MAIL, ends, reached

GOOD = {"work_unit_id": "wu-1", "organization_id": "org-1", "incident_id": "inc-1"}
PAGE = Path(__file__).parents[2] / "docs" / "reference" / "work-unit.md"
UNTYPED = {"destinations"}
"""Each is read by itself: the page says which option bounds their number."""


def bounds(model: Any, *, within: str = "") -> Iterator[tuple[str, str]]:
    """Of every field that could be long: its path, and at most how much."""
    schema = model.model_json_schema(by_alias=False)
    for name, field in schema["properties"].items():
        if name not in UNTYPED | {"slice", "schema_version"}:
            yield from _of(f"{within}{name}", field, schema.get("$defs", {}))


def _of(path: str, field: dict[str, Any], known: dict[str, Any]) -> Iterator[tuple[str, str]]:
    [kind] = [it for it in field.get("anyOf", [field]) if it.get("type") != "null"]
    if "$ref" in kind:
        for name, part in known[kind["$ref"].rpartition("/")[2]]["properties"].items():
            yield from _of(f"{path}.{name}", part, known)
    elif kind["type"] == "array":
        yield path, f"{kind['maxItems']} items of {kind['items']['maxLength']} characters"
    elif kind["type"] in {"integer", "number"}:
        yield path, f"{kind['maximum']:.0f}"
    elif kind["type"] == "string" and kind.get("format") != "date-time":
        yield path, f"{kind['maxLength']} characters"


def all_bounds() -> dict[str, str]:
    found = dict(bounds(WorkUnit)) | dict(bounds(Destination, within="destinations.*."))
    for channel in (Webhook, Email):
        found |= {f"destinations.*.{name}": f"{longest} characters" for name, longest in channel.fields.items()}
    return found


def test_the_page_states_the_bounds_of_the_models() -> None:
    rows = [line.split("|")[1:3] for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    stated = {field.strip(" `"): bound.strip() for field, bound in rows if field.strip(" `") in all_bounds()}
    table = {name: bound for name, bound in stated.items() if bound == all_bounds()[name]}
    assert table == all_bounds()


TEXTS = {
    name: int(bound.split()[0])
    for name, bound in bounds(WorkUnit)
    if bound.endswith(" characters") and "items" not in bound
}


def with_field(path: str, value: object) -> bytes:
    name, _, part = path.partition(".")
    return json.dumps(GOOD | {name: {"id": "b", "size": 1, part: value} if part else value}).encode()


@pytest.mark.parametrize(("path", "longest"), TEXTS.items())
def test_a_text_may_be_as_long_as_its_bound(path: str, longest: int) -> None:
    assert decode(with_field(path, "a" * longest))
    with pytest.raises(SchemaViolation, match=path):
        decode(with_field(path, "a" * (longest + 1)))


@pytest.mark.parametrize(
    ("name", "most", "longest"), [("asset_ids", 1000, 256), ("channels", 16, 128), ("destination_ids", 10_000, 128)]
)
def test_a_list_may_be_as_long_as_its_bound(name: str, most: int, longest: int) -> None:
    assert decode(with_field(name, [f"a-{number}" for number in range(most)]))
    assert decode(with_field(name, ["a" * longest]))
    for value in ([f"a-{number}" for number in range(most + 1)], ["a" * (longest + 1)], [1] * 80_000):
        with pytest.raises(SchemaViolation, match=name) as refusal:
            decode(with_field(name, value))
        assert len(str(refusal.value)) < 1000


def test_a_number_may_be_as_large_as_its_bound() -> None:
    assert decode(with_field("batch.size", MAX_BATCH))
    with pytest.raises(SchemaViolation, match=r"batch\.size"):
        decode(with_field("batch.size", MAX_BATCH + 1))


@pytest.mark.parametrize(
    ("record", "field", "value", "beyond"),
    [
        (HOOK, "destination_id", "a" * 128, "a" * 129),
        (HOOK, "template", "a" * 128, "a" * 129),
        (HOOK, "url", "https://a.example/".ljust(2048, "x"), "https://a.example/".ljust(2049, "x")),
        (HOOK, "secret", "a" * 128, "a" * 129),
        (HOOK, "ca", "a" * 128, "a" * 129),
        (HOOK, "events", ["*".ljust(256, "x")] * 63 + ["*"], ["*"] * 65),
        (HOOK, "events", ["*"], ["*".ljust(257, "x")]),
        (MAIL, "unsubscribe_url", "https://a.example/".ljust(909, "x"), "https://a.example/".ljust(910, "x")),
        (MAIL, "to", f"{'a' * 64}@{'.'.join(['b' * 62] * 3)}", f"{'a' * 64}@{'.'.join(['b' * 62] * 4)}"),
    ],
)
def test_a_destination_is_bounded_by_itself(record: dict[str, Any], field: str, value: object, beyond: object) -> None:
    good, bad = record | {field: value}, record | {"destination_id": "bad"} | {field: beyond}
    found = ends(reached([good, bad]))
    assert sorted(found.values()) == ["", "schema"]
    assert CHANNELS[record["channel"]].fields
