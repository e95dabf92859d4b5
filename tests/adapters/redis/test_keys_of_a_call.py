"""No command holds Redis for long: at most 200 keys in one call, and never a whole set or hash of unknown size."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest

from notification_sender.adapters.redis.client import Redis
from notification_sender.adapters.redis.ledger import RedisLedger
from notification_sender.adapters.redis.operators import RedisDestinations, RedisSuppressions
from notification_sender.adapters.redis.scripts import Script
from notification_sender.adapters.redis.shared_cache import RedisSharedCache
from notification_sender.model.errors import Unready
from notification_sender.ports.cache import CacheEntry
from notification_sender.ports.ledger import Claim, Key, TerminalState

MOST = 200
MANY = 1_000
UNBOUNDED = {"HGETALL", "HKEYS", "HVALS", "SMEMBERS", "KEYS", "LRANGE", "SINTER", "SUNION"}
OF_KEYS = {"DEL", "UNLINK", "EXISTS", "TOUCH", "MGET"}


class Counting:
    """A store that counts the keys of each command, and keeps what waits for an answer at once."""

    def __init__(self, store: Redis) -> None:
        self._store = store
        self.keys: list[int] = []
        self.names: set[str] = set()
        self._under_way = self.most_at_once = 0

    async def execute(self, *command: Any) -> Any:
        self.names.add(command[0])
        self.keys.append(len(command) - 1 if command[0] in OF_KEYS else 1)
        return await self._counted(self._store.execute(*command))

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        self.keys.append(len(keys))
        return await self._counted(self._store.run(script, keys, arguments))

    async def _counted(self, reply: Awaitable[Any]) -> Any:
        self._under_way += 1
        self.most_at_once = max(self.most_at_once, self._under_way)
        try:
            return await reply
        finally:
            self._under_way -= 1


@pytest.fixture
async def counting(redis_server: str) -> AsyncIterator[Counting]:
    redis = Redis(url=redis_server)
    await redis.connect()
    yield Counting(redis)
    await redis.close()


def ledger(store: Counting) -> RedisLedger:
    times: dict[str, float] = {
        "lease": 30.0,
        "ledger_ttl": 600.0,
        "story_ttl": 60.0,
        "horizon": 60.0,
        "disable_after": 60.0,
    }
    return RedisLedger(redis=store, prefix="ns", **times)


async def facts(store: Counting) -> None:
    shared = RedisSharedCache(redis=store, channel="ns:1:news:facts")
    keys = [f"ns:1:{{o}}:fact:{number}" for number in range(MANY)]
    assert len(await shared.lookup(dict.fromkeys(keys, 0.0), "t")) == MANY
    await shared.renew_leases(keys, "t")
    await shared.store({key: CacheEntry(b"body", 1.0, 60.0, 60.0, 60.0) for key in keys}, "t")
    looks = await shared.lookup(dict.fromkeys(keys, 0.0), "t-2")
    assert {look.fetcher for look in looks} == {"nobody"}


async def suppressions(store: Counting) -> None:
    people, hashes = RedisSuppressions(redis=store, prefix="ns"), [f"{number:064x}" for number in range(MANY)]
    await people.suppress("o", hashes, seconds=60.0, reason="asked")
    assert len(await people.suppressed("o")) == MANY
    assert await people.unsuppress("o", hashes) == MANY


async def an_audit(store: Counting) -> None:
    records = ledger(store)
    for number in range(MANY):
        await records.register("b", MANY, Key("o", "unit", f"wu-{number}"))
    ids = [f"n-{number}" for number in range(MANY)]
    claim = await records.claim(Key("o", "unit", "wu-0"), "t", 1, replays=0)
    assert await records.finish(Claim(Key("o", "unit", "wu-0"), "t", 1), TerminalState("done", "", ids)), claim
    outcomes = await records.unit_states("b", "o")
    assert len(outcomes) == MANY
    assert len(outcomes["wu-0"]) == MANY
    assert await records.batches("b") == {"o": MANY}


async def troubled_destinations(store: Counting) -> None:
    for number in range(MANY):
        await store.execute("HSET", f"ns:1:{{o}}:destination:d-{number}:0a1b", "failing", 1)
    assert len(await RedisDestinations(redis=store, prefix="ns").troubled()) == MANY


@pytest.mark.parametrize("work", [facts, suppressions, an_audit, troubled_destinations])
async def test_no_command_has_more_than_two_hundred_keys(
    counting: Counting, work: Callable[[Counting], Awaitable[None]]
) -> None:
    await work(counting)
    assert max(counting.keys) <= MOST
    assert counting.names.isdisjoint(UNBOUNDED)
    assert counting.most_at_once <= 2 * MOST  # the suppressions' two of each


async def test_a_store_that_goes_away_half_way_is_asked_for_the_rest_in_vain(counting: Counting) -> None:
    shared, run, calls = RedisSharedCache(redis=counting, channel="c"), counting.run, 0

    async def lost(*call: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 2:
            raise Unready("away")
        return await run(*call)

    counting.run = lost  # type: ignore[method-assign]
    looks = await shared.lookup({f"ns:1:{{o}}:fact:{number}": 0.0 for number in range(MANY)}, "t")
    assert [look.fetcher for look in looks] == ["you"] * MANY
