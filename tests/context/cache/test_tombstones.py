"""That there is none is remembered too: shortly, and never of the subject itself."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.context.cache.facts import Kind, Wanted
from notification_sender.context.upstream.client import NotFound
from notification_sender.model.errors import ContextUnavailable
from notification_sender.policy.freshness import Fence
from tests.context.fakes import CountingSharedCache, MovedClock, cache_of

KIND = Kind("1:trial:thing", ttl=60.0, stale=3600.0)
KEY = "ns:1:{acme}:fact:1:trial:thing:a"
NOW = MovedClock().now()


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(NOW + seconds, UTC)


class Api:
    """Answers every id with the same, and counts."""

    def __init__(self, answer: Any = None) -> None:
        self.answer = answer
        self.calls = 0

    async def load(self, ids: Sequence[str]) -> Mapping[str, Any]:
        self.calls += 1
        return dict.fromkeys(ids, self.answer)

    def wanted(self, *, fence: Fence | None = None, subject: bool = False, kind: Kind = KIND) -> Wanted:
        return Wanted(kind, "acme", self.load, fence, subject)


OLD = {"modified": at(-100).isoformat()}


@pytest.mark.parametrize(
    ("answer", "fence", "words"),
    [(None, None, ""), (NotFound("answered 404"), None, "answered 404"), (OLD, Fence(modified=at(-1)), "")],
)
async def test_the_fleet_is_told_once_that_there_is_none_and_asks_again_after_30_s(
    answer: object, fence: Fence | None, words: str
) -> None:
    clock = MovedClock()
    shared, api = CountingSharedCache(clock), Api(answer)
    here, there = cache_of(clock, shared), cache_of(clock, shared)
    await here.get(api.wanted(fence=fence), ["a"])
    for cache in (here, there, here, there):
        clock.time += 6  # more than a process trusts its own copy
        copy = (await cache.get(api.wanted(fence=fence), ["a"])).by_id["a"]
        assert (copy.value, copy.words) == (None, words)
    assert api.calls == 1
    clock.time += 6
    await there.get(api.wanted(fence=fence), ["a"])
    assert api.calls == 2


@given(dice=st.floats(0, 1, exclude_max=True), ttl=st.sampled_from([5.0, 60.0, 86400.0]))
def test_a_tombstone_lasts_30_s_at_most_spread_by_a_tenth_and_never_stands_in(dice: float, ttl: float) -> None:
    clock = MovedClock()
    shared = CountingSharedCache(clock)
    cache = cache_of(clock, shared, lambda: dice)
    asyncio.run(cache.get(Api().wanted(kind=Kind(KIND.name, ttl, stale=3600.0)), ["a"]))
    assert min(0.9 * ttl, 27.0) <= shared.kept[KEY].ttl <= min(1.1 * ttl, 30.0)


async def test_a_tombstone_past_its_time_does_not_stand_in_for_an_api_that_is_away() -> None:
    clock = MovedClock()
    cache = cache_of(clock, CountingSharedCache(clock))  # which keeps also what is past its time
    await cache.get(Api().wanted(), ["a"])
    clock.time += 31

    async def away(_: Sequence[str]) -> Mapping[str, Any]:
        raise ContextUnavailable("503")

    with pytest.raises(ContextUnavailable):
        await cache.get(Wanted(KIND, "acme", away), ["a"])


async def test_what_happened_after_a_tombstone_is_asked_for_and_what_happened_before_is_not() -> None:
    clock = MovedClock()
    shared, api = CountingSharedCache(clock), Api()
    cache = cache_of(clock, shared)
    await cache.get(api.wanted(fence=Fence(modified=at(-10))), ["a"])
    for fence in (Fence(modified=at(-20)), Fence(modified=at(-1)), Fence(fetched=at(0)), Fence(), None):
        await cache.get(api.wanted(fence=fence), ["a"])
    assert api.calls == 1
    clock.time += 2
    for fence in (Fence(modified=at(1)), Fence(fetched=at(1))):
        await cache.get(api.wanted(fence=fence), ["a"])
    assert api.calls == 2, "the second finds what the first was told"


async def test_a_subject_is_never_answered_from_a_tombstone_and_leaves_none() -> None:
    clock = MovedClock()
    shared, api = CountingSharedCache(clock), Api(NotFound("answered 404"))
    cache = cache_of(clock, shared)
    await cache.get(api.wanted(subject=True), ["a"])
    assert shared.kept == {}
    await cache.get(api.wanted(), ["a"])
    assert (await cache.get(api.wanted(subject=True), ["a"])).by_id["a"].words == "answered 404"
    assert api.calls == 3


async def test_a_subject_older_than_the_event_is_used_and_not_kept() -> None:
    clock = MovedClock()
    shared, api = CountingSharedCache(clock), Api(OLD)
    found = await cache_of(clock, shared).get(api.wanted(fence=Fence(modified=at(-1)), subject=True), ["a"])
    assert (found.by_id["a"].value, shared.kept) == (OLD, {})


async def test_a_tombstone_at_hand_does_not_hide_what_another_process_fetched() -> None:
    clock = MovedClock()
    shared, api = CountingSharedCache(clock), Api()
    here, there = cache_of(clock, shared), cache_of(clock, shared)
    await here.get(api.wanted(), ["a"])
    clock.time += 2
    api.answer = {"modified": at(1).isoformat()}
    fence = Fence(modified=at(1))
    await there.get(api.wanted(fence=fence), ["a"])
    assert (await here.get(api.wanted(fence=fence), ["a"])).by_id["a"].value == api.answer
    assert api.calls == 2
