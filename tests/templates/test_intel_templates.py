"""The shipped templates on ordinary and on awkward facts: each ``.json`` beside this file is a context."""

import gc
import json
import re
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from standardwebhooks import Webhook

from notification_sender.model.destination import Destination
from notification_sender.model.unit import WorkUnit
from notification_sender.render import Renderer, shipped

CHANNELS = {"webhook": {"json": False}, "email": {"subject": False, "txt": False, "html": True}}
FIXTURES = {path.stem: path for path in sorted(Path(__file__).parent.glob("*.json"))}
REFERENCE = Path(__file__).parent.parent.parent / "docs" / "reference"
SCHEMA = REFERENCE / "webhook-intel.schema.json"
GMAIL_CLIPS_AT = 102 * 1024


def context(name: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(FIXTURES[name].read_bytes())
    facts["unit"] = WorkUnit.model_validate(facts["unit"])
    facts["destination"] = Destination.model_validate(facts["destination"])
    return facts


@pytest.fixture(scope="module")
def intel() -> Renderer:
    return Renderer(folder=shipped(), channels=CHANNELS)


class Page(HTMLParser):
    """What a reader sees, and what a mail client would have to load or run."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.seen = ""
        self.loads: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.loads += [value or "" for name, value in attrs if name in {"src", "background", "srcset", "data"}]

    def handle_data(self, data: str) -> None:
        self.seen += data


@pytest.mark.parametrize("name", FIXTURES)
def test_the_webhook_is_what_its_schema_says(intel: Renderer, name: str) -> None:
    facts = context(name)
    body = orjson.loads(intel.render("intel", "webhook", facts)["json"])
    assert (body["type"], body["timestamp"]) == (facts["unit"].event, facts["timestamp"])
    Draft202012Validator(json.loads(SCHEMA.read_bytes())).validate(body["data"])


def test_the_schema_only_grows() -> None:
    schema = json.loads(SCHEMA.read_bytes())
    Draft202012Validator.check_schema(schema)
    fields = schema["properties"]
    assert set(schema["required"]) >= {
        *("work_unit_id", "organization_id", "organization_name", "incident", "intel_request", "intel_requests"),
        *("parent_intel_requests", "assets", "outages", "internet_outages", "degraded"),
    }
    incident = fields["incident"]
    assert set(incident["required"]) >= {"incident_id", "status", "created", "modified", "location"}
    location = incident["properties"]["location"]
    assert set(location["required"]) >= {"location_id", "thoroughfare", "address", "geojson"}
    asset = fields["assets"]["items"]
    assert set(asset["required"]) >= {"asset_id", "asset_name", "asset_type_name", "thoroughfare", "geojson"}
    assert set(schema["$defs"]["intel_request"]["required"]) >= {
        *("intel_request_id", "intel_request_type", "status", "incident_id"),
        *("asset_ids", "results", "created", "modified"),
    }


@pytest.mark.parametrize("name", FIXTURES)
def test_an_email_loads_and_runs_nothing_and_fits(intel: Renderer, name: str) -> None:
    html = intel.render("intel", "email", context(name))["html"]
    page = Page(html)
    assert page.loads == []
    assert not {"script", "img", "link", "iframe", "i", "b"} & set(page.tags)
    assert not re.search(r"url\(|@import", html)
    assert len(html.encode()) < GMAIL_CLIPS_AT


@pytest.mark.parametrize(
    ("name", "subject"),
    [
        ("full", "Open: ZH-012 Paradeplatz and 2 more, Bahnhofstrasse 12"),
        ("intel_only", "Intel complete: Restoration time"),
        ("bare", "Incident inc-1"),
        ("odd", "3 assets"),
    ],
)
def test_a_subject_says_what_and_where(intel: Renderer, name: str, subject: str) -> None:
    assert intel.render("intel", "email", context(name))["subject"] == subject


@pytest.mark.parametrize("part", ["txt", "html"])
def test_an_email_says_what_where_since_when_and_what_is_done(intel: Renderer, part: str) -> None:
    text = intel.render("intel", "email", context("full"))[part]
    seen = Page(text).seen if part == "html" else text
    for fact in (
        *("ZH-012 Paradeplatz and 2 more", "Open", "Bahnhofstrasse 12, Lindenhof", "6 Mar 2026, 08:12 CET"),
        *("Europe/Zurich", "47.37690, 8.54170", "ZH-020 Central", "Stadtwerk ZH", "AS64500 upstream loss"),
        *("Power status", "Estimated restoration: 6 Mar 2026, 12:30 CET", "Field visit", "In progress"),
    ):
        assert fact in seen
    assert "Missing" not in seen


def test_an_email_says_what_is_missing(intel: Renderer) -> None:
    parts = intel.render("intel", "email", context("bare"))
    for seen in (parts["txt"], Page(parts["html"]).seen):
        assert "This record may be older than the event" in seen
        assert "Missing or out of date: address, intel requests." in seen


@pytest.mark.parametrize("part", ["txt", "html"])
def test_what_was_asked_for_is_not_told_again_among_what_is_being_done(intel: Renderer, part: str) -> None:
    facts = context("full")
    facts["parent_intel_requests"] = []
    facts["intel_request"] = asked = {"intel_request_id": "ir-asked", "intel_request_type": "site_contact"}
    for others in (facts["intel_requests"], [], [{}, {"intel_request_id": None}]):
        facts["intel_requests"] = [dict(asked), *others]
        text = intel.render("intel", "email", facts)[part]
        seen = (Page(text).seen if part == "html" else text).lower()
        assert (seen.count("site contact"), "what is being done" in seen) == (1, bool(others))


@pytest.mark.parametrize(("told", "said"), [(51, "and 1 more"), (50, None)])
def test_what_was_asked_for_does_not_count_among_those_that_are_left_out(
    intel: Renderer, told: int, said: str | None
) -> None:
    rows = [{"intel_request_id": f"ir-{number}", "intel_request_type": "field_visit"} for number in range(told)]
    asked = {"intel_request_id": "ir-asked", "intel_request_type": "site_contact"}
    facts = context("full") | {"assets": [], "parent_intel_requests": []}
    facts |= {"intel_request": asked, "intel_requests": [asked, *rows]}
    seen = Page(intel.render("intel", "email", facts)["html"]).seen
    assert seen.count("Field visit") == 50
    assert (said in seen) if said else (" more" not in seen)


@pytest.mark.parametrize("part", ["txt", "html"])
def test_an_email_says_what_kind_of_outage_it_is_and_speaks_no_python(intel: Renderer, part: str) -> None:
    facts = context("full")
    facts["outages"][0]["summary"] = "Generator failed its start"
    facts["intel_requests"][0]["results"] = {"crew_on_site": True, "road_open": False}
    text = intel.render("intel", "email", facts)[part]
    seen = Page(text).seen if part == "html" else text
    for fact in ("Generator failed its start", "Crew on site: yes", "Road open: no"):
        assert fact in seen


@pytest.mark.parametrize("event", ["incident.updated", "intel.completed"])
def test_a_long_status_leaves_room_in_the_subject(intel: Renderer, event: str) -> None:
    facts = context("full")
    facts["unit"] = facts["unit"].model_copy(update={"event": event})
    facts["intel_request"] = {"intel_request_type": "field_visit", "status": "waiting_" * 20}
    facts["incident"]["status"] = "waiting_" * 20
    subject = intel.render("intel", "email", facts)["subject"]
    assert "ZH-012 Paradeplatz and 2 more, Bahnhofstrasse 12" in subject
    assert len(subject) < 110


@pytest.mark.parametrize("name", FIXTURES)
def test_a_page_that_was_saved_says_its_character_set_where_browsers_look_for_it(intel: Renderer, name: str) -> None:
    assert b'<meta charset="utf-8">' in intel.render("intel", "email", context(name))["html"].encode()[:1024]


def test_styles_are_inlined_and_the_dark_ones_stay(intel: Renderer) -> None:
    html = intel.render("intel", "email", context("full"))["html"]
    assert '<h1 style="' in html
    assert "prefers-color-scheme: dark" in html


@given(st.text())
def test_free_text_arrives_exactly_and_is_never_evaluated(intel: Renderer, text: str) -> None:
    facts = context("full")
    for asked in (text, f"{text}</script></title><script>{{{{7*7}}}}{{% if %}}"):
        facts["assets"] = [{"asset_id": "a", "asset_name": asked}]
        facts["incident"]["status"] = asked
        data = orjson.loads(intel.render("intel", "webhook", facts)["json"])["data"]
        assert data["assets"][0]["asset_name"] == data["incident"]["status"] == asked
        assert "script" not in Page(intel.render("intel", "email", facts)["html"]).tags


@given(st.data())
def test_no_missing_or_odd_field_of_a_record_kills_a_message(intel: Renderer, data: st.DataObject) -> None:
    facts = context("full")
    for fact in ("organization", "incident", "intel_requests", "assets", "outages"):
        facts[fact] = _with_holes(facts[fact], data, keep=True)
    intel.render("intel", "webhook", facts)
    intel.render("intel", "email", facts)


def _with_holes(value: Any, data: st.DataObject, *, keep: bool = False) -> Any:
    if not keep and data.draw(st.booleans()):
        return data.draw(st.sampled_from([None, "", "x", 7, 1.5, {}, [], {"a": "b"}]))
    if isinstance(value, dict):
        kept = {name: member for name, member in value.items() if data.draw(st.booleans())}
        return {name: _with_holes(member, data) for name, member in kept.items()}
    if isinstance(value, list):
        return [_with_holes(member, data, keep=isinstance(member, dict)) for member in value]
    return value


class Missing:
    """What a source that could not be reached is."""

    def __bool__(self) -> bool:
        return False


def test_no_missing_source_kills_a_message(intel: Renderer) -> None:
    sources = ("organization", "intel_request", "intel_requests", "parent_intel_requests", "assets")
    for name in (*sources, "outages", "internet_outages", "address"):
        for channel in CHANNELS:
            intel.render("intel", channel, context("full") | {name: Missing()})


def test_the_same_facts_are_the_same_bytes(intel: Renderer) -> None:
    for channel in CHANNELS:
        assert intel.render("intel", channel, context("full")) == intel.render("intel", channel, context("full"))


@pytest.mark.parametrize("channel", ["webhook", "email"])
def test_a_rendering_leaves_no_cycles_behind(intel: Renderer, channel: str) -> None:
    """They would pile up, with the facts that they name, until everything in the process is looked at."""
    facts = context("full")
    intel.render("intel", channel, facts)
    gc.collect()
    gc.disable()
    try:
        for _ in range(10):
            intel.render("intel", channel, facts)
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_the_shipped_webhook_reads_every_source_and_no_destination(intel: Renderer) -> None:
    assert intel.names("intel", "webhook") == {
        *("unit", "organization", "incident", "intel_request", "intel_requests", "parent_intel_requests"),
        *("assets", "outages", "internet_outages", "address", "degraded"),
    }


def test_the_documented_example_is_what_is_sent_and_verifies(intel: Renderer) -> None:
    request = (REFERENCE / "webhook.md").read_text().partition("```http\n")[2].partition("\n```")[0]
    head, _, body = request.partition("\n\n")
    assert orjson.loads(body) == orjson.loads(intel.render("intel", "webhook", context("small"))["json"])
    headers = dict(line.split(": ", 1) for line in head.splitlines()[1:])
    sent = datetime.fromtimestamp(int(headers["webhook-timestamp"]), UTC)
    signed = Webhook("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").sign(headers["webhook-id"], sent, body)
    assert headers["webhook-signature"] == signed
    assert headers["idempotency-key"] == headers["webhook-id"]
