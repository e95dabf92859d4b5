"""Normalizes API answers: every field of the contract exists, lists are lists, and no id is repeated."""

import math
from collections.abc import Iterable
from typing import Any

from notification_sender.context.cache.facts import CountForeign
from notification_sender.context.upstream.errors import BadAnswer
from notification_sender.context.upstream.json_reading import read

Record = dict[str, Any]

MOST_DEPENDENTS = 1000
"""Dependents that are kept at most: ten bulk calls. A recursive query without a limit returns hundreds of thousands."""

MOST_ASSETS = 1000


def own(rows: object, organization_id: str, source: str, count_foreign: CountForeign) -> list[Record]:
    """Return the records of this organization.

    A record without an organization is dropped like a foreign one: by contract each has one, and a leak is worse than
    a gap.
    """
    return _kept(rows, (organization_id,), source, count_foreign)


def parts(rows: object, organization_id: str, source: str, count_foreign: CountForeign) -> list[Record]:
    """Return the parts of an own record (outages). A part may leave out its organization."""
    return _kept(rows, (organization_id, None), source, count_foreign)


def _kept(rows: object, owners: tuple[str | None, ...], source: str, count_foreign: CountForeign) -> list[Record]:
    found = objects(rows)
    kept = [row for row in found if row.get("organization_id") in owners]
    for _ in range(len(found) - len(kept)):
        count_foreign(source)
    return kept


def objects(rows: object) -> list[Record]:
    """Return the objects of a list; anything else has none."""
    return [row for row in rows if isinstance(row, dict)] if isinstance(rows, list) else []


def by_id(rows: Iterable[Record], name: str) -> dict[str, Record]:
    """Return records by the id in field ``name``. A record without one is dropped."""
    return {row[name]: row for row in rows if isinstance(row.get(name), str)}


def organization(record: Record) -> Record:
    """Normalize an organization. ``metadata`` is an object, ``destinations`` a list of objects."""
    return _filled(record, "organization_id", "name", "timezone") | {
        "metadata": _object(record.get("metadata")),
        "destinations": objects(record.get("destinations")),
    }


def incident(record: Record) -> Record:
    """Normalize an incident. ``location`` is an object, ``geojson`` an object or None, ``place`` a text.

    ``dependents`` of the answer has one entry for each path. ``dependent_ids``, ``further_dependent_ids`` and
    ``dependent_count`` replace it. ``asset_ids`` and ``asset_count`` replace the assets.
    """
    location = _filled(_object(record.get("location")), "location_id", "thoroughfare")
    location["geojson"] = geojson(location.get("geojson"))
    asset_ids = list(by_id(objects(record.get("assets")), "asset_id"))
    return _with_dependents(record, "incident_id") | {
        "location": location,
        "place": _place(location["geojson"]),
        "outages": objects(record.get("outages")),
        "internet_outages": objects(record.get("internet_outages")),
        "asset_ids": asset_ids[:MOST_ASSETS],
        "asset_count": len(asset_ids),
    }


def intel_request(record: Record) -> Record:
    """Normalize an intel request. ``results`` is an object, ``asset_ids`` a list; ``dependents`` as of an incident."""
    asset_ids = record.get("asset_ids")
    return _with_dependents(record, "intel_request_id", "intel_request_type", "incident_id") | {
        "results": _object(record.get("results")),
        "asset_ids": [it for it in asset_ids if isinstance(it, str)] if isinstance(asset_ids, list) else [],
    }


def asset(record: Record) -> Record:
    """Normalize an asset. ``geojson`` is an object or None."""
    filled = _filled(record, "asset_id", "organization_id", "asset_name", "asset_type_name", "thoroughfare")
    return filled | {"geojson": geojson(record.get("geojson"))}


def current_entry(entry: Record, organization_id: str, count_foreign: CountForeign) -> Record | None:
    """Normalize a current entry: its incident as ``incident`` does, the other records by id. None: it is unusable.

    The freshness fence reads ``modified``, copied from the incident, and ``cached_at``.
    """
    about = own([entry.get("incident")], organization_id, "current_entry", count_foreign)
    if not about:
        return None
    found = incident(about[0])
    for name in ("outages", "internet_outages"):
        if isinstance(entry.get(name), list):
            found[name] = objects(entry[name])
        found[name] = parts(found[name], organization_id, name, count_foreign)
    assets = own(entry.get("assets"), organization_id, "assets", count_foreign)
    direct = own(entry.get("intel_requests"), organization_id, "intel_requests", count_foreign)
    further = own(entry.get("parent_intel_requests"), organization_id, "intel_requests", count_foreign)
    found["dependent_ids"] = list(by_id(direct, "intel_request_id"))
    found["further_dependent_ids"] = list(by_id(further, "intel_request_id"))
    found["dependent_count"] = len(direct) + len(further)
    if isinstance(entry.get("assets"), list):
        found["asset_ids"] = list(by_id(assets, "asset_id"))
        found["asset_count"] = len(found["asset_ids"])
    return {
        "incident": found,
        "assets": by_id(map(asset, assets), "asset_id"),
        "intel_requests": by_id(map(intel_request, direct + further), "intel_request_id"),
        "modified": found["modified"],
        "cached_at": entry.get("cached_at"),
    }


def geojson(value: object) -> Record | None:
    """Return a GeoJSON object, which the API may send as a string; None: it is neither."""
    if isinstance(value, str):
        try:
            value = read(value.encode())
        except BadAnswer:
            return None
    return value if isinstance(value, dict) else None


def _place(point: Record | None) -> str | None:
    """Return ``lat,lon`` of a point to four decimals (11 m), so that neighbours share one address lookup."""
    match (point or {}).get("coordinates"):
        case [int() | float() as longitude, int() | float() as latitude, *_]:
            if math.isfinite(longitude) and abs(latitude) <= 90:  # noqa: PLR2004 - the poles
                # Adding 0 turns -0 into 0, which is the same place.
                return f"{round(latitude, 4) + 0.0:.4f},{round(longitude, 4) + 0.0:.4f}"
    return None


def _with_dependents(record: Record, id_name: str, *names: str) -> Record:
    filled = _filled(record, id_name, "organization_id", "status", "created", "modified", *names)
    nearest = _nearest(filled.pop("dependents", None), filled[id_name])
    ids = sorted(nearest, key=nearest.__getitem__)[:MOST_DEPENDENTS]
    status = filled["status"]
    return filled | {
        "status": status.lower() if isinstance(status, str) else None,
        "original_status": status,
        "dependent_ids": [id_ for id_ in ids if nearest[id_] <= 1],
        "further_dependent_ids": [id_ for id_ in ids if nearest[id_] > 1],
        "dependent_count": len(nearest),
    }


def _nearest(rows: object, root: object) -> dict[str, int]:
    """Return the intel requests that wait for ``root``, with their shortest distance; 1: for the root itself."""
    nearest: dict[str, int] = {}
    for row in objects(rows):
        id_ = row.get("dependent_id")
        kind = str(row.get("dependent_type")).lower()
        if not isinstance(id_, str) or id_ == root or row.get("deleted") or kind != "intel_requests":
            continue
        distance = _distance(row, root)
        nearest[id_] = min(distance, nearest.get(id_, distance))
    return nearest


def _distance(row: Record, root: object) -> int:
    distance = row.get("dependency_distance")
    if isinstance(distance, int):
        return distance
    return 1 if row.get("blocker_id") == root else 2


def _filled(record: Record, *names: str) -> Record:
    return dict.fromkeys(names) | record


def _object(value: object) -> Record:
    return value if isinstance(value, dict) else {}
