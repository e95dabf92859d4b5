"""One id that an API stumbles over costs its own unit, a few calls, and nobody else anything."""

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.context.cache.facts import LARGEST_KEPT
from notification_sender.context.gather import Gatherer
from notification_sender.context.recipe import Recipe
from notification_sender.context.upstream.batching import Coalescer
from notification_sender.context.upstream.errors import BadAnswer, BadRecord, Broken, NotFound, Refused
from notification_sender.context.upstream.guard import Health
from notification_sender.context.upstream.requesting_organization import requesting_organization
from notification_sender.context.upstream.splitting import BLIND, MOST, Splitter
from notification_sender.model.errors import ContextUnavailable
from notification_sender.model.unit import WorkUnit
from tests.context.fakes import CountingSharedCache, LoopClock, cache_of, guard_of, run_timeless

CALL = 0.1
KINDS: dict[str, Callable[[], Exception]] = {
    "unreadable": lambda: BadRecord("cannot be read"),
    "no JSON": lambda: BadAnswer("not JSON"),
    "400": lambda: Refused("answered 400"),
    "404": lambda: NotFound("answered 404"),
    "413": lambda: Refused("answered 413"),
    "422": lambda: Refused("answered 422"),
    "500": lambda: Broken("answered 500"),
}


class Api:
    """Has every id, as its first letter's organization's; fails for a call that holds one of ``odd``."""

    def __init__(self, odd: Sequence[str] = (), fault: Callable[[], Exception] = KINDS["unreadable"]) -> None:
        self.odd = set(odd)
        self.fault = fault
        self.calls: list[tuple[str, list[str]]] = []

    async def fetch(self, ids: Sequence[str]) -> Mapping[str, Any]:
        self.calls.append((requesting_organization.get(), list(ids)))
        await asyncio.sleep(CALL)
        if self.odd & set(ids):
            raise self.fault()
        return {id_: {"id": id_, "organization_id": id_[0]} for id_ in ids}


def ends(api: Api, owners: Mapping[str, str]) -> dict[str, Any]:
    told: dict[str, Any] = {}

    def tell(id_: str, record: Any) -> None:
        assert id_ not in told
        told[id_] = record

    run_timeless(Splitter(api.fetch, kind="assets").fetch_all(owners, tell))
    return told


@given(
    st.dictionaries(st.text("0123456789", min_size=1, max_size=3), st.sampled_from("abc"), min_size=1, max_size=100),
    st.data(),
)
def test_whoever_asked_for_nothing_odd_gets_all_he_asked_for(owners: dict[str, str], data: st.DataObject) -> None:
    odd = data.draw(st.lists(st.sampled_from(sorted(owners)), unique=True, max_size=8))
    api = Api(odd)
    told = ends(api, owners)
    assert told.keys() == owners.keys()
    troubled = {owners[id_] for id_ in odd}
    for id_, owner in owners.items():
        if id_ in odd:
            assert isinstance(told[id_], BadRecord | ContextUnavailable)
        elif owner not in troubled:
            assert told[id_]["id"] == id_
    assert len(api.calls) <= 1 + len(set(owners.values())) + len(troubled) * (MOST + 1)


@pytest.mark.parametrize("kind", KINDS)
def test_of_a_hundred_the_one_is_found_in_fourteen_calls_and_the_others_are_there(kind: str) -> None:
    ids = [f"a{number}" for number in range(100)]
    api = Api(["a42"], KINDS[kind])
    told = ends(api, dict.fromkeys(ids, "a"))
    odd = told.pop("a42")
    assert len(api.calls) <= 1 + 14
    assert all(told[id_]["id"] == id_ for id_ in ids if id_ != "a42")
    if kind == "404":
        assert odd is None  # there is none, as for a call of its own
    elif kind == "500":
        assert not isinstance(odd, BadRecord)  # another try may go well
        assert isinstance(odd, ContextUnavailable)
    else:
        assert isinstance(odd, BadRecord)
        assert "assets a42" in str(odd)


@pytest.mark.parametrize("kind", KINDS)
def test_an_api_that_answers_nobody_is_asked_a_few_times_and_nothing_is_held_against_an_id(kind: str) -> None:
    ids = [f"a{number}" for number in range(100)]
    api = Api(ids, KINDS[kind])
    told = ends(api, dict.fromkeys(ids, "a"))
    assert len(api.calls) <= BLIND + 1
    if kind != "unreadable":
        assert not any(isinstance(end, BadRecord) or end is None for end in told.values())


