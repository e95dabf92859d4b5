"""The operators' commands: each connects, does one thing, and closes its connections."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.headers import PUBLISHED
from notification_sender.app.backends import Store, broker, store, topology
from notification_sender.app.reach import Place
from notification_sender.model.destination import Suppression
from notification_sender.model.errors import Unready
from notification_sender.ports.broker import Lane
from notification_sender.settings import Settings
from notification_sender.telemetry import log

COMMAND_TIMEOUT = 10.0
"""Seconds that a command waits for a service: an operator waits for the command."""


async def publish(settings: Settings, bodies: list[bytes], one_more: Callable[[], None]) -> None:
    """Publish work units; ``one_more`` is called after the broker has confirmed each.

    Raises:
        TooLarge: the broker takes no message of this size; the units before it are published.
        Unready: the broker is away; some units may be published, and publishing them again does no harm.
    """
    log.to_people()
    clock = SystemClock()
    rabbitmq = broker(settings, clock)
    try:
        await _soon(rabbitmq.connect, Place.of("NS_AMQP_URL", settings.amqp_url.get_secret_value()))
        for body in bodies:
            await rabbitmq.publish(body, {PUBLISHED: int(1000 * clock.now())})
            one_more()
    finally:
        await rabbitmq.close()


async def declare(settings: Settings) -> list[str]:
    """Declare every queue and exchange; returns their names.

    Raises:
        ConfigurationFault: one exists with other arguments.
    """
    log.to_people()
    rabbitmq = broker(settings, SystemClock())
    try:
        await _soon(rabbitmq.connect, Place.of("NS_AMQP_URL", settings.amqp_url.get_secret_value()))
    finally:
        await rabbitmq.close()
    names = topology(settings)
    return [*(names.queue(lane) for lane in Lane), names.dead, names.events]


async def suppress(
    settings: Settings, organization_id: str, recipients: Sequence[str], *, seconds: float, reason: str
) -> None:
    """Suppress emails of the organization to these recipients (hashes) for ``seconds``.

    Raises:
        Unready: Redis is away; some recipients may be suppressed, and a repetition does no harm.
    """
    async with connected_store(settings) as opened:
        await opened.suppressions.suppress(organization_id, recipients, seconds=seconds, reason=reason)


async def unsuppress(settings: Settings, organization_id: str, recipients: Sequence[str]) -> int:
    """Take recipients (hashes) off the suppression list; returns how many were on it.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        return await opened.suppressions.unsuppress(organization_id, recipients)


async def suppressed(settings: Settings, organization_id: str) -> list[Suppression]:
    """The suppression list of an organization.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        return await opened.suppressions.suppressed(organization_id)


@asynccontextmanager
async def connected_store(settings: Settings) -> AsyncIterator[Store]:
    """Connect to Redis for one command.

    Raises:
        Unready: Redis is away.
    """
    log.to_people()
    opened = store(settings, connecting=COMMAND_TIMEOUT)
    try:
        await _soon(opened.redis.connect, Place.of("NS_REDIS_URL", settings.redis_url.get_secret_value()))
        yield opened
    finally:
        await opened.redis.close()


async def _soon(connect: Callable[[], Awaitable[None]], place: Place) -> None:
    """Connect within ``COMMAND_TIMEOUT``. The error says why the service could not be reached."""
    await place.named()
    try:
        await asyncio.wait_for(connect(), COMMAND_TIMEOUT)
    except TimeoutError:
        await place.reach()
        raise Unready(f"{place}: accepts connections, but did not answer within {COMMAND_TIMEOUT:g} s") from None
