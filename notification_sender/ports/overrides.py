"""The overrides that operators set for the whole fleet, and the pauses among them."""

from typing import Protocol

from notification_sender.model.override import Kind, Override, PauseScope

TOPIC = "overrides"
"""Of the messages that an override began or ended. The text says nothing: every process reads them all again."""


class Overrides(Protocol):
    """Stores overrides until they end. Every method raises Unready while the store is away."""

    async def active(self) -> list[Override]:
        """All overrides that have not ended, by kind and subject."""

    async def active_pauses(self) -> list[Override]:
        """The pauses among them."""

    async def pause(self, scope: PauseScope, *, seconds: float, by: str, note: str = "") -> Override:
        """Hold back what ``scope`` covers for ``seconds`` from now. An earlier end is replaced."""

    async def resume(self, scope: PauseScope) -> Override | None:
        """End a pause; returns it, None if there was none."""

    async def switch_off(
        self, organization_id: str, destination_id: str, *, seconds: float, by: str, note: str = ""
    ) -> Override:
        """Suppress what is for a destination, at whichever address, for ``seconds`` from now."""

    async def switch_on(self, organization_id: str, destination_id: str) -> Override | None:
        """End that; returns it, None if the destination was not switched off so."""

    async def put(self, kind: Kind, subject: str, value: str, *, seconds: float, by: str, note: str = "") -> Override:
        """Set an override that is no pause."""

    async def remove(self, kind: Kind, subject: str) -> Override | None:
        """End an override that is no pause; returns it, None if there was none."""