def test_another_organization_waits_for_one_call_more_at_most() -> None:
    api = Api(["a1", "a2", "a3"])

    async def main() -> None:
        bulk = Coalescer(Splitter(api.fetch, kind="assets"), window=0.0)
        odd = asyncio.create_task(bulk.records([f"a{number}" for number in range(50)], "a"))
        assert len(await bulk.records(["b1", "b2"], "b")) == 2
        assert asyncio.get_running_loop().time() == pytest.approx(2 * CALL)
        assert not odd.done()
        found = await odd
        assert sum(isinstance(it, BadRecord) for it in found.values()) == 3

    run_timeless(main())
    assert api.calls[0][0] == "*"
    assert {owner for owner, _ in api.calls[1:]} == {"a", "b"}


def recipe_of(coalesce: str | None) -> Recipe:
    recipe = Recipe("trial", subject=lambda _: "other")

    @recipe.fetched(ttl="60s")
    async def other() -> dict[str, str]:
        return {"it": "is"}

    @recipe.batch(ttl="60s", ids=lambda unit: unit.asset_ids, coalesce=coalesce)
    async def things(ids: Sequence[str], api: Api) -> Mapping[str, Any]:
        return await api.fetch(ids)

    return recipe


def unit(*ids: str) -> WorkUnit:
    return WorkUnit.model_validate({"work_unit_id": "wu", "organization_id": "a", "asset_ids": ids})


@pytest.mark.parametrize("coalesce", ["5ms", None])
def test_the_one_id_is_remembered_by_the_fleet_and_named_and_the_others_are_kept(coalesce: str | None) -> None:
    api = Api(["a1"])

    async def main() -> None:
        clock = LoopClock()
        shared = CountingSharedCache(clock)
        pods = [
            Gatherer(recipe=recipe_of(coalesce), resources={"api": api}, cache=cache_of(clock, shared), timeout=10)
            for _ in range(2)
        ]
        with pytest.raises(ContextUnavailable, match="things a1: cannot be read"):
            await pods[0].gather(unit("a0", "a1", "a2"))
        made = len(api.calls)
        for number in range(100):
            with pytest.raises(ContextUnavailable, match="things a1: cannot be read"):
                await pods[number % 2].gather(unit("a0", "a1", "a2"))
        for pod in pods:
            context = await pod.gather(unit("a2", "a0"))
            assert [it["id"] for it in context.values["things"]] == ["a2", "a0"]
        assert len(api.calls) == made
        await asyncio.sleep(11)
        api.odd.clear()
        assert len((await pods[1].gather(unit("a0", "a1", "a2"))).values["things"]) == 3

    run_timeless(main())


def test_a_record_that_became_unreadable_is_stood_in_for_by_the_copy_of_before() -> None:
    async def main() -> None:
        clock = LoopClock()
        recipe, bad = Recipe("trial", subject=lambda _: "other"), False

        @recipe.fetched(ttl="60s")
        async def other() -> dict[str, str]:
            return {"it": "is"}

        @recipe.fetched(ttl="10s", stale="1h")
        async def thing() -> dict[str, str]:
            if bad:
                raise BadRecord("cannot be read")
            return {"it": "was"}

        gatherer = Gatherer(
            recipe=recipe, resources={}, cache=cache_of(clock, CountingSharedCache(clock)), timeout=10.0
        )
        assert (await gatherer.gather(unit())).values["thing"] == {"it": "was"}
        bad = True
        for seconds in (8.5, 0.1, 60, 60):  # growing old, then old
            await asyncio.sleep(seconds)
            assert (await gatherer.gather(unit())).values["thing"] == {"it": "was"}
        assert (await gatherer.gather(unit())).degraded == ["thing"]

    run_timeless(main())


def test_a_fact_that_is_too_large_is_used_and_not_kept_for_the_fleet() -> None:
    async def main() -> None:
        clock = LoopClock()
        shared, recipe = CountingSharedCache(clock), Recipe("trial", subject=lambda _: "vast")

        @recipe.fetched(ttl="60s")
        async def vast() -> dict[str, str]:
            return {"it": random.Random(1).randbytes(LARGEST_KEPT).hex()}

        gatherer = Gatherer(recipe=recipe, resources={}, cache=cache_of(clock, shared), timeout=10.0)
        assert len((await gatherer.gather(unit())).values["vast"]["it"]) == 2 * LARGEST_KEPT
        assert shared.kept == {}

    run_timeless(main())


def test_what_fails_for_one_organization_alone_leaves_the_api_and_its_window_as_they_were() -> None:
    async def main() -> None:
        guard = guard_of("incidents", LoopClock())
        for number in range(1000):
            permit = await guard.acquire()
            permit.health, permit.organization = (Health.FAILED, Health.OVERLOADED)[number % 2], "odd"
            await guard.release(permit)
            if number % 10 == 0:
                permit = await guard.acquire()
                permit.health = Health.WELL
                await guard.release(permit)
            await asyncio.sleep(0.01)
        assert not guard.out
        assert guard.summary()["limit"] >= 10

    run_timeless(main())
