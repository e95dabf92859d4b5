"""Turn the context into plain data for templates. Objects would bring methods that nobody has checked.

Templates read ``unit.work_unit_id``, ``destination.to`` and ``destination.extra``. They cannot change them, because no
method that changes a value is allowed.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from notification_sender.identity_cache import IdentityCache
from notification_sender.model.destination import Destination
from notification_sender.model.unit import WorkUnit

MOST_KNOWN = 1024
"""Destinations whose fields are kept."""


_PARTS = ("batch", "slice", "destination_ids")
"""The fields of a unit that may not be plain. A test compares all others with what a unit may hold."""


def of_unit(unit: WorkUnit) -> dict[str, Any]:
    """Return the fields of a unit."""
    fields = dict(vars(unit))
    for name in _PARTS:
        if (value := fields[name]) is not None:
            fields[name] = _plain(value)
    return fields


def of_destination(destination: Destination) -> dict[str, Any]:
    """Return the fields of a destination. The fields of the channel are among them, and together in ``extra``."""
    extra, rate = destination.extra, destination.rate
    return {**extra, **vars(destination), "rate": rate and rate.model_dump(), "extra": extra}


def _plain(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump()
    # Two workers iterate over a set in different orders.
    return tuple(sorted(value)) if isinstance(value, frozenset) else value


class Plain:
    """Makes a context plain. Notifications of one unit follow each other, so it keeps the fields of the last unit."""

    def __init__(self) -> None:
        self._unit: WorkUnit | None = None
        self._fields: dict[str, Any] = {}
        self._of_destination = IdentityCache(of_destination, MOST_KNOWN)

    def __call__(self, context: Mapping[str, Any]) -> dict[str, Any]:
        made = dict(context)
        unit, destination = made.get("unit"), made.get("destination")
        if isinstance(unit, WorkUnit):
            made["unit"] = self._fields if unit is self._unit else self._of(unit)
        if isinstance(destination, Destination):
            made["destination"] = self._of_destination(destination)
        return made

    def _of(self, unit: WorkUnit) -> dict[str, Any]:
        self._unit, self._fields = unit, of_unit(unit)
        return self._fields
