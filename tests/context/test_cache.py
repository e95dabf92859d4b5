import asyncio
import gc
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest
from context.fakes import DictShelf, MovedClock, cache_of, until
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.context import cache as module
from notification_sender.context.cache import Cache
from notification_sender.context.facts import Kind, Wanted
from notification_sender.model.errors import ContextUnavailable
from notification_sender.policy.freshness import Fence

KIND = Kind("1:trial:thing", ttl=60.0)
KEY = "ns:1:{acme}:fact:1:trial:thing:a"


ENTRY = {"organization_id": "acme", "fetched_at": 1.0, "fresh_until": 9e9, "value": "kept", "words": ""}


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
    clock, shelf, origin = MovedClock(), DictShelf(), Origin()
    first = await cache_of(clock, shelf).find(wanted(origin), ["a"])
    second = await cache_of(clock, shelf).find(wanted(origin), ["a"])
    assert (first.origin, second.origin) == ("fetched", "shelf")
    assert first.copies == second.copies
    assert origin.calls == [["a"]]
    assert list(shelf.bodies) == [KEY]


async def test_another_organization_never_gets_it() -> None:
    clock, shelf, origin = MovedClock(), DictShelf(), Origin()
    cache = cache_of(clock, shelf)
    await cache.find(wanted(origin), ["a"])
    assert cache.at_hand(KIND, "other", "a") is None
    await cache.find(wanted(origin, organization="other"), ["a"])
    assert len(origin.calls) == 2


async def test_all_who_ask_at_once_share_one_fetch_and_a_cancelled_one_does_not_end_it() -> None:
    origin, cache = Origin(), cache_of(MovedClock(), DictShelf())
    origin.gate.clear()
    asking = [asyncio.create_task(cache.find(wanted(origin), ["a"])) for _ in range(75)]
    await until(lambda: bool(origin.calls))
    asking[0].cancel()
    await asyncio.wait(asking[:1])
    origin.gate.set()
    found = await asyncio.gather(*asking[1:])
    assert {it.copies["a"].value for it in found} == {"fact"}
    assert origin.calls == [["a"]]


async def test_a_fetch_that_nobody_waits_for_any_more_ends() -> None:
    origin, cache = Origin(), cache_of(MovedClock(), DictShelf())
    origin.gate.clear()
    asking = [asyncio.create_task(cache.find(wanted(origin), ["a"])) for _ in range(2)]
    await until(lambda: bool(origin.calls))
    for task in asking:
        task.cancel()
    await asyncio.wait(asking)
    assert origin.ended == 1
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_fetch_that_fails_is_not_kept_and_fails_for_all_who_waited() -> None:
    shelf, origin = DictShelf(), Origin()
    origin.error = ContextUnavailable("503")
    cache = cache_of(MovedClock(), shelf)
    ends = await asyncio.gather(*(cache.find(wanted(origin), ["a"]) for _ in range(3)), return_exceptions=True)
    assert [str(end) for end in ends] == ["503"] * 3
    assert (shelf.bodies, len(origin.calls)) == ({}, 1)


@given(dice=st.floats(0, 1, exclude_max=True))
def test_lifetimes_are_spread_by_a_tenth(dice: float) -> None:
    shelf = DictShelf()
    cache = cache_of(MovedClock(), shelf, lambda: dice)
    asyncio.run(cache.find(wanted(Origin()), ["a"]))
    assert 54.0 <= shelf.ttls[KEY] <= 66.0


async def test_the_process_trusts_its_own_copy_for_seconds_only_and_holds_so_many() -> None:
    clock, shelf, origin = MovedClock(), DictShelf(), Origin()
    cache = Cache(shelf=shelf, clock=clock, dice=lambda: 0.5, prefix="ns", capacity=2)
    await cache.find(wanted(origin), ["a"])
    await cache.find(wanted(origin), ["b"])
    await cache.find(wanted(origin), ["c"])
    assert [bool(cache.at_hand(KIND, "acme", id_)) for id_ in "abc"] == [False, True, True]
    clock.time += module.AT_HAND
    assert cache.at_hand(KIND, "acme", "c") is None


