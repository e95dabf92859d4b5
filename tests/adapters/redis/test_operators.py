"""What people are told of destinations, and that the right one is switched on again."""

from collections.abc import AsyncIterator

import pytest

from notification_sender.adapters.redis.client import Redis
from notification_sender.adapters.redis.ledger import RedisLedger
from notification_sender.adapters.redis.operators import Missing, RedisDestinations
from notification_sender.ports.ledger import AttemptReport, Claimed, Key, TerminalState


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    redis = Redis(url=redis_server)
    await redis.connect()
    yield redis
    await redis.close()


async def gone(redis: Redis, organization_id: str, destination_id: str) -> None:
    ledger = RedisLedger(
        redis=redis, prefix="ns", lease=30, ledger_ttl=3600, story_ttl=60, horizon=60, disable_after=60
    )
    mine = await ledger.claim(Key(organization_id, "notification", destination_id), "t", 1, replays=0)
    assert isinstance(mine, Claimed)
    report = AttemptReport(Key(organization_id, "destination", f"{destination_id}:0123456789abcdef"), "gone", "{}")
    assert await ledger.finish(mine.claim, TerminalState("dead", "gone"), report)


async def test_those_that_wait_for_a_file_are_named_beside_the_others_while_they_are_told(
    redis: Redis,
) -> None:
    await gone(redis, "waits-1", "noc")
    destinations = RedisDestinations(redis=redis, prefix="ns")
    await destinations.record_missing(
        [Missing("waits-1", "no:file", "there is no /x"), Missing("waits-2", "a", "b")], 60
    )
    found = await destinations.troubled("waits-1")
    assert [(it.destination_id, it.off, it.waits_for) for it in found] == [
        ("no:file", "", "there is no /x"),
        ("noc", "gone", ""),
    ]
    left = await redis.execute("PTTL", "ns:1:{waits-1}:waiting:no:file")
    assert 0 < left <= 60_000
    assert await destinations.enable("waits-1", "no:file") == 0


async def test_one_is_switched_on_again_and_no_other_whose_id_begins_alike(redis: Redis) -> None:
    for organization, destination in (("org-1", "noc"), ("org-1", "noc:hook"), ("org-2", "noc")):
        await gone(redis, organization, destination)
    destinations = RedisDestinations(redis=redis, prefix="ns")
    assert await destinations.enable("org-1", "noc") == 1
    assert await destinations.enable("org-1", "noc") == 0
    off = {(it.organization_id, it.destination_id): it.until > 0 for it in await destinations.troubled()}
    assert off == {("org-1", "noc"): False, ("org-1", "noc:hook"): True, ("org-2", "noc"): True}
    assert [it.off for it in await destinations.troubled("org-2")] == ["gone"]
