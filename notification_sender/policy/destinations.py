"""Who is told: the destinations that a unit reaches."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from notification_sender.model.destination import Destination
from notification_sender.model.unit import WorkUnit


def told(unit: WorkUnit, offered: Iterable[Destination]) -> list[Destination]:
    """Those that are enabled, asked for by the unit, and subscribed to its event."""
    return [destination for destination in offered if _wants(unit, destination)]


def _wants(unit: WorkUnit, destination: Destination) -> bool:
    return (
        destination.enabled
        and (unit.channels is None or destination.channel in unit.channels)
        and (unit.destination_ids is None or destination.destination_id in unit.destination_ids)
        and (destination.events is None or any(fnmatchcase(unit.event, it) for it in destination.events))
    )