@pytest.mark.parametrize(
    "entry",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        orjson.dumps(ENTRY | {"value": None, "words": None}),
        orjson.dumps(ENTRY | {"fetched_at": "1"}),
        orjson.dumps(ENTRY | {"organization_id": "other"}),
    ],
)
async def test_an_entry_that_cannot_be_used_is_a_miss_and_is_overwritten(entry: bytes) -> None:
    shelf, origin = DictShelf(), Origin()
    shelf.bodies[KEY] = entry
    found = await cache_of(MovedClock(), shelf).find(wanted(origin), ["a"])
    assert (found.origin, found.copies["a"].value) == ("fetched", "fact")
    assert orjson.loads(shelf.bodies[KEY])["value"] == "fact"


async def test_an_old_copy_stands_in_while_the_api_is_unwell_and_says_so() -> None:
    clock, shelf, origin = MovedClock(), DictShelf(), Origin()
    kind = Kind("1:trial:thing", ttl=60.0, stale=3600.0)
    await cache_of(clock, shelf).find(wanted(origin, kind=kind), ["a"])
    clock.time += 61
    origin.error = ContextUnavailable("503")
    found = await cache_of(clock, shelf).find(wanted(origin, kind=kind), ["a"])
    assert (found.origin, found.copies["a"].value) == ("stale", "fact")
    assert shelf.ttls[KEY] == 3660.0
    with pytest.raises(ContextUnavailable):
        await cache_of(clock, shelf).find(wanted(origin, kind=kind), ["a", "b"])


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
    clock, shelf = MovedClock(), DictShelf()
    old = Origin({"modified": modified and modified.isoformat()})
    await cache_of(clock, shelf).find(wanted(old), ["a"])
    clock.time += 2
    new = Origin({"modified": clock.now()})
    found = await cache_of(clock, shelf).find(wanted(new, fence), ["a"])
    assert (found.origin == "fetched") is refetched


async def test_a_copy_at_hand_that_is_too_old_does_not_hide_the_one_on_the_shelf() -> None:
    clock, shelf = MovedClock(), DictShelf()
    here, there = cache_of(clock, shelf), cache_of(clock, shelf)
    await here.find(wanted(Origin({"modified": at(-100).isoformat()})), ["a"])
    clock.time += 1
    new, fence = Origin({"modified": at(0).isoformat()}), Fence(modified=at(-1))
    await there.find(wanted(new, fence), ["a"])
    assert (await here.find(wanted(new, fence), ["a"])).origin == "shelf"
    copy = here.at_hand(KIND, "acme", "a")
    assert copy
    assert copy.value == new.value


@pytest.mark.parametrize(("happened", "calls"), [(timedelta(seconds=-1), 1), (timedelta(seconds=1), 2)])
async def test_a_fetch_of_others_that_began_before_the_event_is_made_again(happened: timedelta, calls: int) -> None:
    clock, shelf, origin = MovedClock(), DictShelf(), Origin({"modified": at(-100).isoformat()})
    cache = cache_of(clock, shelf)
    origin.gate.clear()
    before = asyncio.create_task(cache.find(wanted(origin), ["a"]))
    await until(lambda: bool(origin.calls))
    clock.time += 2
    fence = Fence(modified=at(0) + happened)
    after = [asyncio.create_task(cache.find(wanted(origin, fence), ["a"])) for _ in range(10)]
    await until(lambda: len(shelf.reads) == 11)
    origin.gate.set()
    await asyncio.gather(before, *after)
    assert len(origin.calls) == calls


