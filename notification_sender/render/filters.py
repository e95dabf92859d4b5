"""What templates say with: records come from elsewhere, so what is missing, null or of another type is nothing."""

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import orjson
from jinja2 import Undefined

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def at(record: Any, path: str) -> Any:
    """What is found at ``location.thoroughfare``; None where a step is missing."""
    for name in path.split("."):
        if not record:  # raises for a name that is not in the context: a misspelt one must not say nothing
            return None
        record = record.get(name) if isinstance(record, dict) else None
    return record


def pick(record: Any, *names: str) -> dict[str, Any] | None:
    """Only these fields, each of them present, and ``geojson`` an object; None of no record."""
    if isinstance(record, dict):
        picked = {name: record.get(name) for name in names}
        if "geojson" in picked:
            picked["geojson"] = geometry(picked["geojson"])
        return picked
    bool(record)  # raises for a name that is not in the context
    return None


def picks(records: Any, *names: str) -> list[dict[str, Any] | None]:
    """``pick`` of each; nothing of nothing."""
    return [pick(record, *names) for record in records or ()]


def tojson(value: Any) -> str:
    """Compact JSON; what is no finite number is null.

    Twice as fast as Jinja's own, and no markup: in an HTML part it is escaped like any text.
    """
    if isinstance(value, Undefined):
        return str(value)  # raises, and names the variable; orjson would only name its type
    return orjson.dumps(value).decode()


def geometry(value: Any) -> dict[str, Any] | None:
    """GeoJSON as an object, where it may be a string."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, dict) else None


def latlon(value: Any) -> str:
    """``47.37690, 8.54170`` of a GeoJSON point (five decimals are a metre), else nothing."""
    match geometry(value):
        case {"type": "Point", "coordinates": [int() | float() as lon, int() | float() as lat, *_]}:
            return f"{lat:.5f}, {lon:.5f}" if math.isfinite(lat) and math.isfinite(lon) else ""
    return ""


def line(value: Any) -> str:
    """One line of text; nothing of None."""
    return "" if value is None else " ".join(str(value).split())


def label(value: Any) -> str:
    """``IN_PROGRESS`` → ``In progress``: words that machines write in any letter case."""
    return line(value).replace("_", " ").capitalize()


def zone(name: Any) -> str:
    """The name of a time zone, ``UTC`` where there is no such zone."""
    return _zone(name if isinstance(name, str) else "UTC").key


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    # Its own cache keeps eight; the rest would be read from disk for each notification.
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return ZoneInfo("UTC")


def in_zone(value: Any, name: str) -> str:
    """``6 Mar 2026, 09:26 CET`` of an RFC 3339 time (without an offset: UTC); other text as it is."""
    if isinstance(value, str) and value[10:11] not in {"T", "t", " "}:  # 20260306 may well be a number
        return line(value)
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(value)
        local = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).astimezone(_zone(name))
    except (ValueError, TypeError, OverflowError):
        return line(value)
    short = local.tzname() or ""
    suffix = f"UTC{short}" if short[:1] in "+-" else short
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}, {local:%H:%M} {suffix}"


FILTERS = {each.__name__: each for each in (at, pick, picks, tojson, geometry, latlon, line, label, zone, in_zone)}
