"""Destinations that need an operator: each is logged once, and listed while it waits."""

from collections import OrderedDict
from dataclasses import dataclass
from typing import TypeVar

import structlog

from notification_sender.model.errors import SetupFault
from notification_sender.ports.clock import Clock

MAX_DESTINATIONS = 10_000
"""Kept of either kind, about 5 MB: a publisher with new destinations in every unit must not fill the memory."""

LISTED_SECONDS = 75.0
"""After the last try a destination is listed for so long: a waiting one is tried again within 60 s."""

_log = structlog.get_logger()

Value = TypeVar("Value")

_Who = tuple[str, str, str]
"""Organization, destination, and the files that it names: a unit may bring another destination of the same id."""


@dataclass(frozen=True, slots=True)
class Waiting:
    """A destination that waits for a file. ``seen``: when it was last tried, monotonic s."""

    organization_id: str
    destination_id: str
    reason: str
    cause: str
    """The file, what is wrong with it, and what to do."""
    seen: float


class Notices:
    """The last ``MAX_DESTINATIONS`` of this process. A destination that was forgotten is logged once more."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._waiting: OrderedDict[_Who, Waiting] = OrderedDict()
        self._unsigned: OrderedDict[_Who, None] = OrderedDict()

    def waits(self, who: _Who, fault: SetupFault) -> None:
        """The destination waits for a file: nothing can be sent there now."""
        organization_id, destination_id, _ = who
        if who not in self._waiting:
            facts = {"organization_id": organization_id, "destination_id": destination_id}
            _log.warning(f"destination.{fault.reason}", **facts, error=str(fault))
        now = self._clock.monotonic()
        _remember(self._waiting, who, Waiting(organization_id, destination_id, fault.reason, str(fault), now))

    def served(self, who: _Who) -> None:
        """The destination has every file that it needs. If a file goes missing later, that is logged again."""
        if who in self._waiting:
            del self._waiting[who]

    def unsigned(self, who: _Who) -> None:
        """The destination names no secret: its recipient cannot check the sender."""
        organization_id, destination_id, _ = who
        if who not in self._unsigned:
            advice = "give the destination a secret, or refuse such by NS_UNSIGNED=refuse"
            _log.warning(
                "destination.unsigned", organization_id=organization_id, destination_id=destination_id, advice=advice
            )
        _remember(self._unsigned, who, None)

    def waiting(self) -> list[Waiting]:
        """The destinations that this process knows to wait for a file."""
        since = self._clock.monotonic() - LISTED_SECONDS
        return [it for it in self._waiting.values() if it.seen >= since]


def _remember(known: OrderedDict[_Who, Value], who: _Who, value: Value) -> None:
    known[who] = value
    known.move_to_end(who)
    while len(known) > MAX_DESTINATIONS:
        known.popitem(last=False)
