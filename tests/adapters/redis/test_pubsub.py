"""What one process tells the others: heard at once, by all, across a restart of the server."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from notification_sender.adapters.redis import pubsub as redis_pubsub
from notification_sender.adapters.redis.client import Redis
from notification_sender.adapters.redis.pubsub import RedisPubSub, channel
from notification_sender.adapters.redis.shared_cache import RedisSharedCache
from notification_sender.model.errors import ConfigurationFault
from notification_sender.ports.cache import CacheEntry
from tests.patience import patience
from tests.services.redis import Redis as Server

FACT = "ns:1:{o}:fact:a"


class Listener:
    def __init__(self) -> None:
        self.texts: asyncio.Queue[str] = asyncio.Queue()

    async def next(self) -> str:
        async with patience(10):
            return await self.texts.get()


@asynccontextmanager
async def process(url: str, listener: Listener) -> AsyncIterator[tuple[Redis, RedisPubSub]]:
    redis = Redis(url=url)
    pubsub = RedisPubSub(redis=redis, prefix="ns")
    pubsub.subscribe("facts", listener.texts.put_nowait)
    await redis.connect()
    try:
        await pubsub.start()
        yield redis, pubsub
    finally:
        await pubsub.stop()
        await redis.close()


async def test_what_one_process_tells_every_other_one_hears(redis_server: str) -> None:
    here, there = Listener(), Listener()
    async with process(redis_server, here) as (_, pubsub), process(redis_server, there):
        await pubsub.publish("other", "not asked for")
        await pubsub.publish("facts", "größer\nzwei")
        assert [await it.next() for it in (here, there)] == ["größer\nzwei"] * 2


async def test_whoever_waits_for_a_fetch_is_woken_at_its_end_and_told_why_there_is_nothing(redis_server: str) -> None:
    listener = Listener()
    async with process(redis_server, listener) as (redis, _):
        shared = RedisSharedCache(redis=redis, channel=channel("ns", "facts"))
        for keep, error in ((CacheEntry(b"x", 1.0, 0.001, 0.001, 60.0), ""), (None, "api: 503")):
            await shared.lookup({FACT: 1.0}, "leader")
            await shared.lookup({FACT: 1.0}, "follower")
            await shared.store({FACT: keep}, "leader", error)
            assert await listener.next() == f"{FACT}\n{error}"
        await shared.lookup({FACT: 1.0}, "leader")
        await shared.store({FACT: None}, "leader", "nobody waits for it")
        assert listener.texts.empty()


async def test_a_subscription_that_was_lost_is_made_again(redis_service: Server) -> None:
    listener = Listener()
    async with process(redis_service.url, listener) as (redis, pubsub):
        await redis.execute("CLIENT", "KILL", "TYPE", "pubsub")
        async with patience(10):
            while await redis.execute("PUBSUB", "NUMSUB", "ns:1:news:facts") != [b"ns:1:news:facts", 1]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        await pubsub.publish("facts", "again")
        assert await listener.next() == "again"


async def test_a_silent_connection_is_tried(redis_server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redis_pubsub, "SILENCE_SECONDS", 0.05)
    async with process(redis_server, Listener()) as (redis, _), patience(10):
        while b"cmd=ping" not in await redis.execute("CLIENT", "LIST", "TYPE", "pubsub"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_a_user_without_channels_is_a_fault_of_the_configuration_and_nothing_to_wait_for(
    redis_service: Server,
) -> None:
    redis = Redis(url=redis_service.url)
    await redis.connect()
    await redis.execute("ACL", "SETUSER", "mute", "on", ">word", "~*", "+@all", "resetchannels")
    try:
        with pytest.raises(ConfigurationFault, match=r"&ns:1:news:\*"):
            async with patience(10), process(redis_service.url.replace("//", "//mute:word@"), Listener()):
                raise AssertionError("it must not start")
    finally:
        await redis.execute("ACL", "DELUSER", "mute")
        await redis.close()
