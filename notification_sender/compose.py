"""One work unit → its notifications: gather what the message needs to say, render it for each destination."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from notification_sender.context.gather import Context, Gatherer, Session, timestamp
from notification_sender.context.provenance import provenance
from notification_sender.model.destination import Destination
from notification_sender.model.errors import Permanent, SchemaViolation, UnknownKind
from notification_sender.model.notification import Notification, notification_id
from notification_sender.model.outcome import Dead, Suppressed
from notification_sender.model.unit import WorkUnit, explain, told_about
from notification_sender.policy.destinations import ORGANIZATION, told
from notification_sender.ports import Channel, Clock
from notification_sender.render import Renderer

_ORGANIZATION = frozenset({ORGANIZATION})


@dataclass(frozen=True, slots=True)
class Composed:
    """A notification, and what became of it where it is not to be sent."""

    notification: Notification
    end: Dead | Suppressed | None = None
    seconds: float | None = None
    """From the beginning of its unit until it was composed, where that was now."""


class Composer:
    """Knows the recipes, the templates and the channels; talks to no broker and claims nothing."""

    def __init__(
        self,
        *,
        gatherers: Mapping[str, Gatherer],
        renderer: Renderer,
        channels: Mapping[str, Channel],
        clock: Clock,
    ) -> None:
        """``gatherers`` by kind of unit, ``channels`` by name."""
        self._gatherers = gatherers
        self._renderer = renderer
        self._channels = channels
        self._clock = clock

    def check(self, unit: WorkUnit) -> None:
        """What the contract asks of a unit beyond its fields: a known kind, its subject, channels that exist.

        Raises:
            SchemaViolation: says what is missing or unknown.
        """
        self._gatherer(unit).check(unit)
        for channel in unit.channels or ():
            self._channel(channel)
        for destination in unit.destinations or ():
            self._channel(destination.channel).address(destination)

    async def compose(self, unit: WorkUnit) -> list[Composed]:
        """Every destination that the unit reaches, once.

        Raises:
            ContextUnavailable, SubjectNotFound: later, perhaps.
            Permanent: never.
        """
        began = self._clock.monotonic()
        async with self._gatherer(unit).begin(unit) as gathering:
            offered, dead = await self._offered(unit, gathering)
            destinations = told(unit, offered)
            if not destinations:
                return dead
            context = await gathering.context(self._read_by(unit, destinations))
        listed = unit.destinations is None
        about = told_about(unit) if listed or self._gatherer(unit).may_be_outdated else None
        same = {"composed_at": self._clock.now(), "degraded": tuple(context.degraded), "unit": about, "listed": listed}
        composed = []
        for destination in destinations:
            notification, end = self._composed(unit, context, destination, same)
            composed.append(Composed(notification, end, self._clock.monotonic() - began))
        return composed + dead

    async def _offered(self, unit: WorkUnit, gathering: Session) -> tuple[Sequence[Destination], list[Composed]]:
        """Whom the unit could be told to: those that it names, or its organization's own."""
        if unit.destinations is not None:
            return unit.destinations, []
        gathering.start(_ORGANIZATION)
        if not gathering.at_hand(ORGANIZATION):
            # What every template reads need not wait until it is known which one it will be.
            gathering.start(self._renderer.common(unit.channels))
        offered, unreadable = _own(unit, await gathering.fact(ORGANIZATION))
        return offered, [Composed(_notification(unit, it, {}), end) for it, end in unreadable]

    def _read_by(self, unit: WorkUnit, destinations: Sequence[Destination]) -> frozenset[str]:
        """The names that their templates read; what nobody reads is not fetched."""
        return self._renderer.names_of(frozenset((it.template or unit.kind, it.channel) for it in destinations))

    def _composed(
        self, unit: WorkUnit, context: Context, destination: Destination, same: Mapping[str, Any]
    ) -> tuple[Notification, Dead | None]:
        """``same``: what the notifications of a unit have in common besides what is the unit's."""
        content, end = {}, None
        try:
            content = self._render(unit, context, destination)
        except Permanent as fault:
            end = Dead.of(fault)
        template, channel, now = destination.template or unit.kind, destination.channel, same["composed_at"]
        read = self._renderer.reads(template, channel)
        sources = {
            name: provenance(came, now)
            for name, came in context.came.items()
            if name in read or name == context.subject
        }
        version = self._renderer.version(template, channel)
        return _notification(unit, destination, content, sources=sources, template_version=version, **same), end

    def _render(self, unit: WorkUnit, context: Context, destination: Destination) -> dict[str, str]:
        self._channel(destination.channel)
        names: dict[str, Any] = {
            **context.values,
            "unit": unit,
            "destination": destination,
            "degraded": context.degraded,
            "timestamp": timestamp(unit, context),
        }
        return self._renderer.render(destination.template or unit.kind, destination.channel, names)

    def _gatherer(self, unit: WorkUnit) -> Gatherer:
        gatherer = self._gatherers.get(unit.kind)
        if gatherer is None:
            raise UnknownKind(f"kind: there is no recipe {unit.kind!r}, only {', '.join(sorted(self._gatherers))}")
        return gatherer

    def _channel(self, name: str) -> Channel:
        channel = self._channels.get(name)
        if channel is None:
            raise SchemaViolation(f"channel: there is no {name!r}, only {', '.join(sorted(self._channels))}")
        return channel


def _own(unit: WorkUnit, organization: Any) -> tuple[list[Destination], list[tuple[Destination, Dead]]]:
    """The organization's destinations, and those of its records that are none: each is dead by itself."""
    offered: dict[str, Destination] = {}
    unreadable: list[tuple[Destination, Dead]] = []
    for place, record in enumerate((organization and organization.get("destinations")) or ()):
        try:
            destination = Destination.model_validate(record)
        except ValidationError as fault:
            unreadable.append(_unreadable(place, explain(fault)))
        else:
            if offered.setdefault(destination.destination_id, destination) is not destination:
                # Two of one id would share one notification id, and be taken for one another.
                unreadable.append(_unreadable(place, f"a second {destination.destination_id!r}"))
    asked_for_all = unit.channels is None and unit.destination_ids is None
    return list(offered.values()), unreadable if asked_for_all else []


def _unreadable(place: int, fault: str) -> tuple[Destination, Dead]:
    unnamed = Destination(destination_id=f"unreadable-{place}", channel="unknown")
    return unnamed, Dead("schema", f"destination {place} of the organization: {fault}")


def _notification(unit: WorkUnit, destination: Destination, content: dict[str, str], /, **more: Any) -> Notification:
    return Notification(
        notification_id=notification_id(unit, destination.destination_id),
        organization_id=unit.organization_id,
        work_unit_id=unit.work_unit_id,
        kind=unit.kind,
        event=unit.event,
        destination=destination,
        content=content,
        expires_at=unit.expires_at,
        **more,
    )
