"""What the internal APIs say of one organization, as odd as databases and people make it."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aiohttp import web

from tests.strangers.draft import Draft, Family

records = Family("record")

NO_UTF8, NOT_A_NUMBER = "@no-utf8@", "@raw:"
TEXTS = ("name", "status", "thoroughfare", "summary", "asset_name", "asset_type_name", "provider")
LONE = ("\ud83d", "\udc00", "half \ud83d of one", "\udfff\ud800")
UNCLOSED = ("<b>", "<div><p>", "<a href='", "<!--", "<style>", "<table><tr><td>", "&#x", "<![CDATA[", "</p")
INVISIBLE = ("\u202e", "\u2066", "\u200b", "\u200d", "\ufeff", "\u2028", "\x85", "\x00", "\x1b[31m", "\U000e0001")


def answer(value: object, status: int = 200) -> web.Response:
    """As the sandbox's own, which refuses to write what other APIs do write."""
    return web.Response(body=_written(value), status=status, content_type="application/json")


def _written(value: object) -> bytes:
    """``@raw:1e999`` is written without its quotes, ``@no-utf8@`` as bytes that are none."""
    text = json.dumps(value).encode()
    parts = text.split(f'"{NOT_A_NUMBER}'.encode())
    for place, part in enumerate(parts[1:], 1):
        number, _, rest = part.partition(b'"')
        parts[place] = number + rest
    return b"".join(parts).replace(NO_UTF8.encode(), b"\xff\xfe")


def bulk_that_refuses(ids: set[str]) -> Callable[[bytes, str, Mapping[str, Any]], web.Response]:
    """A bulk call of which one id is in ``ids`` is refused as a whole (422)."""

    def bulk(body: bytes, field: str, records: Mapping[str, Any]) -> web.Response:
        asked = orjson.loads(body)[field]
        if ids.intersection(asked):
            return answer({"detail": "one of them is no id"}, 422)
        return answer([records[it] for it in dict.fromkeys(asked) if it in records])

    return bulk


def _some_text(odd: Draft, text: object) -> None:
    """In a place where a text is expected."""
    places: list[tuple[dict[str, Any], str]] = [
        (odd.organization, "name"),
        (odd.incident, "status"),
        (odd.incident["location"], "thoroughfare"),
        (odd.incident["outages"][0], "summary"),
        (odd.incident["outages"][0], "provider"),
        (odd.asset, "asset_name"),
        (odd.asset, "thoroughfare"),
    ]
    record, name = odd.dice.choice(places)
    record[name] = text


def _some_record(odd: Draft) -> dict[str, Any]:
    return odd.dice.choice((odd.organization, odd.incident, odd.asset, odd.incident["outages"][0]))


@records.kind
def lone_surrogates(odd: Draft) -> None:
    _some_text(odd, odd.dice.choice(LONE))


@records.kind
def lone_surrogates_in_what_is_no_text(odd: Draft) -> None:
    _some_record(odd)[odd.dice.choice(("notes", "\ud83d"))] = {"\udc00": ["\ud83d"]}


@records.kind
def integers_beyond_64_bits(odd: Draft) -> None:
    _some_record(odd)["serial"] = odd.dice.choice((2**63, 2**64, -(2**63) - 1, 10**30, 10**400, 2**53 + 1))


@records.kind
def integers_where_texts_are(odd: Draft) -> None:
    _some_text(odd, odd.dice.choice((0, -1, 2**64, 10**30, True, 1.5)))


@records.kind
def numbers_that_are_none(odd: Draft) -> None:
    text = odd.dice.choice(
        ("NaN", "Infinity", "1e999", "-1e999", "-0", "1e-999", "9" * 4000, "0.1000000000000000055511")
    )
    _some_record(odd)["figure"] = NOT_A_NUMBER + text


@records.kind
def no_utf8(odd: Draft) -> None:
    _some_text(odd, NO_UTF8)


