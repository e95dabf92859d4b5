"""Selects the destinations that a unit reaches."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from notification_sender.model.destination import Destination
from notification_sender.model.errors import SchemaViolation
from notification_sender.model.unit import WorkUnit
from notification_sender.policy.patterns import matches, unreadable

ORGANIZATION = "organization"
"""The source that knows an organization's own destinations."""


def matching_destinations(unit: WorkUnit, offered: Iterable[Destination]) -> list[Destination]:
    """Those that are enabled, asked for by the unit, and subscribed to its event.

    One whose patterns cannot be read is among them, because nobody knows: see ``check``.
    """
    return [destination for destination in offered if wants(unit, destination)]


def keeps(organization: Mapping[str, Any], destination_id: str) -> bool:
    """Whether an organization, as its source tells of it, still has this destination, and has it switched on."""
    known = organization.get("destinations") or ()
    return any(it.get("destination_id") == destination_id and it.get("enabled", True) for it in known)


def check(destination: Destination) -> None:
    """What a destination says of itself and is only found out when it is to be told.

    Raises:
        SchemaViolation: its patterns of events cannot be read; names it.

    """
    if fault := unreadable(destination.events or ()):
        raise SchemaViolation(f"{destination.destination_id}: events: {fault}")


def wants(unit: WorkUnit, destination: Destination) -> bool:
    """Whether ``matching_destinations`` names it."""
    return (
        destination.enabled
        and (unit.channels is None or destination.channel in unit.channels)
        and (unit.destination_ids is None or destination.destination_id in unit.destination_ids)
        and (destination.events is None or _subscribed(destination.events, unit.event))
    )


def _subscribed(patterns: Collection[str], event: str) -> bool:
    return unreadable(patterns) is not None or any(matches(it, event) for it in patterns)
