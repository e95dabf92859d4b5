"""The operators' commands for destinations: list and show them, switch them off and on."""

from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

from notification_sender.adapters.rabbitmq.waiting import Waiting
from notification_sender.adapters.redis.operators import Trouble
from notification_sender.adapters.redis.records import RedisRecords
from notification_sender.app.admin import connected_store
from notification_sender.app.changes import Change, announce
from notification_sender.app.waiting import About, WaitingFilter, fields_of, move_waiting
from notification_sender.model.override import Override, PauseScope
from notification_sender.model.timestamps import format_rfc3339
from notification_sender.policy.unknown import unknown
from notification_sender.settings import Settings


@dataclass(slots=True)
class DestinationState:
    """The state of one destination, as far as it is known."""

    organization_id: str
    destination_id: str
    troubles: list[Trouble]
    pauses: list[Override]
    """The pauses that hold it back, or do if it has their channel."""
    waiting: dict[str, int] = field(default_factory=dict)
    """Notifications that wait for it, by reason."""
    last_error: str = ""
    """The error of the latest failed attempt among those that wait."""
    last_error_at: float = 0.0
    """Epoch seconds; 0: none of them has failed."""
    channels: set[str] = field(default_factory=set)
    """The channel, as what waits says it; empty: it is not known."""
    unknown: str = ""
    """Why there may be no such destination."""

    @property
    def holding(self) -> list[Override]:
        """The pauses that hold it back for certain."""
        return [it for it in self.pauses if self._holds(PauseScope.of(it.subject))]

    def _holds(self, scope: PauseScope) -> bool:
        names = self.channels or {""}
        return any(scope.covers(self.organization_id, self.destination_id, it) for it in names)

    def known(self) -> dict[str, Any]:
        """As JSON has it."""
        return {
            "organization_id": self.organization_id,
            "destination_id": self.destination_id,
            "troubles": [it.known() for it in self.troubles],
            "pauses": [it.known() for it in self.holding],
            "waiting": self.waiting,
            "last_error": self.last_error,
            "last_error_at": format_rfc3339(self.last_error_at, "seconds") if self.last_error_at else None,
            "channels": sorted(self.channels),
        }

    def count(self, waiting: Waiting) -> None:
        """Take one waiting notification into account."""
        reason = waiting.because or "unknown"
        self.waiting[reason] = self.waiting.get(reason, 0) + 1
        if channel := About.of(waiting.body).channel:
            self.channels.add(channel)
        tries = fields_of(waiting.body).get("tries")
        latest: Any = tries[-1] if isinstance(tries, list) and tries else {}
        if isinstance(latest, dict) and latest.get("at", 0.0) > self.last_error_at:
            self.last_error, self.last_error_at = str(latest.get("error", "")), latest["at"]


@dataclass(frozen=True, slots=True)
class SwitchResult:
    """A destination after a change."""

    changed: int
    """At how many addresses it was off; of a destination that was switched off: 1."""
    until: float
    """Epoch seconds; 0: it is on."""
    unannounced: str


async def troubled(settings: Settings, organization_id: str | None) -> list[Trouble]:
    """The destinations that are off, failing, held or waiting; None: of all organizations.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        return await opened.troubled(organization_id)


async def show_destination(settings: Settings, organization_id: str, destination_id: str) -> DestinationState:
    """The state of one destination, and what waits for it.

    Raises:
        Unready: RabbitMQ or Redis is away.
    """
    async with connected_store(settings) as opened:
        troubles = await opened.troubled(organization_id)
        pauses = await opened.overrides.active_pauses()
    state = DestinationState(
        organization_id,
        destination_id,
        [it for it in troubles if it.destination_id == destination_id],
        [it for it in pauses if PauseScope.of(it.subject).may_cover(organization_id, destination_id)],
    )
    wanted = WaitingFilter(organization_id=organization_id, destination_id=destination_id)

    def is_for_it(waiting: Waiting) -> bool:
        if found := wanted(waiting):
            state.count(waiting)
        return found

    await move_waiting(settings, is_for_it, dry_run=True)
    if not (state.troubles or state.pauses or state.waiting):
        known = {it.destination_id for it in troubles}
        if get_close_matches(destination_id, sorted(known), 1):
            state.unknown = f"{unknown('destination', destination_id, known)} with a problem in {organization_id}"
        elif not await _is_known(settings, organization_id):
            state.unknown = f"nothing is known of an organization {organization_id!r}: no worker has had a unit of it"
    return state


async def _is_known(settings: Settings, organization_id: str) -> bool:
    async with connected_store(settings) as opened:
        return await RedisRecords(redis=opened.redis, prefix=settings.topology_prefix).knows(organization_id)


async def enable(settings: Settings, organization_id: str, destination_id: str, *, by: str) -> SwitchResult:
    """Enable a destination that is off, for whatever reason.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        addresses = await opened.destinations.enable(organization_id, destination_id)
        override = await opened.overrides.switch_on(organization_id, destination_id)
    changed = addresses or int(override is not None)
    if not changed:
        return SwitchResult(0, 0.0, "")
    change = _change("enabled", organization_id, destination_id, by=by, count=changed)
    return SwitchResult(changed, 0.0, await announce(settings, change))


async def disable(
    settings: Settings, organization_id: str, destination_id: str, *, seconds: float, by: str, note: str
) -> SwitchResult:
    """Suppress what is for a destination, at whichever address, for ``seconds``.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        made = await opened.overrides.switch_off(organization_id, destination_id, seconds=seconds, by=by, note=note)
    change = _change("disabled", organization_id, destination_id, by=by, until=made.until, note=note or None)
    return SwitchResult(1, made.until, await announce(settings, change))


async def announce_resent(settings: Settings, organization_id: str, destination_id: str, *, by: str, count: int) -> str:
    """Announce that what was withheld from a destination is sent. Returns as ``announce``."""
    return await announce(settings, _change("resent", organization_id, destination_id, by=by, count=count))


def _change(change: str, organization_id: str, destination_id: str, *, by: str, **more: Any) -> Change:
    subject = PauseScope(organization_id, destination_id).subject
    return Change(
        change=change, by=by, subject=subject, organization_id=organization_id, destination_id=destination_id, **more
    )
