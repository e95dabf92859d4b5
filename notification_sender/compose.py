"""One work unit → its notifications: gather what the message needs to say, render it for each destination."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from pydantic import ValidationError

from notification_sender.context.graph import Context
from notification_sender.model.destination import Destination
from notification_sender.model.errors import Permanent, SchemaViolation, UnknownKind
from notification_sender.model.notification import Notification, notification_id
from notification_sender.model.outcome import Dead
from notification_sender.model.unit import WorkUnit, explain
from notification_sender.policy.destinations import told
from notification_sender.ports import Channel
from notification_sender.recipes import Kitchen
from notification_sender.render import Renderer


@dataclass(frozen=True, slots=True)
class Composed:
    """A notification, or what became of it before it could be one."""

    notification: Notification
    dead: Dead | None = None


class Composer:
    """Knows the recipes, the templates and the channels; talks to no broker and claims nothing."""

    def __init__(self, *, kitchen: Kitchen, renderer: Renderer, channels: Mapping[str, Channel]) -> None:
        self._kitchen = kitchen
        self._renderer = renderer
        self._channels = channels

    def check(self, unit: WorkUnit) -> None:
        """What the contract asks of a unit beyond its fields: a known kind, its subject, channels that exist.

        Raises:
            SchemaViolation: says what is missing or unknown.
        """
        self._kitchen.recipe(unit.kind).check(unit)
        for channel in unit.channels or ():
            self._channel(channel)
        for destination in unit.destinations or ():
            self._channel(destination.channel).address(destination)

    async def compose(self, unit: WorkUnit) -> list[Composed]:
        """Every destination that the unit reaches, once.

        Raises:
            ContextUnavailable, SubjectNotFound: later, perhaps.
            TenantMismatch: never.
        """
        context = await self._kitchen.gather(unit)
        return [self._notification(unit, context, it) for it in told(unit, self._offered(unit, context))]
