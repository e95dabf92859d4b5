"""Offline previews: what a worker would refuse in work units, what a template renders, what a recipe runs."""

import asyncio
import difflib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from notification_sender.adapters.clock import SystemClock
from notification_sender.app.apis import Upstreams
from notification_sender.app.backends import store
from notification_sender.app.channels import Recipients
from notification_sender.channels.registry import parts
from notification_sender.context.explain import explained, mermaid, text
from notification_sender.context.recipe import Recipe
from notification_sender.model.destination import Destination, Rate
from notification_sender.model.errors import Permanent, RenderFault, SchemaViolation, UnknownKind
from notification_sender.model.strict_json import read_json
from notification_sender.model.unit import Batch, WorkUnit, decode, explain
from notification_sender.policy.destinations import ORGANIZATION, matching_destinations
from notification_sender.ports.channels import Channel
from notification_sender.recipes import GIVEN, recipes
from notification_sender.render import Renderer, shipped
from notification_sender.settings import Settings
from notification_sender.targets import COMMON, Targets, read
from notification_sender.telemetry.metrics import Metrics

UNIT_FIELDS = frozenset(WorkUnit.model_fields) - {"slice"}
"""The fields that publishers write. ``slice`` is written by workers."""


EXAMPLE_UNIT = {
    "work_unit_id": "example",
    "organization_id": "example",
    "incident_id": "example",
    "intel_request_id": "example",
    "asset_ids": ["example"],
}
"""A unit with every kind of subject, for a plan without a unit."""


@dataclass(frozen=True, slots=True)
class UnitReview:
    """The review of one work unit."""

    fault: str | None = None
    """The reason for which a worker would refuse it."""
    warnings: Sequence[str] = ()
    """Parts that a worker would ignore or end as dead, and that the publisher hardly meant."""


async def review_units(settings: Settings, bodies: Sequence[bytes]) -> list[UnitReview]:
    """Review each unit as a worker would read it, offline."""
    clock = SystemClock()
    upstreams = Upstreams(settings, store=store(settings), clock=clock, metrics=Metrics())
    recipients = Recipients(settings, tokens=upstreams.outbound_tokens, clock=clock)
    targets = Targets(channels=recipients.channels, most=settings.max_destinations, clock=clock)
    reader = _Reader(recipes(), recipients.channels, targets)
    try:
        return [await reader.read(body) for body in bodies]
    finally:
        await recipients.close()
        await upstreams.close()


def preview(
    templates_dir: Path | None, unit: WorkUnit, template: str, channel: str, context: Mapping[str, Any]
) -> dict[str, str]:
    """Render the parts of one channel, by name.

    Raises:
        RenderFault: the template is unknown, broken, or reads names that ``context`` lacks; names all of them.
        SchemaViolation: the context's destination is invalid.
    """
    channels = parts()
    renderer = Renderer(folder=templates_dir or shipped(), channels=channels)
    recipe = recipes().get(unit.kind)
    # Only names that a context can have: the template may set other names itself.
    given = {*GIVEN, *(recipe.sources if recipe else ())}
    wanted = (renderer.names(template, channel) & given) | ({"timestamp"} if "json" in channels[channel] else set())
    if lacking := wanted - context.keys() - {"unit"}:
        sample = "for a sample context: notification-sender render --sample"
        raise RenderFault(f"the context lacks {', '.join(sorted(lacking))}, for {template}/{channel}; {sample}")
    names = {**context, "unit": unit}
    if isinstance(context.get("destination"), dict):
        names["destination"] = _destination(context["destination"])
    return renderer.render(template, channel, names)


