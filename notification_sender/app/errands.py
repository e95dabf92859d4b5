"""What the command line asks for besides running: one question, one answer, everything closed again."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from notification_sender.adapters.clock import SystemClock
from notification_sender.app.services import broker, store, topology
from notification_sender.channels.email import Email
from notification_sender.channels.webhook import Webhook
from notification_sender.model.errors import Unready
from notification_sender.model.unit import WorkUnit
from notification_sender.policy.audit import Audit
from notification_sender.ports import Lane
from notification_sender.render import Renderer, shipped
from notification_sender.settings import Settings
from notification_sender.telemetry import log

PATIENCE = 10.0
"""Seconds that a command waits for a service: a person is waiting for the command."""


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
    log.to_people()
    opened = store(settings)
    try:
        await _soon(opened.redis.connect(), "Redis")
        return await opened.audit(batch_id)
    finally:
        await opened.redis.close()


async def enable(settings: Settings, organization_id: str, destination_id: str) -> int:
    """Switch a destination on again; at how many addresses it was off.

    Raises:
        Unready: the store is away.
    """
    log.to_people()
    opened = store(settings)
    try:
        await _soon(opened.redis.connect(), "Redis")
        return await opened.ledger.enable(organization_id, destination_id)
    finally:
        await opened.redis.close()


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


async def _soon(step: Any, service: str) -> None:
    try:
        await asyncio.wait_for(step, PATIENCE)
    except TimeoutError:
        raise Unready(f"{service} did not answer within {PATIENCE:g} s") from None
