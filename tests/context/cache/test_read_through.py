import asyncio
import gc
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.context.cache import facts, local
from notification_sender.context.cache.facts import Kind, Wanted
from notification_sender.model.errors import ContextUnavailable
from notification_sender.policy.freshness import Fence
from notification_sender.ports.cache import CacheEntry
from tests.context.fakes import CountingSharedCache, MovedClock, cache_of, until

KIND = Kind("1:trial:thing", ttl=60.0)
KEY = "ns:1:{acme}:fact:1:trial:thing:a"


ENTRY = {"organization_id": "acme", "value": "kept", "words": ""}


class Origin:
    """Where facts come from: counts, can be held back, and can fail."""

    def __init__(self, value: Any = "fact") -> None:
        self.value = value
        self.calls: list[list[str]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None
        self.ended = 0

    async def load(self, ids: Sequence[str]) -> Mapping[str, Any]:
        self.calls.append(list(ids))
        try:
            await self.gate.wait()
        finally:
            self.ended += 1
        if self.error:
            raise self.error
        return dict.fromkeys(ids, self.value)


def wanted(origin: Origin, fence: Fence | None = None, kind: Kind = KIND, organization: str = "acme") -> Wanted:
    return Wanted(kind, organization, origin.load, fence)


async def test_a_fact_is_fetched_once_by_the_whole_fleet() -> None:
    clock = MovedClock()
    shared, origin = CountingSharedCache(clock), Origin()
    first = await cache_of(clock, shared).get(wanted(origin), ["a"])
    second = await cache_of(clock, shared).get(wanted(origin), ["a"])
    assert (first.origin, second.origin) == ("fetched", "shelf")
    assert second.by_id == {"a": replace(first.by_id["a"], origin="shelf")}
    assert origin.calls == [["a"]]
    assert list(shared.kept) == [KEY]


async def test_another_organization_never_gets_it() -> None:
    clock = MovedClock()
    shared, origin = CountingSharedCache(clock), Origin()
    cache = cache_of(clock, shared)
    await cache.get(wanted(origin), ["a"])
    assert cache.local.get(KIND, "other", "a") is None
    await cache.get(wanted(origin, organization="other"), ["a"])
    assert len(origin.calls) == 2


async def test_all_who_ask_at_once_share_one_fetch_and_a_cancelled_one_does_not_end_it() -> None:
    origin, cache = Origin(), cache_of(clock := MovedClock(), CountingSharedCache(clock))
    origin.gate.clear()
    asking = [asyncio.create_task(cache.get(wanted(origin), ["a"])) for _ in range(75)]
    await until(lambda: bool(origin.calls))
    asking[0].cancel()
    await asyncio.wait(asking[:1])
    origin.gate.set()
    found = await asyncio.gather(*asking[1:])
    assert {it.by_id["a"].value for it in found} == {"fact"}
    assert origin.calls == [["a"]]


async def test_a_fetch_that_nobody_waits_for_any_more_is_finished_and_kept() -> None:
    origin, cache = Origin(), cache_of(clock := MovedClock(), CountingSharedCache(clock))
    origin.gate.clear()
    asking = [asyncio.create_task(cache.get(wanted(origin), ["a"])) for _ in range(2)]
    await until(lambda: bool(origin.calls))
    for task in asking:
        task.cancel()
    await asyncio.wait(asking)
    origin.gate.set()
    await until(lambda: cache.local.get(KIND, "acme", "a") is not None)
    assert len(origin.calls) == 1


async def test_what_is_being_fetched_is_given_up_at_the_end_of_the_process() -> None:
    clock = MovedClock()
    shared, origin = CountingSharedCache(clock), Origin()
    cache = cache_of(clock, shared)
    origin.gate.clear()
    asking = asyncio.create_task(cache.get(wanted(origin), ["a"]))
    await until(lambda: bool(origin.calls))
    other = asyncio.create_task(cache_of(clock, shared).get(wanted(origin), ["a"]))
    await until(lambda: len(shared.looks) == 2)
    await cache.close()
    assert origin.ended == 1
    origin.gate.set()
    assert (await other).by_id["a"].value == "fact"
    await asyncio.gather(asking, return_exceptions=True)


async def test_a_fetch_that_fails_is_not_kept_and_fails_for_all_who_waited() -> None:
    clock = MovedClock()
    shared, origin = CountingSharedCache(clock), Origin()
    origin.error = ContextUnavailable("503")
    cache = cache_of(clock, shared)
    ends = await asyncio.gather(*(cache.get(wanted(origin), ["a"]) for _ in range(3)), return_exceptions=True)
    assert [str(end) for end in ends] == ["503"] * 3
    assert (shared.kept, len(origin.calls)) == ({}, 1)


@given(dice=st.floats(0, 1, exclude_max=True))
def test_lifetimes_are_spread_by_a_tenth(dice: float) -> None:
    clock = MovedClock()
    shared = CountingSharedCache(clock)
    cache = cache_of(clock, shared, lambda: dice)
    asyncio.run(cache.get(wanted(Origin()), ["a"]))
    keep = shared.kept[KEY]
    assert 54.0 <= keep.hard <= 66.0
    assert keep.soft == pytest.approx(0.8 * keep.hard)


async def test_the_process_trusts_its_own_copy_for_seconds_only_and_holds_so_many() -> None:
    clock = MovedClock()
    shared, origin = CountingSharedCache(clock), Origin()
    cache = cache_of(clock, shared, capacity=2)
    await cache.get(wanted(origin), ["a"])
    await cache.get(wanted(origin), ["b"])
    await cache.get(wanted(origin), ["c"])
    assert [bool(cache.local.get(KIND, "acme", id_)) for id_ in "abc"] == [False, True, True]
    clock.time += local.LONGEST
    assert cache.local.get(KIND, "acme", "c") is None


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"\x01",
        b"\xff{}",
        b"\x01\xff",
        b"\x01[]",
        b"\x01{}",
        b"\x02not deflated",
        b"\x02" + zlib.compress(b"[" * 100_000),
        b"\x01" + orjson.dumps(ENTRY | {"words": None}),
        b"\x01" + orjson.dumps(ENTRY | {"organization_id": "other"}),
    ],
)
async def test_an_entry_that_cannot_be_used_is_a_miss_and_is_overwritten(entry: bytes) -> None:
    clock = MovedClock()
    shared, origin = CountingSharedCache(clock), Origin()
    await shared.store({KEY: CacheEntry(entry, clock.now() - 1, soft=30.0, hard=60.0, ttl=60.0)}, "somebody")
    found = await cache_of(clock, shared).get(wanted(origin), ["a"])
    assert (found.origin, found.by_id["a"].value) == ("fetched", "fact")
    assert (await cache_of(clock, shared).get(wanted(origin), ["a"])).origin == "shelf"


