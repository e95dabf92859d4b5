"""A Redis that forgets records when it is full: refused, put up with by name, or warned of."""

import asyncio
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from structlog.testing import capture_logs

from notification_sender.adapters.redis.client import Redis
from notification_sender.adapters.redis.eviction import Eviction
from notification_sender.model.errors import ConfigurationFault
from tests.faults.rows import row
from tests.services.redis import running_redis


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A server of its own, which evicts."""
    with running_redis(**{"maxmemory-policy": "allkeys-lru"}) as server:
        yield server.url


async def said(url: str, eviction: Eviction) -> list[str]:
    """What is warned of at a connection that is made."""
    redis = Redis(url=url)
    with capture_logs() as logs:
        await redis.connect(eviction.inspect)
    await redis.ping()
    await redis.close()
    return [entry["event"] for entry in logs]


@row(23, "allkeys-lru")
@pytest.mark.parametrize("accepted", [None, "volatile-lru"])
async def test_in_production_it_is_refused_with_what_to_do(url: str, accepted: str | None) -> None:
    with pytest.raises(ConfigurationFault) as fault:
        await Redis(url=url).connect(Eviction(accepted=accepted, strict=True).inspect)
    for words in ("evicts by allkeys-lru", "CONFIG SET maxmemory-policy noeviction", "NS_ACCEPT_EVICTION=allkeys-lru"):
        assert words in str(fault.value)


async def test_one_that_is_accepted_by_its_name_is_used(url: str) -> None:
    assert await said(url, Eviction(accepted="allkeys-lru", strict=True)) == []


async def test_in_development_it_is_warned_of(url: str) -> None:
    assert await said(url, Eviction(accepted=None, strict=False)) == ["redis.eviction_unsafe"]


@pytest.mark.parametrize("policy", ["noeviction", "volatile-ttl"])
async def test_what_keeps_the_ledger_is_used(redis_server: str, policy: str) -> None:
    redis = Redis(url=redis_server)
    await redis.connect()
    await redis.execute("CONFIG", "SET", "maxmemory-policy", policy)
    try:
        assert await said(redis_server, Eviction(accepted=None, strict=True)) == []
    finally:
        await redis.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await redis.close()


async def test_one_that_began_to_evict_while_it_was_away_is_warned_of_and_used(redis_server: str) -> None:
    redis, other = Redis(url=redis_server), Redis(url=redis_server)
    await redis.connect(Eviction(accepted=None, strict=True).inspect)
    await other.connect()
    await other.execute("CONFIG", "SET", "maxmemory-policy", "volatile-random")
    try:
        with capture_logs() as logs:
            await other.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            while redis.ready:  # noqa: ASYNC110 - nobody needs an event for that but this test
                await asyncio.sleep(0)
            await redis.wait_ready()
    finally:
        await other.execute("CONFIG", "SET", "maxmemory-policy", "noeviction")
        await redis.close()
        await other.close()
    [warning] = [it for it in logs if it["event"] == "redis.eviction_unsafe"]
    assert warning["policy"] == "volatile-random"


async def test_a_user_who_may_not_ask_is_warned_of(redis_server: str) -> None:
    redis = Redis(url=redis_server)
    await redis.connect()
    await redis.execute("ACL", "SETUSER", "worker", "on", ">word", "~*", "&*", "+@all", "-info")
    try:
        url = f"redis://worker:word@{urlsplit(redis_server).netloc}/0"
        assert await said(url, Eviction(accepted=None, strict=True)) == ["redis.eviction_unknown"]
    finally:
        await redis.execute("ACL", "DELUSER", "worker")
        await redis.close()
