"""What people are told of destinations, and that the right one is switched on again."""

from collections.abc import AsyncIterator

import pytest

from notification_sender.adapters.redis import Redis
from notification_sender.adapters.redis_destinations import RedisDestinations
from notification_sender.adapters.redis_ledger import RedisLedger
from notification_sender.ports import Final, Key, Mine, Tried


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    redis = Redis(url=redis_server)
    await redis.connect()
    yield redis
    await redis.close()


async def gone(redis: Redis, organization_id: str, destination_id: str) -> None:
    ledger = RedisLedger(redis=redis, prefix="ns", lease=30, ledger_ttl=3600, horizon=60, disable_after=60)
    mine = await ledger.claim(Key(organization_id, "notification", destination_id), "t", 1, replays=0)
    assert isinstance(mine, Mine)
    tried = Tried(Key(organization_id, "destination", f"{destination_id}:0123456789abcdef"), "gone", "{}")
    assert await ledger.finish(mine.claim, Final("dead", "gone"), tried)


async def test_one_is_switched_on_again_and_no_other_whose_id_begins_alike(redis: Redis) -> None:
    for organization, destination in (("org-1", "noc"), ("org-1", "noc:hook"), ("org-2", "noc")):
        await gone(redis, organization, destination)
    destinations = RedisDestinations(redis=redis, prefix="ns")
    assert await destinations.enable("org-1", "noc") == 1
    assert await destinations.enable("org-1", "noc") == 0
    off = {(it.organization_id, it.destination_id): it.until > 0 for it in await destinations.troubled()}
    assert off == {("org-1", "noc"): False, ("org-1", "noc:hook"): True, ("org-2", "noc"): True}
    assert [it.off for it in await destinations.troubled("org-2")] == ["gone"]
