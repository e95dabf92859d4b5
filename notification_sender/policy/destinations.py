"""Who is told: the destinations that a unit reaches."""

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from notification_sender.model.destination import Destination
from notification_sender.model.unit import WorkUnit

ORGANIZATION = "organization"
"""The source that knows an organization's own destinations."""


def told(unit: WorkUnit, offered: Iterable[Destination]) -> list[Destination]:
    """Those that are enabled, asked for by the unit, and subscribed to its event."""
    return [destination for destination in offered if _wants(unit, destination)]


def keeps(organization: Mapping[str, Any], destination_id: str) -> bool:
    """Whether an organization, as its source tells of it, still has this destination, and has it switched on."""
    known = organization.get("destinations") or ()
    return any(it.get("destination_id") == destination_id and it.get("enabled", True) for it in known)


def _wants(unit: WorkUnit, destination: Destination) -> bool:
    return (
        destination.enabled
        and (unit.channels is None or destination.channel in unit.channels)
        and (unit.destination_ids is None or destination.destination_id in unit.destination_ids)
        and (destination.events is None or any(fnmatchcase(unit.event, it) for it in destination.events))
    )
