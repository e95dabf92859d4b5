"""The suppression list on Redis and on the embedded one."""

from collections.abc import AsyncIterator

import pytest

from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.client import Redis, Store
from notification_sender.adapters.redis.operators import COMMAND_BATCH, RedisSuppressions
from notification_sender.model.destination import recipient_hash

NOC, OPS = recipient_hash("noc@example.com"), recipient_hash("ops@example.com")
DAY = 86_400.0


@pytest.fixture(params=["embedded", "redis"])
async def store(request: pytest.FixtureRequest) -> AsyncIterator[Store]:
    store = EmbeddedRedis() if request.param == "embedded" else Redis(url=request.getfixturevalue("redis_server"))
    await store.connect()
    yield store
    await store.close()


@pytest.fixture
def suppressions(store: Store) -> RedisSuppressions:
    return RedisSuppressions(redis=store, prefix="ns")


async def test_the_list_is_of_one_organization(suppressions: RedisSuppressions) -> None:
    await suppressions.suppress("org-1", [NOC], seconds=DAY, reason="asked on the phone ☎")
    await suppressions.suppress("org-2", [OPS], seconds=DAY, reason="")
    [listed] = await suppressions.suppressed("org-1")
    assert (listed.recipient, listed.reason) == (NOC, "asked on the phone ☎")
    assert DAY - 60 < listed.left <= DAY


async def test_it_ends_by_itself_and_adding_again_starts_anew(suppressions: RedisSuppressions, store: Store) -> None:
    await suppressions.suppress("org-1", [NOC], seconds=DAY, reason="once")
    await suppressions.suppress("org-1", [NOC], seconds=60, reason="twice")
    assert await store.execute("GET", f"ns:1:{{org-1}}:recipient:{NOC}") == b"twice"
    assert 0 < await store.execute("PTTL", f"ns:1:{{org-1}}:recipient:{NOC}") <= 60_000


async def test_who_is_removed_is_told_again_and_it_is_said_how_many_were(suppressions: RedisSuppressions) -> None:
    await suppressions.suppress("org-1", [NOC, OPS], seconds=DAY, reason="")
    assert await suppressions.unsuppress("org-1", [NOC, recipient_hash("x@example.com")]) == 1
    assert await suppressions.unsuppress("org-1", [NOC]) == 0
    assert [it.recipient for it in await suppressions.suppressed("org-1")] == [OPS]


async def test_a_long_list_goes_through_piece_by_piece(suppressions: RedisSuppressions) -> None:
    many = [recipient_hash(f"u{number}@example.com") for number in range(2 * COMMAND_BATCH + 1)]
    await suppressions.suppress("org-1", many, seconds=DAY, reason="")
    assert [it.recipient for it in await suppressions.suppressed("org-1")] == sorted(many)
    assert await suppressions.unsuppress("org-1", many) == len(many)
