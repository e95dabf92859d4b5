"""The worker's backends, chosen by URL: RabbitMQ and Redis, or the embedded ones."""

import asyncio
import os
import re
import socket
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from notification_sender.adapters.rabbitmq.broker import PUBLISH_TIMEOUT, RabbitMQ
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.adapters.redis.client import CONNECT_TIMEOUT, Redis, store_at
from notification_sender.adapters.redis.eviction import Eviction
from notification_sender.adapters.redis.fleet import RedisFleet
from notification_sender.adapters.redis.ledger import RedisLedger
from notification_sender.adapters.redis.operators import RedisDestinations, RedisLimits, RedisSuppressions, Trouble
from notification_sender.adapters.redis.overrides import RedisOverrides
from notification_sender.adapters.redis.pubsub import RedisPubSub, channel
from notification_sender.adapters.redis.reports import RedisReports
from notification_sender.adapters.redis.shared_cache import RedisSharedCache
from notification_sender.app.tls import broker_address, redis_tls
from notification_sender.context.cache.read_through import TOPIC
from notification_sender.context.upstream.guards import PERIOD
from notification_sender.model.override import PauseScope
from notification_sender.policy.audit import Audit
from notification_sender.policy.audit import audit as count
from notification_sender.policy.fleet_view import FleetView
from notification_sender.policy.sizing import Retention
from notification_sender.ports.clock import Clock
from notification_sender.settings import Settings

if TYPE_CHECKING:
    from notification_sender.adapters.memory.broker import MemoryBroker
    from notification_sender.adapters.memory.pubsub import MemoryPubSub
    from notification_sender.adapters.memory.redis import EmbeddedRedis

    Broker = RabbitMQ | MemoryBroker

LONGEST_HOST = 40
"""Characters of a host's name in a story. Redis keeps a record small while no value has more than 64."""

_STRANGE = re.compile(r"[^A-Za-z0-9._-]")
OPERATOR = "operator"
"""Why a destination is off that an operator switched off."""

STORY_SECONDS = 2 * 86_400.0
"""Seconds for which the attempts of a notification are kept by default."""


def retention(settings: Settings) -> Retention:
    """How long the ledger keeps its records."""
    return Retention(settings.ledger_ttl, settings.story_ttl or min(STORY_SECONDS, settings.ledger_ttl))


def topology(settings: Settings) -> Topology:
    """The names of all queues and exchanges."""
    return Topology(prefix=settings.topology_prefix, units_queue=settings.units_queue)


def broker(
    settings: Settings, clock: Clock, lost: Callable[[int], None] = lambda _: None, *, timeout: float = PUBLISH_TIMEOUT
) -> "Broker":
    """The broker, not connected yet. ``lost`` gets the number of events not sent; ``timeout``: seconds of a publish."""
    if settings.amqp_url.scheme == "memory":
        from notification_sender.adapters.memory.broker import MemoryBroker  # noqa: PLC0415 - production has none

        return MemoryBroker(clock=clock)
    address = broker_address(settings)
    return RabbitMQ(address=address, topology=topology(settings), clock=clock, timeout=timeout, lost=lost)


@dataclass(frozen=True, slots=True)
class Store:
    """Redis, and everything that is kept in it."""

    redis: "Redis | EmbeddedRedis"
    ledger: RedisLedger
    shared_cache: RedisSharedCache
    pubsub: "RedisPubSub | MemoryPubSub"
    fleet: RedisFleet
    suppressions: RedisSuppressions
    destinations: RedisDestinations
    limits: RedisLimits
    reports: RedisReports
    overrides: RedisOverrides
    eviction: Eviction

    async def open(self) -> None:
        """Wait for Redis, connect, and subscribe to pub/sub.

        Raises:
            ConfigurationFault: Redis refuses us, or may evict delivery records.
        """
        await self.connect()
        await self.pubsub.start()

    async def connect(self, *, once: bool = False) -> None:
        """Wait for Redis, connect, and check its eviction policy. Raises as ``open``; with ``once`` also Unready."""
        if isinstance(self.redis, Redis):
            await self.redis.connect(self.eviction.inspect, once=once)

    async def close(self) -> None:
        """Close all connections."""
        await self.pubsub.stop()
        await self.redis.close()

    async def troubled(self, organization_id: str | None = None) -> list[Trouble]:
        """The destinations that are off, failing, held or waiting, also those that an operator switched off."""
        found = await self.destinations.troubled(organization_id)
        for it in await self.overrides.active():
            if it.kind != "off":
                continue
            scope = PauseScope.of(it.subject)
            if organization_id in {None, scope.organization_id}:
                found.append(Trouble(scope.organization_id, scope.destination_id, "", OPERATOR, it.until, 0.0, 0.0))
        return sorted(found, key=lambda it: (it.organization_id, it.destination_id, it.address))

    async def fleet_view(self, *, broker_fault: str = "") -> FleetView:
        """Everything that is known of the fleet, but for RabbitMQ, of which the caller knows ``broker_fault``.

        Raises:
            Unready: Redis is away.
        """
        view, overrides = await asyncio.gather(self.reports.read(), self.overrides.active())
        return replace(view, overrides=overrides, broker_fault=broker_fault)

    async def audit(self, batch_id: str, organization_id: str | None = None) -> dict[str, Audit]:
        """Audit a batch, by organization (None: every organization that has it). Empty: no unit of it was seen."""
        batches = await self.ledger.batches(batch_id, organization_id)
        return {it: count(size, await self.ledger.unit_states(batch_id, it)) for it, size in batches.items()}


def store(settings: Settings, *, connecting: float = CONNECT_TIMEOUT) -> Store:
    """The store, not connected yet. ``connecting``: seconds for one attempt (a command makes only one)."""
    url = settings.redis_url.get_secret_value()
    redis = store_at(url, tls=redis_tls(settings), connect_timeout=connecting)
    ledger = RedisLedger(
        redis=redis,
        prefix=settings.keys_prefix,
        lease=settings.lease,
        ledger_ttl=settings.ledger_ttl,
        story_ttl=retention(settings).stories,
        horizon=settings.throttle_horizon,
        disable_after=settings.disable_after,
        process=process_name(),
    )
    prefix = settings.keys_prefix
    pubsub = _pubsub(redis, prefix)
    shared_cache = RedisSharedCache(redis=redis, channel=channel(prefix, TOPIC))
    return Store(
        redis=redis,
        ledger=ledger,
        shared_cache=shared_cache,
        pubsub=pubsub,
        fleet=RedisFleet(redis=redis, prefix=prefix, period=PERIOD),
        suppressions=RedisSuppressions(redis=redis, prefix=prefix),
        destinations=RedisDestinations(redis=redis, prefix=prefix),
        limits=RedisLimits(redis=redis, prefix=prefix),
        reports=RedisReports(redis=redis, prefix=prefix),
        overrides=RedisOverrides(redis=redis, prefix=prefix, pubsub=pubsub),
        eviction=Eviction(accepted=settings.accept_eviction, strict=settings.environment == "production"),
    )


def process_name() -> str:
    """Name this process in stories: its host or pod, and its process id."""
    return f"{_STRANGE.sub('-', socket.gethostname())[:LONGEST_HOST]}:{os.getpid()}"


def _pubsub(redis: "Redis | EmbeddedRedis", prefix: str) -> "RedisPubSub | MemoryPubSub":
    if isinstance(redis, Redis):
        return RedisPubSub(redis=redis, prefix=prefix)
    from notification_sender.adapters.memory.pubsub import MemoryPubSub  # noqa: PLC0415 - production has none

    return MemoryPubSub()