@records.kind
def no_json(odd: Draft) -> None:
    _some_record(odd)["figure"] = NOT_A_NUMBER + odd.dice.choice(
        ("", "]", "{", "undefined", "'a'", "01", "1,,2", "\\u0000")
    )


@records.kind
def depth(odd: Draft) -> None:
    value: Any = 1
    for _ in range(odd.dice.choice((31, 33, 64, 128, 254, 255, 256, 300, 500))):
        value = odd.dice.choice(([value], {"a": value}))
    odd.fresh()
    _some_record(odd)["notes"] = value


@records.kind
def an_organization_that_is_missing(odd: Draft) -> None:
    del odd.dice.choice((odd.organization, odd.incident, odd.asset))["organization_id"]


@records.kind
def an_organization_that_is_another(odd: Draft) -> None:
    others = (
        "odd-nobody",
        None,
        7,
        "",
        odd.organization["organization_id"].upper(),
        [odd.organization["organization_id"]],
    )
    odd.dice.choice((odd.organization, odd.incident, odd.asset, odd.incident["outages"][0]))["organization_id"] = (
        odd.dice.choice(others)
    )


@records.kind
def letter_case(odd: Draft) -> None:
    odd.incident["status"] = odd.dice.choice(
        ("OPEN", "oPeN", "ﬁnished", "İ", "ẞ", " open ", "open\n", "", "unheard-of")
    )


@records.kind
def nothing_in_some_places(odd: Draft) -> None:
    record = _some_record(odd)
    for name in [it for it in record if not it.endswith("_id") and odd.dice.random() < 1 / 2]:
        record[name] = None


@records.kind
def nothing_in_every_place(odd: Draft) -> None:
    record = _some_record(odd)
    record.update(dict.fromkeys([it for it in record if not it.endswith("_id")]))


@records.kind
def another_type_in_some_place(odd: Draft) -> None:
    record = _some_record(odd)
    record[odd.dice.choice(sorted(record))] = odd.dice.choice(([], {}, 0, "", True, [None], {"a": [1]}, 2**70))


@records.kind
def huge_texts(odd: Draft) -> None:
    _some_text(odd, odd.dice.choice(("x", "é", "\x01", "\U0001f4a9", "a b ")) * odd.dice.choice((70_000, 250_000)))


@records.kind
def notes_of_megabytes(odd: Draft) -> None:
    _some_record(odd)["notes"] = odd.dice.choice(("x" * 5_000_000, "\x01" * 700_000, ["x"] * 300_000))


@records.kind
def timezones(odd: Draft) -> None:
    texts = (
        "Mars/Olympus",
        "",
        "/etc/passwd",
        "../UTC",
        "UTC+25",
        "utc",
        "Europe/\u0000",
        "é",
        None,
        7,
        ["UTC"],
        "posixrules",
    )
    odd.organization["timezone"] = odd.dice.choice(texts)
    odd.by_email()


@records.kind
def a_timezone_of_64_kb(odd: Draft) -> None:
    odd.organization["timezone"] = odd.dice.choice(("a/" * 32_000, "../" * 21_000, "x" * 65_536))
    odd.by_email()


@records.kind
def event_patterns(odd: Draft) -> None:
    patterns = (["*a" * 2000 + "b"], ["*"] * 1000, "incident.*", [None], ["["], [""], {"a": 1}, ["incident.updated"])
    odd.unit["event"] = odd.dice.choice(("a" * 200, "incident.updated"))
    odd.destination["events"] = odd.dice.choice(patterns)
    odd.by_record()


@records.rare
def an_event_pattern_of_16_kb(odd: Draft) -> None:
    odd.unit["event"] = "a" * 256
    odd.destination["events"] = ["*a" * 8000 + "b"]
    odd.by_record()


@records.kind
def unclosed_markup(odd: Draft) -> None:
    odd.by_email()
    _some_text(odd, odd.dice.choice(UNCLOSED) * odd.dice.choice((1, 300, 3000)))


