"""One work unit → its notifications: gather the context, then render it for each destination."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from notification_sender.context.gather import Context, Gatherer, Session, timestamp
from notification_sender.context.gathering import provenances
from notification_sender.model.destination import Destination
from notification_sender.model.errors import RenderFault, SchemaViolation, TooLarge, UnknownKind
from notification_sender.model.notification import Notification, notification_id
from notification_sender.model.outcome import Dead, Deferred, Delivered, Suppressed
from notification_sender.model.records import dataclass
from notification_sender.model.unit import WorkUnit, for_one, subject_fields
from notification_sender.policy.destinations import ORGANIZATION
from notification_sender.ports.channels import Channel
from notification_sender.ports.clock import Clock
from notification_sender.render import Renderer
from notification_sender.render.failing import FailingTemplates, Pair
from notification_sender.render.filters import is_zone
from notification_sender.slices import rest
from notification_sender.targets import NAMELESS, Target, Targets

MOST = 10_000
"""Destinations that one unit may reach."""

FAILING = "template_failing"
"""The reason of a notification that is deferred because its template has failed all others lately."""

_ORGANIZATION = frozenset({ORGANIZATION})


@dataclass(frozen=True, slots=True)
class Composed:
    """A notification, and its outcome if it is not sent now."""

    notification: Notification
    end: Dead | Suppressed | Deferred | Delivered | None = None
    seconds: float | None = None
    """Duration of gathering for its unit and of rendering it, where that was done now."""


@dataclass(frozen=True, slots=True)
class Composition:
    """The targets of a unit. ``compose`` renders for one of them and keeps nothing: bodies are large and many."""

    targets: Sequence[Target]
    compose: Callable[[Target], Composed]


class Composer:
    """Knows the recipes, the templates and the channels; talks to no broker and claims nothing."""

    def __init__(
        self,
        *,
        gatherers: Mapping[str, Gatherer],
        renderer: Renderer,
        channels: Mapping[str, Channel],
        failing: FailingTemplates,
        clock: Clock,
        most: int = MOST,
    ) -> None:
        """``gatherers`` by kind of unit, ``channels`` by name. ``most``: how many destinations a unit may reach."""
        self._gatherers = gatherers
        self._renderer = renderer
        self._channels = channels
        self._failing = failing
        self._clock = clock
        self._targets = Targets(channels=channels, most=most, clock=clock)

    def check(self, unit: WorkUnit) -> None:
        """Check what the contract asks of a unit beyond its fields: a known kind, its subject, existing channels. Its
        own destinations are checked when it is composed.

        Raises:
            SchemaViolation: says what is missing or unknown.
        """
        self._gatherer(unit).check(unit)
        for channel in unit.channels or ():
            if channel not in self._channels:
                raise SchemaViolation(f"channel: there is no {channel!r}, only {', '.join(sorted(self._channels))}")

    async def compose(self, unit: WorkUnit) -> Composition:
        """The targets of the unit, each once, and the means to render for them.

        Raises:
            ContextUnavailable, SubjectNotFound: later, perhaps.
            Permanent: never.
        """
        began = self._clock.monotonic()
        async with self._gatherer(unit).begin(unit) as gathering:
            selected = await self._targets.select(unit, await self._offered(unit, gathering))
            targets = [*selected, *rest(unit, selected)] if unit.slice else selected
            wanted = frozenset([_pair(unit, it) for it in targets if it.end is None])
            permit = self._failing.permit(wanted)
            # A template that is not rendered now costs no call.
            if permit.away:
                wanted = wanted.difference(permit.away)
            if not wanted:
                return Composition(
                    targets, lambda it: self._unrendered(unit, it, permit.away.get(_pair(unit, it), 0.0))
                )
            context = _with_zone(await gathering.context(self._renderer.names_of(wanted)))
        same, clock = self._same(unit, context), self._clock.monotonic
        gathering_took = clock() - began

        def compose(target: Target) -> Composed:
            pair = _pair(unit, target)
            away = permit.delay_for(pair) if target.end is None else 0.0
            if target.end is not None or away:
                return self._unrendered(unit, target, away)
            start = clock()
            made, end = self._composed(unit, context, target, pair, same)
            return Composed(made, end, gathering_took + clock() - start)

        return Composition(targets, compose)

    def away(self, notification: Notification) -> float:
        """Seconds for which composing the notification anew would fail, because its template fails."""
        destination = notification.destination
        return self._failing.away((destination.template or notification.kind, destination.channel))

    async def compose_again(self, notification: Notification, unit: WorkUnit) -> Composed:
        """Compose a notification that was never rendered, for its destination alone. ``unit`` is what it carries.

        Raises:
            ContextUnavailable, SubjectNotFound: later, perhaps.
            Permanent: never.
        """
        composition = await self.compose(unit)
        own = notification.destination.destination_id
        target = next((it for it in composition.targets if it.destination_id == own), None)
        if target is None:
            return Composed(notification, Suppressed("destination_removed"))
        composed = composition.compose(target)
        story = {name: getattr(notification, name) for name in ("replays", "attempt", "tries")}
        return replace(composed, notification=replace(composed.notification, **story))

    def _unrendered(self, unit: WorkUnit, target: Target, away: float) -> Composed:
        """A notification that is not rendered now: it carries only what composing it anew needs."""
        alone, listed = _alone(unit, target), unit.destinations is None
        made = _notification(unit, target.destination, {}, unit=alone, listed=listed)
        if target.end is not None:
            return Composed(made, target.end)
        made = replace(made.without_content(), composed_at=self._clock.now())
        return Composed(made, Deferred(away, FAILING, "/".join(_pair(unit, target))))

    def _same(self, unit: WorkUnit, context: Context) -> Mapping[str, Any]:
        """The fields that all notifications of a unit share, besides those of the unit."""
        listed = unit.destinations is None
        about = subject_fields(unit) if listed or self._gatherer(unit).may_be_outdated else None
        return {"composed_at": self._clock.now(), "degraded": tuple(context.degraded), "unit": about, "listed": listed}

    async def _offered(self, unit: WorkUnit, gathering: Session) -> Sequence[Any]:
        """The records of the destinations: those that the unit brings along, or its organization's own."""
        if unit.destinations is not None:
            return unit.destinations
        gathering.start(_ORGANIZATION)
        if not gathering.is_available(ORGANIZATION) and not self._failing.out:
            # Sources that every template reads are fetched before the template is known.
            gathering.start(self._renderer.common(unit.channels))
        organization = await gathering.fact(ORGANIZATION)
        return (organization and organization.get("destinations")) or ()

    def _composed(
        self, unit: WorkUnit, context: Context, target: Target, pair: Pair, same: Mapping[str, Any]
    ) -> tuple[Notification, Dead | Suppressed | Deferred | Delivered | None]:
        """``same``: as ``_same`` says."""
        content, end = self._rendered(unit, context, target.destination, pair)
        if isinstance(end, Deferred):
            unrendered = self._unrendered(unit, target, end.delay)
            return unrendered.notification, unrendered.end
        now, read = same["composed_at"], self._renderer.reads(*pair)
        sources = provenances(context.lineage, now, {*read, context.subject})
        version = self._renderer.version(*pair)
        made = _notification(unit, target.destination, content, sources=sources, template_version=version, **same)
        try:
            made.check_bounds()
        except TooLarge as fault:
            made, end = made.without_content(), Dead.of(fault)
        return replace(made, unit=_alone(unit, target)) if end else made, end

    def _rendered(
        self, unit: WorkUnit, context: Context, destination: Destination, pair: Pair
    ) -> tuple[dict[str, str], Dead | Deferred | Suppressed | None]:
        """The content, or why there is none."""
        try:
            names = self._names(unit, context, destination)
        except RenderFault as fault:
            return {}, Dead.of(fault)
        try:
            content = self._renderer.render(*pair, names)
        except RenderFault as fault:
            if self._renderer.leaves_out(*pair):
                return {}, Suppressed("channel_left_out")
            # A template that does not exist is a mistake in the destination's record: no fix of a template would help.
            away = self._failing.failed(pair, fault) if self._renderer.version(*pair) else 0.0
            return {}, Deferred(away, FAILING, "/".join(pair)) if away else Dead.of(fault)
        self._failing.rendered(pair)
        return content, None

    def _names(self, unit: WorkUnit, context: Context, destination: Destination) -> dict[str, Any]:
        return {
            **context.values,
            "unit": unit,
            "destination": destination,
            "degraded": context.degraded,
            "timestamp": timestamp(unit, context),
        }

    def _gatherer(self, unit: WorkUnit) -> Gatherer:
        gatherer = self._gatherers.get(unit.kind)
        if gatherer is None:
            raise UnknownKind(f"kind: there is no recipe {unit.kind!r}, only {', '.join(sorted(self._gatherers))}")
        return gatherer


def _with_zone(context: Context) -> Context:
    """Marked degraded if the organization's time zone does not exist: then times are shown in UTC."""
    organization = context.values.get(ORGANIZATION)
    named = organization.get("timezone") if isinstance(organization, Mapping) else None
    if named is None or is_zone(named):
        return context
    return replace(context, degraded=sorted({*context.degraded, "timezone"}))


def _pair(unit: WorkUnit, target: Target) -> Pair:
    destination = target.destination
    return destination.template or unit.kind, destination.channel


def _alone(unit: WorkUnit, target: Target) -> dict[str, Any] | None:
    """The unit for this target alone. None if the target cannot be found again: it has no id, or no record."""
    if target.end is None:
        return for_one(unit, target.destination_id, None if unit.destinations is None else target.record)
    if target.destination_id.startswith(NAMELESS) or (unit.slice and unit.destinations is not None):
        return None
    # With the record as it came: the reader of the dead letter sees the mistake and can mend it there.
    return for_one(unit, target.destination_id, unit.destinations and unit.destinations[target.place])


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
