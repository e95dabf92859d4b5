"""Builds the records of the simulated platform. Each has its own dice, so that a new record changes no other."""

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from notification_sender.model.timestamps import format_rfc3339
from notification_sender.sandbox.platform.places import (
    ASSETS,
    INCIDENT_STATUSES,
    INTEL_REQUESTS,
    INTEL_STATUSES,
    ORGANIZATIONS,
    OUTAGES,
    PLACES,
    PROVIDERS,
    Place,
)

Record = dict[str, Any]

DAWN = datetime(2026, 3, 6, 8, 0, tzinfo=UTC)
"""The fixed time at which the world is made: the same seed gives the same bytes on any day."""


def shortly_before(dice: Random, moment: datetime, hours: int = 12) -> datetime:
    """Return a time in the ``hours`` before ``moment``. Every third time has a fraction of a second."""
    fraction = dice.choice((0, 0, 120_000))
    return moment - timedelta(seconds=dice.randrange(hours * 3600), microseconds=fraction)


def organization(number: int, webhook_url: Callable[[str], str]) -> Record:
    """Return an organization. One in four has no flag for the current-incidents cache (as if false), one has false."""
    slug, name = ORGANIZATIONS[number % len(ORGANIZATIONS)]
    if number >= len(ORGANIZATIONS):
        slug, name = f"{slug}-{number}", f"{name} {number}"
    return {
        "organization_id": slug,
        "name": name,
        "timezone": PLACES[number % len(PLACES)].timezone,
        "metadata": (
            {"use_current_incidents_cache": True},
            {"use_current_incidents_cache": True},
            {"use_current_incidents_cache": False},
            {},
        )[number % 4],
        "destinations": _destinations(number, slug, webhook_url),
    }


def _destinations(number: int, slug: str, webhook_url: Callable[[str], str]) -> list[Record]:
    hook = f"hook-{slug}"
    webhook: Record = {
        "destination_id": hook,
        "channel": "webhook",
        "url": webhook_url(hook),
        "template": "intel",
        "secret": hook,
    }
    if number % 3 == 1:
        webhook |= {"auth": "outbound_token", "events": ["incident.*", "intel.*"]}
    email: Record = {"destination_id": f"mail-{slug}", "channel": "email", "to": f"noc@{slug}.example.com"}
    if number % 2:
        email |= {"template": "intel", "unsubscribe_url": f"https://{slug}.example.com/unsubscribe/7f3a"}
    return [webhook, email]


def asset(dice: Random, asset_id: str, organization_id: str, place: Place) -> Record:
    """Return a site or a link near ``place``. The geojson of every third is a string, as the API sometimes sends it."""
    kind, name = dice.choice(ASSETS)
    geojson = _line(dice, place) if kind == "Fibre link" else point(dice, place)
    number = dice.randrange(1, 90)
    return {
        "asset_id": asset_id,
        "organization_id": organization_id,
        "asset_name": name.format(city=place.city, number=number),
        "asset_type_name": kind,
        "geojson": json.dumps(geojson) if dice.random() < 1 / 3 else geojson,
        "thoroughfare": f"{place.street} {number}",
    }


def point(dice: Random, place: Place) -> Record:
    """Return a GeoJSON point within some kilometres. Longitude comes first."""
    return {"type": "Point", "coordinates": _near(dice, place)}


def _line(dice: Random, place: Place) -> Record:
    return {"type": "LineString", "coordinates": [_near(dice, place) for _ in range(3)]}


def _near(dice: Random, place: Place) -> list[float]:
    return [
        round(place.longitude + dice.uniform(-0.05, 0.05), 6),
        round(place.latitude + dice.uniform(-0.05, 0.05), 6),
    ]


def incident(dice: Random, incident_id: str, organization_id: str, place: Place) -> Record:
    """Return an incident without its assets and dependents. The world adds them."""
    modified = shortly_before(dice, DAWN)
    return {
        "incident_id": incident_id,
        "organization_id": organization_id,
        "status": dice.choice(INCIDENT_STATUSES),
        "created": format_rfc3339(shortly_before(dice, modified, hours=48)),
        "modified": format_rfc3339(modified),
        "location": {
            "location_id": f"loc-{incident_id}",
            "geojson": point(dice, place),
            "thoroughfare": f"{place.street} {dice.randrange(1, 90)}",
        },
        "outages": [_outage(dice, incident_id, organization_id, n) for n in range(dice.randrange(3))],
        "internet_outages": [_internet_outage(dice, incident_id, organization_id, place)]
        if dice.random() < 1 / 4
        else [],
        "assets": [],
    }


def _outage(dice: Random, incident_id: str, organization_id: str, number: int) -> Record:
    kind, summary = dice.choice(OUTAGES)
    return {
        "outage_id": f"out-{incident_id}-{number}",
        "organization_id": organization_id,
        "outage_type": kind,
        "status": dice.choice(INCIDENT_STATUSES),
        "provider": dice.choice(PROVIDERS),
        "summary": summary,
        "started": format_rfc3339(shortly_before(dice, DAWN)),
    }


def _internet_outage(dice: Random, incident_id: str, organization_id: str, place: Place) -> Record:
    return {
        "outage_id": f"net-{incident_id}",
        "organization_id": organization_id,
        "name": f"Routes of AS{dice.randrange(64496, 64512)} withdrawn around {place.city}",
        "status": dice.choice(INCIDENT_STATUSES),
        "started": format_rfc3339(shortly_before(dice, DAWN)),
    }


def intel_request(dice: Random, intel_request_id: str, about: Record, asset_ids: list[str]) -> Record:
    """Return an intel request about an incident. One without an answer has no results."""
    kind, summary = dice.choice(INTEL_REQUESTS)
    status = dice.choice(INTEL_STATUSES)
    created = shortly_before(dice, DAWN)
    answered = {"summary": summary, "confidence": round(dice.uniform(0.4, 1), 2), "sources": dice.randrange(1, 9)}
    return {
        "intel_request_id": intel_request_id,
        "organization_id": about["organization_id"],
        "intel_request_type": kind,
        "status": status,
        "incident_id": about["incident_id"],
        "asset_ids": asset_ids,
        "results": answered if status.casefold() == "completed" else {},
        "created": format_rfc3339(created),
        "modified": format_rfc3339(created + timedelta(minutes=dice.randrange(1, 20))),
        "dependents": [],
    }