@records.rare
def unclosed_markup_by_the_ten_thousand(odd: Draft) -> None:
    odd.by_email()
    odd.incident["location"]["thoroughfare"] = "<b>" * 20_000


@records.kind
def invisible_characters(odd: Draft) -> None:
    if odd.dice.random() < 1 / 2:
        odd.by_email()
    _some_text(odd, "".join(odd.dice.choices(INVISIBLE, k=20)) + "text\u202c")


@records.kind
def subjects_of_no_ascii(odd: Draft) -> None:
    odd.by_email()
    letters = "aé \u4e2d\U0001f468\u200d\U0001f469e\u0301 \t=?_"
    odd.incident["location"]["thoroughfare"] = "".join(odd.dice.choices(letters, k=odd.dice.randrange(1, 200)))


@records.kind
def destinations_of_a_record(odd: Draft) -> None:
    parts: tuple[dict[str, Any], ...] = (
        {"serial": 2**64},
        {"notes": "x" * 400_000},
        {"notes": "\x01" * 100_000},
        {"deep": json.loads("[" * 40 + "]" * 40)},
        {"label": "\ud83d"},
        {"channel": "sms"},
        {"destination_id": None},
        {"url": 7},
        {"rate": {"per_minute": "many"}},
        {"enabled": "no"},
    )
    odd.destination.update(odd.dice.choice(parts))
    odd.by_record()


@records.kind
def forty_destinations_of_a_record(odd: Draft) -> None:
    hook = odd.destination
    odd.unit["destinations"] = [hook | {"destination_id": f"odd-{odd.number}-{place}"} for place in range(40)]
    part = odd.dice.choice(
        ({"serial": 2**64}, {"label": "\ud83d"}, {"destination_id": 7}, {"channel": None}, {"a": "\x01" * 90_000})
    )
    odd.unit["destinations"][odd.dice.randrange(40)] |= part
    odd.by_record()


@records.kind
def destinations_that_are_no_list(odd: Draft) -> None:
    odd.by_record()
    odd.organization["destinations"] = odd.dice.choice(
        (None, {}, "all", [None, 7, []], {"a": odd.organization["destinations"]})
    )


@records.kind
def places(odd: Draft) -> None:
    points = (
        "{",
        '{"type": "Point"}',
        {"type": "Point", "coordinates": ["13", "52"]},
        {"coordinates": [1e308, 91]},
        [1, 2],
    )
    points += (
        {"type": "Point", "coordinates": [NOT_A_NUMBER + "NaN", 5]},
        {"type": "Point", "coordinates": [10**30, 10**30]},
        "[" * 1000,
    )
    odd.dice.choice((odd.incident["location"], odd.asset))["geojson"] = odd.dice.choice(points)


@records.kind
def times(odd: Draft) -> None:
    texts = (
        "yesterday",
        "",
        0,
        1772784000,
        "0000-00-00",
        "10000-01-01T00:00:00Z",
        "2026-03-06",
        "9999-12-31T23:59:59-12:00",
        None,
    )
    for name in ("created", "modified"):
        odd.incident[name] = odd.dice.choice(texts)
    odd.by_email()


@records.kind
def a_bulk_call_that_is_refused(odd: Draft) -> None:
    odd.refused_ids.add(odd.asset["asset_id"])
    odd.fresh()


@records.kind
def ids_that_no_record_has(odd: Draft) -> None:
    odd.fresh()
    odd.incident["assets"] = [{"asset_id": it} for it in ("", "\u0000", "é/..", "x" * 3000, "\ud83d", "nowhere")]


@records.kind
def another_id_than_asked_for(odd: Draft) -> None:
    odd.dice.choice((odd.incident, odd.asset)).update({"incident_id": "inc-other", "asset_id": "ast-other"})


@records.kind
def rows_by_the_ten_thousand(odd: Draft) -> None:
    odd.fresh()
    row = odd.incident["outages"][0]
    odd.incident["outages"] = [row | {"outage_id": f"o{number}"} for number in range(odd.dice.choice((1000, 10_000)))]