async def test_an_entry_that_grows_without_end_when_it_is_inflated_is_a_miss(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(facts, "MOST", 10_000)
    clock = MovedClock()
    shared, origin = CountingSharedCache(clock), Origin()
    bomb = b"\x02" + zlib.compress(orjson.dumps(ENTRY | {"value": "x" * 20_000}))
    await shared.store({KEY: CacheEntry(bomb, clock.now() - 1, soft=30.0, hard=60.0, ttl=60.0)}, "somebody")
    assert (await cache_of(clock, shared).get(wanted(origin), ["a"])).origin == "fetched"


async def test_an_old_copy_stands_in_while_the_api_is_unwell_and_says_so() -> None:
    clock = MovedClock()
    shared, origin = CountingSharedCache(clock), Origin()
    kind = Kind("1:trial:thing", ttl=60.0, stale=3600.0)
    await cache_of(clock, shared).get(wanted(origin, kind=kind), ["a"])
    clock.time += 61
    origin.error = ContextUnavailable("503")
    found = await cache_of(clock, shared).get(wanted(origin, kind=kind), ["a"])
    assert (found.origin, found.by_id["a"].value) == ("stale", "fact")
    assert shared.kept[KEY].ttl == 3660.0
    with pytest.raises(ContextUnavailable):
        await cache_of(clock, shared).get(wanted(origin, kind=kind), ["a", "b"])


NOW = MovedClock().now()


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


@pytest.mark.parametrize(
    ("modified", "fence", "refetched"),
    [
        (at(-100), Fence(modified=at(-100)), False),
        (at(-100), Fence(modified=at(-99)), True),
        (at(-100), Fence(fetched=at(0)), False),
        (at(-100), Fence(fetched=at(1)), True),
        (at(-100), Fence(modified=at(-100), fetched=at(1)), False),
        (at(-100), None, False),
        (None, Fence(modified=at(-100)), True),
    ],
)
async def test_a_copy_older_than_the_event_is_not_used(
    modified: datetime | None, fence: Fence | None, *, refetched: bool
) -> None:
    clock = MovedClock()
    shared = CountingSharedCache(clock)
    old = Origin({"modified": modified and modified.isoformat()})
    await cache_of(clock, shared).get(wanted(old), ["a"])
    clock.time += 2
    new = Origin({"modified": clock.now()})
    found = await cache_of(clock, shared).get(wanted(new, fence), ["a"])
    assert (found.origin == "fetched") is refetched


async def test_a_copy_at_hand_that_is_too_old_does_not_hide_the_one_on_the_shelf() -> None:
    clock = MovedClock()
    shared = CountingSharedCache(clock)
    here, there = cache_of(clock, shared), cache_of(clock, shared)
    await here.get(wanted(Origin({"modified": at(-100).isoformat()})), ["a"])
    clock.time += 1
    new, fence = Origin({"modified": at(0).isoformat()}), Fence(modified=at(-1))
    await there.get(wanted(new, fence), ["a"])
    assert (await here.get(wanted(new, fence), ["a"])).origin == "shelf"
    copy = here.local.get(KIND, "acme", "a")
    assert copy
    assert copy.value == new.value


@pytest.mark.parametrize(("happened", "calls"), [(timedelta(seconds=-1), 1), (timedelta(seconds=1), 2)])
async def test_a_fetch_of_others_that_began_before_the_event_is_made_again(happened: timedelta, calls: int) -> None:
    clock = MovedClock()
    shared, origin = CountingSharedCache(clock), Origin({"modified": at(-100).isoformat()})
    cache = cache_of(clock, shared)
    origin.gate.clear()
    before = asyncio.create_task(cache.get(wanted(origin), ["a"]))
    await until(lambda: bool(origin.calls))
    clock.time += 2
    fence = Fence(modified=at(0) + happened)
    after = [asyncio.create_task(cache.get(wanted(origin, fence), ["a"])) for _ in range(10)]
    await until(lambda: len(shared.looks) == 1)
    origin.gate.set()
    await asyncio.gather(before, *after)
    assert len(origin.calls) == calls


async def test_of_many_only_what_is_missing_is_fetched_in_chunks_side_by_side() -> None:
    clock = MovedClock()
    shared, origin = CountingSharedCache(clock), Origin()
    ids = [f"id-{number}" for number in range(251)]
    await cache_of(clock, shared).get(wanted(origin), ids[:1])
    origin.gate.clear()
    finding = asyncio.create_task(cache_of(clock, shared).get(wanted(origin), ids))
    await until(lambda: len(origin.calls) >= 4)
    origin.gate.set()
    found = await finding
    assert [len(call) for call in origin.calls] == [1, 100, 100, 50]
    assert len(shared.looks) == 2
    assert found.by_id.keys() == set(ids)


async def test_ids_that_others_fetch_already_are_waited_for_and_not_fetched_again() -> None:
    origin, cache = Origin(), cache_of(clock := MovedClock(), CountingSharedCache(clock))
    origin.gate.clear()
    asking = [asyncio.create_task(cache.get(wanted(origin), ids)) for ids in (["a", "b"], ["b", "c"])]
    await until(lambda: len(origin.calls) >= 2)
    origin.gate.set()
    _, second = await asyncio.gather(*asking)
    assert origin.calls == [["a", "b"], ["c"]]
    assert list(second.by_id) == ["b", "c"]


async def test_what_could_not_be_told_or_was_not_asked_for_is_not_kept() -> None:
    clock = MovedClock()
    shared = CountingSharedCache(clock)

    async def load(_: Sequence[str]) -> Mapping[str, Any]:
        return {"a": 1, "unasked": 2}

    found = await cache_of(clock, shared).get(Wanted(KIND, "acme", load), ["a", "c"])
    assert found.by_id.keys() == {"a"}
    assert list(shared.kept) == [KEY]


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_keys_of_different_ids_differ_whatever_they_hold(ids: list[str]) -> None:
    clock = MovedClock()
    shared = CountingSharedCache(clock)
    asyncio.run(cache_of(clock, shared).get(wanted(Origin()), ids))
    assert len(shared.kept) == 2
    assert all(key.isascii() and key.count(":") == KEY.count(":") and len(key) < 200 for key in shared.kept)


async def test_what_nobody_asks_for_any_more_leaves_the_memory() -> None:
    clock, origin = MovedClock(), Origin()
    cache = cache_of(clock, CountingSharedCache(clock))
    await cache.get(wanted(origin, kind=Kind("brief", ttl=0.0)), ["a"])
    await cache.get(wanted(origin), ["b", "c"])
    clock.time += local.LONGEST - 1
    await cache.get(wanted(origin), ["b"])
    clock.time += 1
    await cache.get(wanted(origin), ["d"])
    assert [id_ for *_, id_ in cache.local._held] == ["b", "d"]


async def test_of_two_fetches_that_fail_together_asyncio_does_not_complain() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    origin = Origin()
    origin.error = ContextUnavailable("503")
    with pytest.raises(ContextUnavailable):
        await cache_of(clock := MovedClock(), CountingSharedCache(clock)).get(
            wanted(origin), [str(number) for number in range(150)]
        )
    origin.error = None  # its traceback holds the tasks
    gc.collect()
    assert (len(origin.calls), complaints) == (2, [])
