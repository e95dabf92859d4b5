"""The filters of templates: what is missing or odd says nothing."""

from time import monotonic
from typing import Any

import pytest

from notification_sender.render import filters
from notification_sender.render.filters import at, in_zone, label, latlon, pick, picks, zone


@pytest.mark.parametrize(
    ("value", "name", "said"),
    [
        ("2026-03-06T08:26:00Z", "Europe/Zurich", "6 Mar 2026, 09:26 CET"),
        ("2026-07-06T08:26:00+02:00", "Europe/Zurich", "6 Jul 2026, 08:26 CEST"),
        ("2026-03-06T08:26:00", "America/Sao_Paulo", "6 Mar 2026, 05:26 UTC-03"),
        ("2026-03-06T08:26:00Z", "Mars/Olympus", "6 Mar 2026, 08:26 UTC"),
        ("9999-12-31T23:59:59Z", "Asia/Tokyo", "9999-12-31T23:59:59Z"),
        ("20260306", "Europe/Zurich", "20260306"),
        ("yesterday\nnoon", "Europe/Zurich", "yesterday noon"),
        (1240, "Europe/Zurich", "1240"),
        (None, "Europe/Zurich", ""),
    ],
)
def test_a_time_is_written_in_the_zone_of_the_organization(value: Any, name: str, said: str) -> None:
    assert in_zone(value, name) == said


@pytest.mark.parametrize("name", [None, 7, "", "..", "/etc/passwd", "Mars/Olympus", "\x00", "a" * 5000, ["UTC"]])
def test_an_unknown_zone_is_utc(name: Any) -> None:
    assert zone(name) == "UTC"


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({"type": "Point", "coordinates": [8.5417, 47.3769, 400]}, "47.37690, 8.54170"),
        ('{"type":"Point","coordinates":[8,47]}', "47.00000, 8.00000"),
        ({"type": "Polygon", "coordinates": [[[8, 47]]]}, ""),
        ({"type": "Point", "coordinates": ["8", None]}, ""),
        ("not json", ""),
        (None, ""),
    ],
)
def test_a_point_is_written_latitude_first(value: Any, said: str) -> None:
    assert latlon(value) == said


def test_a_constant_becomes_words() -> None:
    assert [label(word) for word in ("IN_PROGRESS", "open", None, 7)] == ["In progress", "Open", "", "7"]


def test_a_path_ends_where_something_is_missing() -> None:
    record = {"a": {"b": 1, "c": None, "d": "text"}}
    assert [at(record, path) for path in ("a.b", "a.c.x", "a.d.x", "z", "a.z.y")] == [1, None, None, None, None]


def test_pick_returns_all_fields_and_geojson_as_an_object() -> None:
    point = {"type": "Point", "coordinates": [8, 47]}
    for written in (point, '{"type":"Point","coordinates":[8,47]}'):
        assert pick({"a": 1, "b": 2, "geojson": written}, "a", "c", "geojson") == {"a": 1, "c": None, "geojson": point}
    assert pick({"geojson": "nowhere"}, "geojson") == {"geojson": None}
    assert [picks(rows, "a") for rows in (None, [], [{"a": 1, "b": 2}, None, "x"])] == [[], [], [{"a": 1}, None, None]]


def test_what_was_picked_of_a_record_is_kept_for_a_few_seconds_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    """A record may have a megabyte, and it is kept with what was picked of it."""
    now = [monotonic() + 1e6]
    monkeypatch.setattr(filters, "monotonic", lambda: now[0])
    monkeypatch.setattr(filters, "_picked", filters._Picked())
    record = {"a": 1}
    assert pick(record, "a") is pick(record, "a")
    now[0] += filters.LONGEST + 1
    pick({"a": 2}, "a")
    assert all(kept is not record for kept, _ in filters._picked.made.values())


def test_a_long_list_pushes_out_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filters, "_picked", filters._Picked())
    record = {"a": 1}
    kept = pick(record, "a")
    assert picks([{"a": number} for number in range(2000)], "a")[1999] == {"a": 1999}
    assert pick(record, "a") is kept
    assert len(filters._picked.made) == 1
