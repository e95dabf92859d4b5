"""The shared cache: the scripts on Redis and on the embedded one, and plain Python that says what they must do."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.client import Redis, Store
from notification_sender.adapters.redis.shared_cache import RedisSharedCache
from notification_sender.ports.cache import CacheEntry, CacheLookup, SharedCache
from tests.oracles.shared_cache import MemorySharedCache
from tests.steered import Overheard, Steered
from tests.virtual import VirtualClock

A, B = "ns:1:{o}:fact:a", "ns:1:{o}:fact:b"
CHANNEL = "ns:1:news:facts"
LEASE = 3.0


def keep(body: bytes = b"body", fetched: float = 100.0) -> CacheEntry:
    return CacheEntry(body, fetched, soft=40.0, hard=50.0, ttl=3000.0)


@dataclass
class Stand:
    clock: VirtualClock
    shared: SharedCache
    store: Overheard | None = None
    woken: list[str] = field(default_factory=list)

    async def said(self) -> list[str]:
        """What those who waited were told, so far."""
        return self.woken if self.store is None else await self.store.said()

    async def look(self, key: str = A, *, token: str = "t-1", unusable: float = 0.0) -> CacheLookup:
        [look] = await self.shared.lookup({key: unusable}, token)
        return look

    async def kept(self) -> "Stand":
        """With one fact in the shared cache."""
        await self.look()
        await self.shared.store({A: keep()}, "t-1")
        return self


def on_redis(store: Store, clock: VirtualClock) -> Stand:
    overheard = Overheard(store, CHANNEL)
    return Stand(clock, RedisSharedCache(redis=Steered(overheard, clock), channel=CHANNEL, lease=LEASE), overheard)


def in_memory(clock: VirtualClock) -> Stand:
    woken: list[str] = []
    return Stand(clock, MemorySharedCache(clock=clock, wake=woken.append, lease=LEASE), woken=woken)


@pytest.fixture(params=["memory", "embedded", "redis"])
async def stand(request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    clock = VirtualClock()
    if request.param == "memory":
        yield in_memory(clock)
        return
    store = EmbeddedRedis() if request.param == "embedded" else Redis(url=request.getfixturevalue("redis_server"))
    await store.connect()
    yield on_redis(store, clock)
    await store.close()


async def test_of_all_who_look_for_a_missing_fact_one_fetches_it(stand: Stand) -> None:
    first, second = await stand.look(token="t-1"), await stand.look(token="t-2")
    assert (first.fetcher, first.body) == ("you", None)
    assert (second.fetcher, second.body, second.lease) == ("other", None, LEASE)
    assert (await stand.look(B, token="t-2")).fetcher == "you"


async def test_a_fact_is_fresh_then_grows_old_and_is_served_meanwhile_then_only_stands_in(stand: Stand) -> None:
    await stand.kept()
    assert await stand.look() == CacheLookup(b"body", 100.0, 40.0, 50.0, "nobody")
    stand.clock.jump(41)
    assert await stand.look(token="t-2") == CacheLookup(b"body", 100.0, -1.0, 9.0, "you")
    assert (await stand.look(token="t-3")).fetcher == "other"
    stand.clock.jump(10)
    assert await stand.look(token="t-4") == CacheLookup(b"body", 100.0, -11.0, -1.0, "you")


async def test_a_copy_that_the_caller_cannot_use_is_as_good_as_none(stand: Stand) -> None:
    await stand.kept()
    look = await stand.look(unusable=100.0, token="t-2")
    assert (look.body, look.fetcher) == (None, "you")
    assert (await stand.look(unusable=99.0, token="t-3")).body == b"body"


async def test_a_lease_ends_unless_it_is_extended_by_its_holder(stand: Stand) -> None:
    await stand.look(token="t-1")
    stand.clock.jump(2)
    await stand.shared.renew_leases([A], "t-1")
    await stand.shared.renew_leases([A], "t-2")
    stand.clock.jump(2)
    assert (await stand.look(token="t-2")).lease == 1.0
    stand.clock.jump(1)
    assert (await stand.look(token="t-2")).fetcher == "you"
    stand.clock.jump(3)
    await stand.shared.renew_leases([A], "t-2")
    assert (await stand.look(token="t-3")).fetcher == "you"


async def test_whoever_lost_the_lease_overwrites_nothing(stand: Stand) -> None:
    await stand.look(token="late")
    stand.clock.jump(4)
    await stand.look(token="t-2")
    await stand.shared.store({A: keep(b"late", 100.0)}, "late")
    assert (await stand.look(token="t-3")).body is None
    await stand.shared.store({A: keep(b"new", 104.0)}, "t-2")
    await stand.shared.store({A: keep(b"late", 100.0)}, "late")
    assert (await stand.look(token="t-3")).body == b"new"


async def test_whose_lease_ran_out_before_anybody_came_keeps_what_is_newer(stand: Stand) -> None:
    await stand.look(token="late")
    stand.clock.jump(4)
    await stand.shared.store({A: keep(b"new", 104.0)}, "later")
    await stand.shared.store({A: keep(b"late", 100.0)}, "late")
    assert (await stand.look()).body == b"new"
    await stand.shared.store({A: keep(b"newest", 108.0)}, "late")
    assert (await stand.look()).body == b"newest"


async def test_those_who_wait_are_woken_and_those_who_are_served_meanwhile_are_not(stand: Stand) -> None:
    await stand.kept()
    stand.clock.jump(41)
    await stand.look(token="t-2")
    await stand.look(token="t-3")
    await stand.shared.store({A: None}, "t-2", "503")
    assert await stand.said() == []
    stand.clock.jump(10)
    await stand.look(token="t-4")
    await stand.look(token="t-5")
    await stand.shared.store({A: None}, "t-4", "503")
    assert await stand.said() == [f"{A}\n503"]


async def test_nobody_is_told_of_a_fetch_that_nobody_waits_for_any_more(stand: Stand) -> None:
    await stand.look(token="dead")
    await stand.look(token="t-2")
    stand.clock.jump(4)
    await stand.look(token="t-3")
    await stand.shared.store({A: None}, "dead", "late")
    await stand.shared.store({A: keep()}, "t-3")
    assert await stand.said() == []


async def test_what_was_fetched_while_the_store_was_flushed_is_kept_all_the_same(stand: Stand) -> None:
    await stand.shared.store({A: keep()}, "nobody")
    assert (await stand.look()).body == b"body"


async def test_a_lease_that_is_given_up_is_free_and_a_copy_stays(stand: Stand) -> None:
    await stand.kept()
    stand.clock.jump(45)
    await stand.look(token="t-2")
    await stand.shared.store({A: None}, "t-2", "503")
    look = await stand.look(token="t-3")
    assert (look.body, look.fetcher) == (b"body", "you")


async def test_any_bytes_come_back_as_they_were(stand: Stand) -> None:
    await stand.shared.lookup({A: 0.0, B: 0.0}, "t-1")
    await stand.shared.store({A: keep(b"\x00\xff\r\n"), B: keep(bytes(range(256)) * 100)}, "t-1")
    bodies = [look.body for look in await stand.shared.lookup({B: 0.0, A: 0.0}, "t-2")]
    assert bodies == [bytes(range(256)) * 100, b"\x00\xff\r\n"]


# --- on Redis alone ---------------------------------------------------------------------------------------


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    redis = Redis(url=redis_server)
    await redis.connect()
    yield redis
    await redis.close()


async def test_every_key_ends_some_day(redis: Redis) -> None:
    shared = RedisSharedCache(redis=redis, channel=CHANNEL)
    await shared.lookup({A: 0.0, B: 0.0}, "t-1")
    await shared.store({A: keep()}, "t-1")
    keys = {key: await redis.execute("PTTL", key) for key in await redis.execute("KEYS", "*")}
    assert keys.keys() == {A.encode(), f"{B}:lease".encode()}
    assert 2_900_000 < keys[A.encode()] <= 3_000_000
    assert 2_000 < keys[f"{B}:lease".encode()] <= 3_000


@pytest.mark.parametrize(
    "poison",
    [
        ("SET", A, "garbage"),
        ("SET", f"{A}:lease", "garbage"),
        ("HSET", f"{A}:lease", "token", "t-0", "ends", "soon"),
        ("HSET", f"{A}:lease", "token", "t-0", "ends", "9e99"),
        ("HSET", A, "body", "x"),
        ("HSET", A, "body", "x", "fetched", "9" * 400),
        ("HSET", A, "body", "x", "fetched", "soon", "soft", "9e99", "hard", "9e99"),
        ("HSET", A, "body", "x", "fetched", "1", "soft", "now", "hard", ""),
    ],
)
async def test_what_somebody_else_wrote_there_is_fetched_and_overwritten(redis: Redis, poison: tuple[str, ...]) -> None:
    shared = RedisSharedCache(redis=redis, channel=CHANNEL)
    await redis.execute(*poison)
    [look] = await shared.lookup({A: 0.0}, "t-1")
    assert look.fetcher == "you"
    assert look.body is None or look.hard <= 0
    await shared.store({A: keep()}, "t-1")
    [look] = await shared.lookup({A: 0.0}, "t-2")
    assert (look.fetcher, look.body) == ("nobody", b"body")


@pytest.mark.parametrize(
    "poison",
    [("SET", A, "garbage"), ("HSET", A, "fetched", "soon"), ("SET", f"{A}:lease", "garbage")],
)
async def test_what_somebody_else_wrote_there_meanwhile_is_overwritten(redis: Redis, poison: tuple[str, ...]) -> None:
    shared = RedisSharedCache(redis=redis, channel=CHANNEL)
    await shared.lookup({A: 0.0}, "t-1")
    await redis.execute("DEL", poison[1])
    await redis.execute(*poison)
    await shared.renew_leases([A], "t-1")
    await shared.store({A: keep()}, "t-1")
    [look] = await shared.lookup({A: 0.0}, "t-2")
    assert (look.fetcher, look.body) == ("nobody", b"body")


async def test_while_the_store_is_away_everybody_fetches() -> None:
    shared = RedisSharedCache(redis=Redis(url="redis://127.0.0.1:1/0"), channel=CHANNEL)
    await shared.store({A: keep()}, "t-1")
    await shared.renew_leases([A], "t-1")
    assert [look.fetcher for look in await shared.lookup({A: 0.0, B: 0.0}, "t-1")] == ["you", "you"]


MANY = {f"ns:1:{{o}}:fact:{number}": 0.0 for number in range(1000)}


async def test_a_thousand_facts_are_settled_as_one_each_is(stand: Stand) -> None:
    for number in (0, 150, 999):
        await stand.look(f"ns:1:{{o}}:fact:{number}", token="t-0")
        await stand.shared.store({f"ns:1:{{o}}:fact:{number}": keep(f"body {number}".encode())}, "t-0")
    await stand.look("ns:1:{o}:fact:500", token="t-2")
    looks = await stand.shared.lookup(MANY, "t-1")
    assert {number: look.body for number, look in enumerate(looks) if look.fetcher == "nobody"} == {
        number: f"body {number}".encode() for number in (0, 150, 999)
    }
    assert [number for number, look in enumerate(looks) if look.fetcher == "other"] == [500]
    stand.clock.jump(LEASE - 0.5)
    await stand.shared.renew_leases(list(MANY), "t-1")
    stand.clock.jump(1.0)
    assert {
        look.fetcher for number, look in enumerate(await stand.shared.lookup(MANY, "t-3")) if number in (1, 998)
    } == {"other"}
    await stand.shared.store({key: keep(key.encode()) for key in MANY}, "t-1")
    looks = await stand.shared.lookup(dict.fromkeys(MANY, 0.0), "t-4")
    assert all(look.body == key.encode() for (key, look) in zip(MANY, looks, strict=True) if key[-3:] in {"001", "998"})
