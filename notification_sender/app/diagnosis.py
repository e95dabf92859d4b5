"""What a command sees of the fleet: Redis and RabbitMQ are asked at once, and either may be away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from typing import TypeVar

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.depths import depths_at
from notification_sender.app.asking import ANSWER_SECONDS, LONGEST_SECONDS, answer
from notification_sender.app.backends import store, topology
from notification_sender.app.reach import Place
from notification_sender.app.tls import broker_address
from notification_sender.model.errors import ConfigurationFault, Unready
from notification_sender.policy.fleet_view import FleetView, Sample
from notification_sender.ports.broker import QueueDepths
from notification_sender.settings import Settings
from notification_sender.telemetry import log
from notification_sender.telemetry.processor import waited_seconds

STARVED = 0.5
"""Part of ``ANSWER_SECONDS`` for which this process waited for a processor: what it saw of a service proves nothing."""

Answer = TypeVar("Answer")


async def fleet_view(settings: Settings) -> FleetView:
    """Everything that can be known of the fleet now. A service that is away is a part of that, and no error.

    Raises:
        ConfigurationFault: a service refuses us, or is embedded in a worker.
    """
    if "memory" in {settings.amqp_url.scheme, settings.redis_url.scheme}:
        raise ConfigurationFault("memory:// is inside of one worker: ask that worker itself (GET /status)")
    log.configure(form="text", level="critical")  # a service that is away is a part of the answer
    redis = Place.of("NS_REDIS_URL", settings.redis_url.get_secret_value())
    rabbitmq = Place.of("NS_AMQP_URL", settings.amqp_url.get_secret_value())
    began = waited_seconds()
    (view, redis_fault), (depths, broker_fault) = await asyncio.gather(
        _asked(redis, partial(_reports, settings)), _asked(rabbitmq, partial(_depths, settings))
    )
    starved = waited_seconds() - began >= STARVED * ANSWER_SECONDS
    view = view or FleetView(now=time.time(), redis_fault=redis_fault)
    return replace(view, broker_fault=broker_fault, samples=_with_depths(view, depths), reader_starved=starved)


async def _asked(place: Place, question: Callable[[], Awaitable[Answer]]) -> tuple[Answer | None, str]:
    """The answer, or why there is none."""
    try:
        return await answer(place, question), ""
    except Unready as fault:
        return None, str(fault)


async def _reports(settings: Settings) -> FleetView:
    opened = store(settings, connecting=LONGEST_SECONDS)
    try:
        await opened.redis.connect(once=True)  # type: ignore[call-arg]  # no embedded Redis here
        return await opened.fleet_view()
    finally:
        await opened.redis.close()


async def _depths(settings: Settings) -> QueueDepths:
    return await depths_at(broker_address(settings), topology(settings), SystemClock())


def _with_depths(view: FleetView, depths: QueueDepths | None) -> list[Sample]:
    """The samples of the fleet, and what RabbitMQ says now. Without that they are old, but still the last ones."""
    if depths is None:
        return list(view.samples)
    now = Sample(view.now, depths.units, depths.notifications, depths.dead, depths.ladder)
    return [*view.samples, now]
