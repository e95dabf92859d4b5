"""Filters for templates. They accept records of any form: a missing value, null or another type gives nothing."""

import math
from datetime import datetime
from functools import lru_cache
from importlib import resources
from time import monotonic
from typing import Any
from zoneinfo import ZoneInfo

import orjson
from jinja2 import Undefined

from notification_sender.model.timestamps import in_utc, parse_rfc3339

_LONGEST_PATH = 1024

MOST_PICKED = 1024
"""Records whose picked fields are kept. The notifications about one event pick the same fields of the same records."""

FEW = MOST_PICKED // 4
"""Records of one list that are kept."""

LONGEST = 5.0
"""Seconds for which any is kept. A record may be large, and the cache of the process keeps it no longer either."""

_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


def at(record: Any, path: str) -> Any:
    """Return the value at a path such as ``location.thoroughfare``; None where a step is missing."""
    for name in _steps(path):
        if not record:  # raises for an undefined name, so that a misspelt one is noticed
            return None
        record = record.get(name) if isinstance(record, dict) else None
    return record


@lru_cache(maxsize=1024)
def _steps(path: str) -> list[str]:
    return path[:_LONGEST_PATH].split(".")


class _Picked:
    """Picked fields by the identity of their record, and with the record: units share it, and nobody changes it."""

    def __init__(self) -> None:
        self.made: dict[tuple[int, tuple[str, ...]], tuple[Any, dict[str, Any] | None]] = {}
        self._until = 0.0

    def keep(self, record: Any, names: tuple[str, ...], picked: dict[str, Any] | None) -> None:
        now = monotonic()
        if now > self._until or len(self.made) >= MOST_PICKED:
            self.made.clear()
            self._until = now + LONGEST
        self.made[id(record), names] = (record, picked)


_picked = _Picked()


def pick(record: Any, *names: str) -> dict[str, Any] | None:
    """Return only these fields, all of them present, with ``geojson`` as an object; None if there is no record."""
    known = _picked.made.get((id(record), names))
    if known is not None:
        return known[1]
    picked = _pick(record, names)
    _picked.keep(record, names, picked)
    return picked


def _pick(record: Any, names: tuple[str, ...]) -> dict[str, Any] | None:
    if isinstance(record, dict):
        picked: dict[str, Any] = dict(zip(names, map(record.get, names), strict=True))
        if "geojson" in picked:
            picked["geojson"] = geometry(picked["geojson"])
        return picked
    bool(record)  # raises for an undefined name
    return None


def picks(records: Any, *names: str) -> list[dict[str, Any] | None]:
    """Apply ``pick`` to each record."""
    records = records or ()
    if isinstance(records, list) and len(records) <= FEW:
        made = _picked.made
        return [
            # As ``pick``, without its call: most records are known.
            known[1] if (known := made.get((id(record), names))) is not None else pick(record, *names)
            for record in records
        ]
    return [_pick(record, names) for record in records]  # so many would push out those of all others


def tojson(value: Any) -> str:
    """Write compact JSON. A number that is not finite becomes null.

    It is twice as fast as Jinja's own. It returns no markup, so an HTML part escapes it like any text.
    """
    if isinstance(value, Undefined):
        return str(value)  # raises, and names the variable; orjson would name only its type
    return orjson.dumps(value).decode()


def geometry(value: Any) -> dict[str, Any] | None:
    """Return GeoJSON as an object. It may be given as a string."""
    if isinstance(value, str):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return None
    return value if isinstance(value, dict) else None


def latlon(value: Any) -> str:
    """Write a GeoJSON point as ``47.37690, 8.54170`` (five decimals are a metre); nothing for other values."""
    match geometry(value):
        case {"type": "Point", "coordinates": [int() | float() as lon, int() | float() as lat, *_]}:
            return f"{lat:.5f}, {lon:.5f}" if math.isfinite(lat) and math.isfinite(lon) else ""
    return ""


def line(value: Any) -> str:
    """Write a value in one line: nothing for None, ``yes`` or ``no`` for a truth value."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else " ".join(str(value).split())


def label(value: Any) -> str:
    """Write a constant such as ``IN_PROGRESS`` as ``In progress``."""
    return line(value).replace("_", " ").capitalize()


def is_zone(name: Any) -> bool:
    """Whether a time zone has this name."""
    return isinstance(name, str) and name in _ZONES


def zone(name: Any) -> str:
    """Return the name of a time zone; ``UTC`` where no zone has this name."""
    return name if is_zone(name) else "UTC"


# Checked in this set, because ZoneInfo would make a path from a name that a stranger chose. It is a package's list, the
# same on every machine: ``available_timezones`` opens each of the system's files as well, for 10 ms of a start.
_ZONES = frozenset(resources.files("tzdata").joinpath("zones").read_text(encoding="ascii").split())


@lru_cache(maxsize=1024)
def _zone(name: str) -> ZoneInfo:
    # The cache of ZoneInfo keeps eight zones. Others would be read from disk for each notification.
    return ZoneInfo(zone(name))


def in_zone(value: Any, name: str) -> str:
    """Write an RFC 3339 time as ``6 Mar 2026, 09:26 CET`` (without an offset: UTC); leave other text as it is."""
    if isinstance(value, str) and value[10:11] not in {"T", "t", " "}:  # 20260306 may be a number
        return line(value)
    try:
        moment = value if isinstance(value, datetime) else parse_rfc3339(value)
        if moment is None:
            return line(value)
        local = in_utc(moment).astimezone(_zone(name))
    except (ValueError, TypeError, OverflowError):
        return line(value)
    short = local.tzname() or ""
    suffix = f"UTC{short}" if short[:1] in "+-" else short
    return f"{local.day} {_MONTHS[local.month - 1]} {local.year}, {local:%H:%M} {suffix}"


FILTERS = {each.__name__: each for each in (at, pick, picks, tojson, geometry, latlon, line, label, zone, in_zone)}
