"""The operators' commands: each connects, does one thing, and closes its connections."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.headers import PUBLISHED, trace_headers
from notification_sender.adapters.redis.client import Redis
from notification_sender.app.asking import ANSWER_SECONDS, LONGEST_SECONDS, opened
from notification_sender.app.backends import Store, broker, store, topology
from notification_sender.app.reach import Place
from notification_sender.app.traces import traces
from notification_sender.model.destination import Suppression
from notification_sender.model.trace import parse_traceparent
from notification_sender.ports.broker import Lane
from notification_sender.settings import Settings
from notification_sender.telemetry import log

if TYPE_CHECKING:
    from notification_sender.app.backends import Broker


async def publish(
    settings: Settings, bodies: list[bytes], one_more: Callable[[], None], traceparent: str | None = None
) -> None:
    """Publish work units; ``one_more`` is called after the broker has confirmed each. ``traceparent``: the trace that
    they belong to, else each has its own where traces are on.

    Raises:
        TooLarge: the broker takes no message of this size; the units before it are published.
        Unready: the broker is away; some units may be published, and publishing them again does no harm.
    """
    clock = SystemClock()
    made, parent = traces(settings, clock), parse_traceparent(traceparent)
    try:
        async with connected_broker(settings) as rabbitmq:
            for body in bodies:
                began, context = clock.now(), parent if made is None else made.publish(parent)
                headers = {} if context is None else trace_headers(context)
                await rabbitmq.publish(body, {PUBLISHED: int(1000 * began), **headers})
                if made is not None and context is not None:
                    made.published(context, parent, began)
                one_more()
    finally:
        if made is not None:
            await made.close()


async def declare(settings: Settings) -> list[str]:
    """Declare every queue and exchange; returns their names.

    Raises:
        ConfigurationFault: one exists with other arguments.
    """
    async with connected_broker(settings):
        pass
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


def connected_store(settings: Settings) -> AbstractAsyncContextManager[Store]:
    """Connect to Redis for one command. Raises as ``opened``."""
    log.to_people()
    return opened(Place.of("NS_REDIS_URL", settings.redis_url.get_secret_value()), _store(settings))


def connected_broker(settings: Settings) -> "AbstractAsyncContextManager[Broker]":
    """Connect to RabbitMQ, and declare the topology, for one command. Raises as ``opened``."""
    log.to_people()
    return opened(Place.of("NS_AMQP_URL", settings.amqp_url.get_secret_value()), _broker(settings))


@asynccontextmanager
async def _store(settings: Settings) -> AsyncIterator[Store]:
    made = store(settings, connecting=LONGEST_SECONDS)
    try:
        if isinstance(made.redis, Redis):
            await made.redis.connect(once=True)
        yield made
    finally:
        await made.redis.close()


@asynccontextmanager
async def _broker(settings: Settings) -> "AsyncIterator[Broker]":
    made = broker(settings, SystemClock(), timeout=ANSWER_SECONDS)
    try:
        await made.connect()
        yield made
    finally:
        await made.close()
