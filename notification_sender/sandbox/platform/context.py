"""Gathers the context of one unit from the simulated platform, as JSON for ``notification-sender render``."""

import random
from typing import Any

from notification_sender.adapters.clock import SystemClock
from notification_sender.app.apis import Upstreams
from notification_sender.app.backends import store
from notification_sender.context.cache.read_through import Cache
from notification_sender.context.gather import Context, Gatherer, timestamp
from notification_sender.context.source import MISSING
from notification_sender.model.unit import WorkUnit
from notification_sender.policy.destinations import ORGANIZATION
from notification_sender.sandbox.platform.platform import Platform
from notification_sender.sandbox.platform.world import World
from notification_sender.settings import Settings
from notification_sender.telemetry.metrics import Metrics

DEVELOPMENT = {"NS_ENVIRONMENT": "development", "NS_AMQP_URL": "memory://", "NS_REDIS_URL": "memory://"}


async def context(world: World, unit: WorkUnit) -> dict[str, Any]:
    """Return every source by name, and the other names of a template: ``unit``, ``destination`` (the organization's
    first), ``degraded``, ``timestamp``.

    Raises:
        ContextUnavailable, SubjectNotFound: the world does not have the subject of the unit.
        TenantMismatch: it belongs to another organization of that world.
    """
    async with Platform(world) as platform:
        settings = Settings.load(platform.urls | DEVELOPMENT)
        opened, metrics = store(settings), Metrics()
        upstreams = Upstreams(settings, store=opened, clock=SystemClock(), metrics=metrics)
        cache = Cache(
            shared=opened.shared_cache,
            pubsub=opened.pubsub,
            clock=SystemClock(),
            dice=random.random,
            prefix=settings.keys_prefix,
            deadline=settings.gather_timeout,
            count=metrics.fact,
        )
        try:
            await opened.redis.connect()
            return await _gathered(upstreams.gatherers(cache)[unit.kind], unit)
        finally:
            await cache.close()
            await upstreams.close()
            await opened.redis.close()


async def _gathered(gatherer: Gatherer, unit: WorkUnit) -> dict[str, Any]:
    context: Context = await gatherer.gather(unit)
    facts = {name: None if value is MISSING else value for name, value in context.values.items()}
    destinations = unit.destinations or (facts.get(ORGANIZATION) or {}).get("destinations") or (None,)
    given = {"degraded": context.degraded, "timestamp": timestamp(unit, context), "destination": destinations[0]}
    return {"unit": unit.model_dump(mode="json", exclude_defaults=True)} | given | facts