def plan(
    templates_dir: Path | None,
    unit: WorkUnit | None,
    *,
    kind: str,
    names: Sequence[str] | None,
    channels: Sequence[str] | None,
    picture: bool,
) -> str:
    """The sources of a recipe that run for a unit, or for these templates and channels. ``picture``: as Mermaid.

    ``names`` None: the template of the kind. ``channels`` None: all channels.

    Raises:
        UnknownKind: there is no such recipe.
        RenderFault: there is no such template.
        SchemaViolation: a destination of the unit is invalid.
    """
    known = recipes()
    if kind not in known:
        raise UnknownKind(f"there is no recipe {kind!r}, only {', '.join(sorted(known))}")
    renderer = Renderer(folder=templates_dir or shipped(), channels=parts())
    if unit is not None and unit.destinations is not None:
        pairs = [
            (it.template or kind, it.channel)
            for it in matching_destinations(unit, map(_destination, unit.destinations))
        ]
    else:
        wanted = channels or (unit and unit.channels) or tuple(parts())
        pairs = [(name, channel) for name in names or [kind] for channel in wanted]
    readers = {f"{name}/{channel}": renderer.names(name, channel) for name, channel in dict.fromkeys(pairs)}
    if unit is None or unit.destinations is None:
        readers["the list of destinations"] = frozenset({ORGANIZATION})
    recipe = known[kind]
    subject = recipe.subject(unit or WorkUnit.model_validate(EXAMPLE_UNIT | {"kind": kind}))
    lines = explained(recipe, subject if readers else None, readers)
    return mermaid(lines) if picture else text(lines)


def _destination(record: Any) -> Destination:
    try:
        return Destination.model_validate(record)
    except ValidationError as fault:
        raise SchemaViolation(explain(fault)) from None


class _Reader:
    def __init__(self, known: Mapping[str, Recipe], channels: Mapping[str, Channel], targets: Targets) -> None:
        self._recipes = known
        self._channels = channels
        self._targets = targets

    async def read(self, body: bytes) -> UnitReview:
        await asyncio.sleep(0)
        try:
            unit = decode(body)
            await self._check(unit)
        except Permanent as fault:
            return UnitReview(str(fault), [*self._unknown(body)])
        return UnitReview(None, [*self._unknown(body), *self._ending(unit)])

    async def _check(self, unit: WorkUnit) -> None:
        if unit.kind not in self._recipes:
            meant = _meant(unit.kind, self._recipes)
            raise UnknownKind(f"kind: there is no recipe {unit.kind!r}, only {', '.join(sorted(self._recipes))}{meant}")
        self._recipes[unit.kind].subject(unit)
        for channel in unit.channels or ():
            if channel not in self._channels:
                known = ", ".join(sorted(self._channels))
                raise SchemaViolation(
                    f"channel: there is no {channel!r}, only {known}{_meant(channel, self._channels)}"
                )
        await self._targets.check(unit.destinations or ())

    def _ending(self, unit: WorkUnit) -> Iterator[str]:
        """The destinations of the unit that would be dead, without effect on the others."""
        for place, record in enumerate(unit.destinations or ()):
            try:
                read(record, self._channels)
            except Permanent as fault:
                yield f"destinations.{place}: {fault}; this destination will be dead, the others not"

    def _unknown(self, body: bytes) -> Iterator[str]:
        try:
            value = read_json(body)
        except Permanent:
            return
        if not isinstance(value, dict):
            return
        yield from _strange("", value, UNIT_FIELDS)
        yield from _strange("batch.", value.get("batch"), Batch.model_fields)
        destinations = value.get("destinations")
        for record in destinations if isinstance(destinations, list) else ():
            if isinstance(record, dict):
                yield from _strange("destinations.", record, self._fields(record.get("channel")))
                yield from _strange("destinations.rate.", record.get("rate"), Rate.model_fields)

    def _fields(self, channel: object) -> Collection[str]:
        known = self._channels.get(channel) if isinstance(channel, str) else None
        every = [name for it in self._channels.values() for name in it.fields]
        return COMMON | set(known.fields if known else every)


def _strange(where: str, value: Any, known: Collection[str]) -> Iterator[str]:
    for name in value if isinstance(value, dict) else ():
        if name not in known:
            yield f"{where}{name} is an unknown field, and is ignored{_meant(name, known)}"


def _meant(name: str, known: Collection[str]) -> str:
    close = difflib.get_close_matches(name.lower(), sorted(known), n=1)
    return f"; did you mean {close[0]}?" if close else ""
