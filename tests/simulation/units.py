"""What is published in one seed: units of a few organizations, some of them several times, some unreadable."""

from dataclasses import dataclass
from random import Random
from typing import Any

import orjson

from notification_sender.model.timestamps import format_rfc3339
from tests.simulation.recipients import DEADLY, LATENCIES, TEMPERS
from tests.virtual import START

PUBLISHED = 60.0
"""Seconds in which all of it is."""


@dataclass(frozen=True, slots=True)
class Unit:
    name: str
    body: bytes
    at: tuple[float, ...]
    """When it is published: each time the same."""


MANY = 40
"""Destinations of a large unit: more than it tells itself."""


def drawn(dice: Random) -> list[Unit]:
    organizations = [_destinations(dice) for _ in range(dice.choice((1, 2, 3)))]
    large = dice.random() < 0.1
    spread = dice.choice((0.0, 5.0, PUBLISHED))
    units = [_unit(dice, number, organizations, spread) for number in range(dice.choice((4, 8, 12, 24)))]
    if large:
        # Of ids of their own: a limit of a destination has one rate.
        many = [_destination(dice, 100 + number) for number in range(MANY)]
        units.append(_unit(dice, len(units), [many], spread, least=MANY))
    return units


def _destinations(dice: Random) -> list[dict[str, Any]]:
    return [_destination(dice, number) for number in range(dice.choice((1, 3, 4)))]


def _destination(dice: Random, number: int) -> dict[str, Any]:
    destination = {
        "destination_id": f"d{number}",
        "channel": dice.choice(("webhook", "webhook", "email")),
        "to": f"host-{dice.choice('ab')}/{number}",
        "temper": dice.randrange(len(TEMPERS)),
        "slow": dice.randrange(1, len(LATENCIES) + 1),
    }
    if dice.random() < 0.3:
        destination["rate"] = {"per_minute": dice.choice((6, 30, 120)), "burst": dice.choice((1, 2, 5))}
    if dice.random() < 0.02:
        destination["template"] = "unreadable"
    return destination


def _unit(dice: Random, number: int, organizations: list[list[dict[str, Any]]], spread: float, least: int = 1) -> Unit:
    mine = dice.randrange(len(organizations))
    unit: dict[str, Any] = {
        "work_unit_id": f"u{number}",
        "organization_id": f"o{mine}",
        "incident_id": "i",
        "destinations": dice.sample(
            organizations[mine], dice.randint(least, min(max(least, 3), len(organizations[mine])))
        ),
    }
    at = dice.uniform(0, spread)
    if dice.random() < 0.1:
        unit["not_before"] = format_rfc3339(START + at + dice.uniform(0, 20), "milliseconds")
    if dice.random() < 0.1:
        unit["expires_at"] = format_rfc3339(START + at + dice.uniform(0, 60), "milliseconds")
    if dice.random() < 0.02:
        unit["kind"] = "odd"
    if dice.random() < 0.005:
        unit["asset_ids"] = [DEADLY]
    if dice.random() < 0.1:
        unit["batch"] = {"id": "b", "size": 1}
    body = orjson.dumps(unit)[dice.random() < 0.02 :]
    copies = dice.choice((0, 0, 0, 1, 2)) if dice.random() < 0.7 else 0
    return Unit(f"u{number}", body, (at, *(at + dice.choice((0.0, 0.01, 3.0, 40.0)) for _ in range(copies))))


def name_of(body: bytes) -> str:
    """Of a unit or a notification, as it lies in a queue."""
    try:
        read: dict[str, Any] = orjson.loads(body)
    except orjson.JSONDecodeError:
        return ""
    if "_slice" in read:
        return f"{read['work_unit_id']}/{read['_slice']['name']}"
    return str(read.get("notification_id") or read["work_unit_id"])
