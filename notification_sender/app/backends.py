"""Our own broker and store, by their URLs: RabbitMQ and Redis, or the embedded default."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from notification_sender.adapters.eviction import Eviction
from notification_sender.adapters.memory_broker import MemoryBroker
from notification_sender.adapters.memory_news import MemoryNews
from notification_sender.adapters.rabbitmq import RabbitMQ
from notification_sender.adapters.redis import Redis, store_at
from notification_sender.adapters.redis_destinations import RedisDestinations
from notification_sender.adapters.redis_fleet import RedisFleet
from notification_sender.adapters.redis_ledger import RedisLedger
from notification_sender.adapters.redis_news import RedisNews, channel
from notification_sender.adapters.redis_shelf import RedisShelf
from notification_sender.adapters.redis_suppressions import RedisSuppressions
from notification_sender.adapters.topology import Topology
from notification_sender.context.cache import TOPIC
from notification_sender.context.guards import PERIOD
from notification_sender.policy.audit import Audit
from notification_sender.policy.audit import audit as count
from notification_sender.ports import Clock
from notification_sender.settings import Settings

if TYPE_CHECKING:
    from notification_sender.adapters.embedded_redis import EmbeddedRedis

Broker = RabbitMQ | MemoryBroker


def topology(settings: Settings) -> Topology:
    """The names of all queues and exchanges."""
    return Topology(prefix=settings.topology_prefix, units_queue=settings.units_queue)


def broker(settings: Settings, clock: Clock, lost: Callable[[int], None] = lambda _: None) -> Broker:
    """Where messages come from and go to; not connected yet. ``lost`` is told how many events were not sent."""
    if settings.amqp_url.scheme == "memory":
        return MemoryBroker(clock=clock)
    url = settings.amqp_url.get_secret_value()
    return RabbitMQ(url=url, topology=topology(settings), clock=clock, lost=lost)


@dataclass(frozen=True, slots=True)
class Store:
    """Redis and what it is for."""

    redis: "Redis | EmbeddedRedis"
    ledger: RedisLedger
    shelf: RedisShelf
    news: RedisNews | MemoryNews
    fleet: RedisFleet
    suppressions: RedisSuppressions
    destinations: RedisDestinations
    eviction: Eviction

    async def open(self) -> None:
        """Return when it is there.

        Raises:
            ConfigurationFault: it refuses us, or would forget what was delivered.
        """
        await self.connect()
        await self.news.start()

    async def connect(self) -> None:
        """Return when it is there, and may be trusted to remember; raises as ``open``."""
        if isinstance(self.redis, Redis):
            await self.redis.connect(self.eviction.inspect)

    async def close(self) -> None:
        """Close all connections."""
        await self.news.stop()
        await self.redis.close()

    async def audit(self, batch_id: str) -> Audit | None:
        """What became of a batch; None if none of its units was seen."""
        expected = await self.ledger.expected(batch_id)
        if expected is None:
            return None
        return count(expected, await self.ledger.fates(batch_id))


def store(settings: Settings) -> Store:
    """Not connected yet."""
    redis = store_at(settings.redis_url.get_secret_value())
    ledger = RedisLedger(
        redis=redis,
        prefix=settings.topology_prefix,
        lease=settings.lease,
        ledger_ttl=settings.ledger_ttl,
        horizon=settings.throttle_horizon,
        disable_after=settings.disable_after,
    )
    prefix = settings.topology_prefix
    news = RedisNews(redis=redis, prefix=prefix) if isinstance(redis, Redis) else MemoryNews()
    shelf = RedisShelf(redis=redis, channel=channel(prefix, TOPIC))
    return Store(
        redis=redis,
        ledger=ledger,
        shelf=shelf,
        news=news,
        fleet=RedisFleet(redis=redis, prefix=prefix, period=PERIOD),
        suppressions=RedisSuppressions(redis=redis, prefix=prefix),
        destinations=RedisDestinations(redis=redis, prefix=prefix),
        eviction=Eviction(accepted=settings.accept_eviction, strict=settings.environment == "production"),
    )
