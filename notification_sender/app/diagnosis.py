"""What a command sees of the fleet: Redis and RabbitMQ are asked at once, and either may be away."""

import asyncio
import time
from collections.abc import Awaitable
from dataclasses import replace
from typing import TypeVar

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.depths import depths_at
from notification_sender.app.backends import store, topology
from notification_sender.app.reach import REACH_TIMEOUT, Place
from notification_sender.app.tls import broker_address
from notification_sender.model.errors import ConfigurationFault, NotificationSenderError
from notification_sender.policy.fleet_view import FleetView, Sample
from notification_sender.ports.broker import QueueDepths
from notification_sender.settings import Settings
from notification_sender.telemetry import log
from notification_sender.telemetry.processor import waited_seconds

LOOK_SECONDS = REACH_TIMEOUT + 0.3
"""Seconds for both services to answer everything: the name, the connection and all questions.

Seconds for which this process waits for a processor do not count: they say nothing about a service.
"""

LONGEST_LOOK = 15.0
"""Seconds that a command takes at most, however long it waits for a processor."""

CLOSE_SECONDS = 0.5

STARVED = 0.5
"""Part of ``LOOK_SECONDS`` for which this process waited for a processor: what it saw of a service proves nothing."""

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
        _asked(redis, _reports(settings)), _asked(rabbitmq, _depths(settings))
    )
    starved = waited_seconds() - began >= STARVED * LOOK_SECONDS
    view = view or FleetView(now=time.time(), redis_fault=redis_fault)
    return replace(view, broker_fault=broker_fault, samples=_with_depths(view, depths), reader_starved=starved)


async def _asked(place: Place, question: Awaitable[Answer]) -> tuple[Answer | None, str]:
    """The answer, or why there is none."""
    asking = asyncio.ensure_future(question)
    answering = asyncio.ensure_future(_answer(place, asking))
    try:
        await within_budget(answering)
        return answering.result(), ""
    except ConfigurationFault:
        raise
    except TimeoutError:
        return None, f"{place}: accepts connections, but did not answer within {LOOK_SECONDS:g} s"
    except NotificationSenderError as fault:
        return None, str(fault) if str(fault).startswith(str(place)) else f"{place}: {fault}"
    finally:
        asking.cancel()
        answering.cancel()
        await asyncio.wait([asking, answering], timeout=CLOSE_SECONDS)
        for it in (asking, answering):
            if it.done() and not it.cancelled():
                it.exception()  # read, so that nobody warns of it


async def _answer(place: Place, asking: Awaitable[Answer]) -> Answer:
    await place.reach()
    return await asyncio.shield(asking)


async def within_budget(task: asyncio.Future[Answer]) -> None:
    """Wait for the end of a task.

    Raises:
        TimeoutError: the time is over.
    """
    began, waited = time.monotonic(), waited_seconds()
    while not task.done():
        passed = time.monotonic() - began
        left = min(LOOK_SECONDS - passed + waited_seconds() - waited, LONGEST_LOOK - passed)
        if left <= 0:
            raise TimeoutError
        await asyncio.wait([task], timeout=left)


async def _reports(settings: Settings) -> FleetView:
    opened = store(settings, connecting=LONGEST_LOOK)
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
