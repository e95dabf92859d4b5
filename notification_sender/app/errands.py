"""What the command line asks for besides running: one question, one answer, everything closed again."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.redis_destinations import Trouble
from notification_sender.app.services import Store, broker, store, topology
from notification_sender.channels.email import Email
from notification_sender.channels.webhook import Webhook
from notification_sender.context.explanation import explained, mermaid, text
from notification_sender.model.destination import Suppression
from notification_sender.model.errors import UnknownKind, Unready
from notification_sender.model.unit import WorkUnit
from notification_sender.policy.audit import Audit
from notification_sender.policy.destinations import ORGANIZATION, told
from notification_sender.ports import Lane
from notification_sender.recipes import recipes
from notification_sender.render import Renderer, shipped
from notification_sender.settings import Settings
from notification_sender.telemetry import log

PATIENCE = 10.0
"""Seconds that a command waits for a service: a person is waiting for the command."""

EXAMPLE = {
    "work_unit_id": "example",
    "organization_id": "example",
    "incident_id": "example",
    "intel_request_id": "example",
    "asset_ids": ["example"],
}
"""A unit about everything, where a plan is asked for without one."""


async def publish(settings: Settings, bodies: list[bytes]) -> None:
    """Work units into the queue, each confirmed by the broker.

    Raises:
        Unready: the broker is away; some may be published, and publishing them again does no harm.
    """
    log.to_people()
    rabbitmq = broker(settings, SystemClock())
    try:
        await _soon(rabbitmq.connect(), "RabbitMQ")
        for body in bodies:
            await rabbitmq.publish(body)
    finally:
        await rabbitmq.close()


async def declare(settings: Settings) -> list[str]:
    """Declare every queue and exchange; what there is now.

    Raises:
        ConfigurationFault: one is there already and differs.
    """
    log.to_people()
    rabbitmq = broker(settings, SystemClock())
    try:
        await _soon(rabbitmq.connect(), "RabbitMQ")
    finally:
        await rabbitmq.close()
    names = topology(settings)
    return [*(names.queue(lane) for lane in Lane), names.dead, names.events]


async def audit(settings: Settings, batch_id: str) -> Audit | None:
    """What became of a batch; None if none of its units was seen.

    Raises:
        Unready: the store is away.
    """
    async with _reached(settings) as opened:
        return await opened.audit(batch_id)


async def enable(settings: Settings, organization_id: str, destination_id: str) -> int:
    """Switch a destination on again; at how many addresses it was off.

    Raises:
        Unready: the store is away.
    """
    async with _reached(settings) as opened:
        return await opened.destinations.enable(organization_id, destination_id)


async def suppress(
    settings: Settings, organization_id: str, recipients: Sequence[str], *, seconds: float, reason: str
) -> None:
    """Send nothing of the organization to these recipients, by their hashes, for so long.

    Raises:
        Unready: the store is away; some may be suppressed, and doing it again does no harm.
    """
    async with _reached(settings) as opened:
        await opened.suppressions.suppress(organization_id, recipients, seconds=seconds, reason=reason)


async def unsuppress(settings: Settings, organization_id: str, recipients: Sequence[str]) -> int:
    """Send to them again; how many were suppressed.

    Raises:
        Unready: the store is away.
    """
    async with _reached(settings) as opened:
        return await opened.suppressions.unsuppress(organization_id, recipients)


async def suppressed(settings: Settings, organization_id: str) -> list[Suppression]:
    """Whom the organization sends nothing.

    Raises:
        Unready: the store is away.
    """
    async with _reached(settings) as opened:
        return await opened.suppressions.suppressed(organization_id)


async def troubled(settings: Settings, organization_id: str | None) -> list[Trouble]:
    """The destinations that are off, failing, or want nothing for a while; of all organizations for None.

    Raises:
        Unready: the store is away.
    """
    async with _reached(settings) as opened:
        return await opened.destinations.troubled(organization_id)


def preview(
    templates_dir: Path | None, unit: WorkUnit, template: str, channel: str, context: Mapping[str, Any]
) -> dict[str, str]:
    """What a recipient would read: the parts of one channel, by name.

    Raises:
        RenderFault: the template is unknown, broken, or reads what ``context`` does not have.
    """
    channels = {it.name: it.parts for it in (Webhook, Email)}
    renderer = Renderer(folder=templates_dir or shipped(), channels=channels)
    return renderer.render(template, channel, {"unit": unit, **context})


def plan(
    templates_dir: Path | None,
    unit: WorkUnit | None,
    *,
    kind: str,
    names: Sequence[str] | None,
    channels: Sequence[str] | None,
    picture: bool,
) -> str:
    """What of a recipe runs for a unit, or for these templates and channels (None: its own, all): text or a picture.

    Raises:
        UnknownKind: there is no such recipe.
        RenderFault: no such template.
    """
    known = recipes()
    if kind not in known:
        raise UnknownKind(f"there is no recipe {kind!r}, only {', '.join(sorted(known))}")
    renderer = Renderer(folder=templates_dir or shipped(), channels={it.name: it.parts for it in (Webhook, Email)})
    if unit is not None and unit.destinations is not None:
        pairs = [(it.template or kind, it.channel) for it in told(unit, unit.destinations)]
    else:
        wanted = channels or (unit and unit.channels) or ("webhook", "email")
        pairs = [(name, channel) for name in names or [kind] for channel in wanted]
    readers = {f"{name}/{channel}": renderer.names(name, channel) for name, channel in dict.fromkeys(pairs)}
    if unit is None or unit.destinations is None:
        readers["the list of destinations"] = frozenset({ORGANIZATION})
    recipe = known[kind]
    subject = recipe.subject(unit or WorkUnit.model_validate(EXAMPLE | {"kind": kind}))
    lines = explained(recipe, subject if readers else None, readers)
    return mermaid(lines) if picture else text(lines)


@asynccontextmanager
async def _reached(settings: Settings) -> AsyncIterator[Store]:
    log.to_people()
    opened = store(settings)
    try:
        await _soon(opened.redis.connect(), "Redis")
        yield opened
    finally:
        await opened.redis.close()


async def _soon(step: Any, service: str) -> None:
    try:
        await asyncio.wait_for(step, PATIENCE)
    except TimeoutError:
        raise Unready(f"{service} did not answer within {PATIENCE:g} s") from None