async def test_of_many_only_what_is_missing_is_fetched_in_chunks_side_by_side() -> None:
    clock, shelf, origin = MovedClock(), DictShelf(), Origin()
    ids = [f"id-{number}" for number in range(251)]
    await cache_of(clock, shelf).find(wanted(origin), ids[:1])
    origin.gate.clear()
    finding = asyncio.create_task(cache_of(clock, shelf).find(wanted(origin), ids))
    await until(lambda: len(origin.calls) >= 4)
    origin.gate.set()
    found = await finding
    assert [len(call) for call in origin.calls] == [1, 100, 100, 50]
    assert len(shelf.reads) == 2
    assert found.copies.keys() == set(ids)


async def test_ids_that_others_fetch_already_are_waited_for_and_not_fetched_again() -> None:
    origin, cache = Origin(), cache_of(MovedClock(), DictShelf())
    origin.gate.clear()
    asking = [asyncio.create_task(cache.find(wanted(origin), ids)) for ids in (["a", "b"], ["b", "c"])]
    await until(lambda: len(origin.calls) >= 2)
    origin.gate.set()
    _, second = await asyncio.gather(*asking)
    assert origin.calls == [["a", "b"], ["c"]]
    assert list(second.copies) == ["b", "c"]


async def test_what_could_not_be_told_or_was_not_asked_for_is_not_kept() -> None:
    shelf = DictShelf()

    async def load(_: Sequence[str]) -> Mapping[str, Any]:
        return {"a": 1, "unasked": 2}

    found = await cache_of(MovedClock(), shelf).find(Wanted(KIND, "acme", load), ["a", "c"])
    assert found.copies.keys() == {"a"}
    assert list(shelf.bodies) == [KEY]


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
def test_keys_of_different_ids_differ_whatever_they_hold(ids: list[str]) -> None:
    shelf = DictShelf()
    asyncio.run(cache_of(MovedClock(), shelf).find(wanted(Origin()), ids))
    assert len(shelf.bodies) == 2
    assert all(key.isascii() and key.count(":") == KEY.count(":") and len(key) < 200 for key in shelf.bodies)


async def test_what_nobody_asks_for_any_more_leaves_the_memory() -> None:
    clock, origin = MovedClock(), Origin()
    cache = cache_of(clock, DictShelf())
    await cache.find(wanted(origin, kind=Kind("brief", ttl=0.0)), ["a"])
    await cache.find(wanted(origin), ["b", "c"])
    clock.time += module.AT_HAND - 1
    await cache.find(wanted(origin), ["b"])
    clock.time += 1
    await cache.find(wanted(origin), ["d"])
    assert [id_ for *_, id_ in cache._at_hand] == ["b", "d"]


async def test_what_was_fetched_while_the_shelf_was_read_is_not_fetched_again() -> None:
    origin, reading = Origin(), asyncio.Event()

    class SlowShelf(DictShelf):
        async def read(self, keys: Sequence[str]) -> list[bytes | None]:
            found = await super().read(keys)
            if len(self.reads) == 1:
                await reading.wait()
            return found

    clock, shelf, kind = MovedClock(), SlowShelf(), Kind(KIND.name, KIND.ttl, stale=3600.0)
    shelf.reads.append([])  # the first is not slow
    await cache_of(clock, shelf).find(wanted(origin, kind=kind), ["a"])
    clock.time += 61
    shelf.reads.clear()
    cache = cache_of(clock, shelf)
    late = asyncio.create_task(cache.find(wanted(origin, kind=kind), ["a"]))
    await until(lambda: bool(shelf.reads))
    await cache.find(wanted(origin, kind=kind), ["a"])
    reading.set()
    assert (await late).copies["a"].value == "fact"
    assert origin.calls == [["a"], ["a"]], "by the one before, whose copy is old, and by the one that was faster"


async def test_of_two_fetches_that_fail_together_asyncio_does_not_complain() -> None:
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    origin = Origin()
    origin.error = ContextUnavailable("503")
    with pytest.raises(ContextUnavailable):
        await cache_of(MovedClock(), DictShelf()).find(wanted(origin), [str(number) for number in range(150)])
    origin.error = None  # its traceback holds the tasks
    gc.collect()
    assert (len(origin.calls), complaints) == (2, [])
