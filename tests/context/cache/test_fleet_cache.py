"""Several processes and one shared: who fetches, who waits, and what becomes of those who die."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from notification_sender.context.cache.facts import LARGE, Kind, Wanted
from notification_sender.context.cache.read_through import Cache
from notification_sender.model.errors import ContextUnavailable
from notification_sender.policy.freshness import Fence
from notification_sender.ports.cache import CacheEntry
from tests.context.fakes import CountingSharedCache, LoopClock, MovedClock, cache_of, run_timeless, until

KIND = Kind("1:trial:thing", ttl=60.0, stale=600.0)
KEY = "ns:1:{acme}:fact:1:trial:thing:a"


class Api:
    """Takes ``seconds``; counts."""

    def __init__(self, value: Any = "fact", seconds: float = 0.0) -> None:
        self.value = value
        self.seconds = seconds
        self.calls = 0

    async def load(self, ids: Sequence[str]) -> Mapping[str, Any]:
        self.calls += 1
        await asyncio.sleep(self.seconds)
        if isinstance(self.value, Exception):
            raise self.value
        return dict.fromkeys(ids, self.value)

    @property
    def wanted(self) -> Wanted:
        return Wanted(KIND, "acme", self.load)


def fleet(size: int) -> tuple[MovedClock, CountingSharedCache, list[Cache]]:
    clock = LoopClock()
    shared = CountingSharedCache(clock)
    return clock, shared, [cache_of(clock, shared) for _ in range(size)]


def test_a_fetch_longer_than_a_lease_is_made_once_and_everybody_has_it_at_its_end() -> None:
    api = Api(seconds=7.0)

    async def main() -> None:
        _, _, caches = fleet(5)
        found = await asyncio.gather(*(cache.get(api.wanted, ["a"]) for cache in caches))
        assert {it.by_id["a"].value for it in found} == {"fact"}

    assert run_timeless(main()) == pytest.approx(7.0, abs=0.1)
    assert api.calls == 1


def test_when_the_one_who_fetches_dies_another_one_does_within_the_lease_and_the_late_one_overwrites_nothing() -> None:
    dying, api = Api("old", seconds=9.0), Api("new")

    async def main() -> None:
        _, shared, (leader, *followers) = fleet(4)
        late = asyncio.create_task(leader.get(dying.wanted, ["a"]))
        await until(lambda: dying.calls == 1)
        shared.renew_leases = nothing  # type: ignore[method-assign,assignment]  # it cannot renew its lease: it is stopped
        found = await asyncio.gather(*(cache.get(api.wanted, ["a"]) for cache in followers))
        assert {it.by_id["a"].value for it in found} == {"new"}
        assert asyncio.get_running_loop().time() == pytest.approx(3.0, abs=0.1)
        await late
        (again,) = (await cache_of(LoopClock(), shared).get(api.wanted, ["a"])).by_id.values()
        assert again.value == "new"

    run_timeless(main())
    assert api.calls == 1


async def nothing(*_: object) -> None:
    """The process that would do it stands still."""


def test_a_failure_is_told_to_those_who_wait_and_to_nobody_after_them() -> None:
    api = Api(ContextUnavailable("incidents: 503"), seconds=1.0)

    async def main() -> None:
        _, shared, caches = fleet(5)
        ends = await asyncio.gather(*(cache.get(api.wanted, ["a"]) for cache in caches), return_exceptions=True)
        assert [str(end) for end in ends] == ["incidents: 503"] * 5
        assert api.calls == 1
        assert shared.kept == {}
        api.value = "fact"
        assert (await caches[1].get(api.wanted, ["a"])).by_id["a"].value == "fact"

    run_timeless(main())


def test_a_hot_fact_is_renewed_once_before_its_end_and_nobody_waits() -> None:
    api = Api(seconds=2.0)

    async def main() -> None:
        clock, _, caches = fleet(5)
        await caches[0].get(api.wanted, ["a"])
        clock.time += 50
        began = asyncio.get_running_loop().time()
        for _ in range(3):
            found = await asyncio.gather(*(cache.get(api.wanted, ["a"]) for cache in caches))
            assert {it.origin for it in found} == {"shelf"}
        assert asyncio.get_running_loop().time() == began
        await asyncio.sleep(2.5)
        assert api.calls == 2
        clock.time += 20
        assert (await caches[3].get(api.wanted, ["a"])).origin == "shelf"

    run_timeless(main())
    assert api.calls == 2


def test_who_cannot_use_the_copy_that_is_renewed_has_the_new_one_when_it_is_there() -> None:
    async def main() -> None:
        clock, _, (renewing, fenced) = fleet(2)
        event = datetime.fromtimestamp(clock.now() + 49, UTC)
        api = Api({"modified": event.isoformat()}, seconds=0.5)
        await renewing.get(Wanted(KIND, "acme", Api({"modified": "2026-01-01T00:00:00Z"}).load), ["a"])
        clock.time += 50
        await renewing.get(api.wanted, ["a"])
        found = await fenced.get(Wanted(KIND, "acme", api.load, Fence(modified=event), subject=True), ["a"])
        assert (found.by_id["a"].value, api.calls) == (api.value, 1)

    assert run_timeless(main()) == pytest.approx(0.5)


def test_a_copy_at_its_end_is_not_held_past_it() -> None:
    api = Api(seconds=5.0)

    async def main() -> None:
        clock, shared, (here, *_) = fleet(1)
        await here.get(api.wanted, ["a"])
        clock.time += 54.8
        other = cache_of(clock, shared)
        assert (await other.get(api.wanted, ["a"])).origin == "shelf"
        assert other.local.get(KIND, "acme", "a")
        clock.time += 0.2
        assert other.local.get(KIND, "acme", "a") is None

    run_timeless(main())


def test_a_renewal_that_fails_leaves_the_copy_until_its_end_and_then_it_only_stands_in() -> None:
    api = Api()

    async def main() -> None:
        clock, _, (here, *_) = fleet(1)
        await here.get(api.wanted, ["a"])
        api.value = ContextUnavailable("503")
        clock.time += 50
        assert (await here.get(api.wanted, ["a"])).origin == "shelf"
        clock.time += 11
        assert (await here.get(api.wanted, ["a"])).origin == "stale"
        clock.time += 600
        with pytest.raises(ContextUnavailable):
            await here.get(api.wanted, ["a"])

    run_timeless(main())


def test_nobody_waits_longer_than_a_fetch_may_take() -> None:
    async def main() -> None:
        clock = LoopClock()
        shared = CountingSharedCache(clock)
        with pytest.raises(ContextUnavailable, match="not there in 10 s"):
            await cache_of(clock, shared).get(Api(seconds=60.0).wanted, ["a"])

    assert run_timeless(main()) == pytest.approx(10.0)


def test_who_waited_as_long_as_a_fetch_may_take_fetches_itself() -> None:
    endless, api = Api("late", seconds=60.0), Api()

    async def main() -> None:
        clock = LoopClock()
        shared = CountingSharedCache(clock)
        leader = asyncio.create_task(cache_of(clock, shared, deadline=90.0).get(endless.wanted, ["a"]))
        await until(lambda: endless.calls == 1)
        found = await cache_of(clock, shared).get(api.wanted, ["a"])
        assert (found.by_id["a"].value, asyncio.get_running_loop().time()) == ("fact", pytest.approx(10.0))
        leader.cancel()

    run_timeless(main())


def test_who_waited_for_a_fetch_that_began_before_the_event_fetches_anew() -> None:
    async def main() -> None:
        clock, _, (before, after) = fleet(2)
        api = Api({"modified": "2026-01-01T00:00:00Z"}, seconds=1.0)
        leading = asyncio.create_task(before.get(api.wanted, ["a"]))
        await asyncio.sleep(0.5)
        event = datetime.fromtimestamp(clock.now(), UTC)
        await after.get(Wanted(KIND, "acme", api.load, Fence(modified=event), subject=True), ["a"])
        assert api.calls == 2
        await leading

    run_timeless(main())


async def test_what_is_fetched_anew_is_given_up_at_the_end_of_the_process() -> None:
    clock = MovedClock()
    shared, api, endless = CountingSharedCache(clock), Api(), Api(seconds=3600.0)
    cache = cache_of(clock, shared)
    await cache.get(api.wanted, ["a"])
    clock.time += 50
    await cache.get(endless.wanted, ["a"])
    await until(lambda: endless.calls == 1)
    await cache.close()
    await cache_of(clock, shared).get(api.wanted, ["a"])
    await until(lambda: api.calls == 2)  # its lease was free at once


async def test_what_is_large_is_kept_deflated() -> None:
    clock = MovedClock()
    shared, api = CountingSharedCache(clock), Api({"text": "word " * LARGE})
    await cache_of(clock, shared).get(api.wanted, ["a"])
    assert len(shared.kept[KEY].body) < LARGE
    assert (await cache_of(clock, shared).get(api.wanted, ["a"])).by_id["a"].value == api.value


async def test_a_flush_while_a_fetch_is_under_way_costs_nothing() -> None:
    clock = MovedClock()
    shared, api = CountingSharedCache(clock), Api()
    finding = asyncio.create_task(cache_of(clock, shared).get(api.wanted, ["a"]))
    await until(lambda: api.calls == 1)
    shared.forget()
    await finding
    assert isinstance(shared.kept[KEY], CacheEntry)
