"""Bulk calls of several units are made as one, and answered for each alone."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from notification_sender.context.gather import Gatherer
from notification_sender.context.recipe import Recipe
from notification_sender.context.upstream.batching import Bulk, Coalescer
from notification_sender.context.upstream.splitting import Fetch, Splitter
from notification_sender.model.errors import ConfigurationFault, ContextUnavailable
from notification_sender.model.unit import WorkUnit
from tests.context.fakes import CountingSharedCache, LoopClock, cache_of, run_timeless

WINDOW = 0.005
ORG = "acme"


def coalescer(fetch: Fetch) -> Coalescer:
    return Coalescer(Splitter(fetch, kind="things"), window=WINDOW)


class Api:
    """Has every id, but those in ``missing``; fails for a call that holds one of ``broken``."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.missing: set[str] = set()
        self.broken: set[str] = set()

    async def fetch(self, ids: Sequence[str]) -> Mapping[str, Any]:
        self.calls.append(list(ids))
        await asyncio.sleep(0.1)
        if self.broken & set(ids):
            raise ContextUnavailable("503")
        return {id_: {"id": id_, "organization_id": id_[0]} for id_ in ids if id_ not in self.missing}


def test_what_is_asked_for_within_a_moment_shares_calls_of_a_hundred_each_id_once() -> None:
    api = Api()

    async def main() -> None:
        bulk = coalescer(api.fetch)
        asked = [[f"id-{number + shift}" for number in range(5)] for shift in range(0, 150, 3)]
        answers = await asyncio.gather(*(bulk.records(ids, ORG) for ids in asked))
        assert [list(answer) for answer in answers] == asked

    assert run_timeless(main()) == pytest.approx(0.1 + WINDOW)
    assert [len(call) for call in api.calls] == [100, 52]
    assert len({id_ for call in api.calls for id_ in call}) == 152


def test_each_has_its_own_answer_and_its_own_error() -> None:
    api = Api()
    api.missing, api.broken = {"b"}, {"x"}

    async def main() -> None:
        bulk = coalescer(api.fetch)
        many = [f"id-{number}" for number in range(99)]
        full, short, broken = await asyncio.gather(
            bulk.records(["a", *many], ORG),
            bulk.records(["b", "c"], ORG),
            bulk.records(["x"], ORG),
            return_exceptions=True,
        )
        assert isinstance(full, dict)
        assert len(full) == 100
        assert isinstance(broken, ContextUnavailable)
        assert isinstance(short, ContextUnavailable), "it shared the call that failed"
        assert await bulk.records(["b", "c"], ORG) == {"c": {"id": "c", "organization_id": "c"}}
        assert await bulk.records([], ORG) == {}

    run_timeless(main())


def test_who_gave_up_takes_nobody_along() -> None:
    api = Api()

    async def main() -> None:
        bulk = coalescer(api.fetch)
        hasty, patient = (asyncio.create_task(bulk.records(ids, ORG)) for ids in (["a"], ["a", "b"]))
        await asyncio.sleep(0.05)
        hasty.cancel()
        assert set(await patient) == {"a", "b"}

    run_timeless(main())
    assert api.calls == [["a", "b"]]


def test_a_function_that_returns_no_records_keeps_nobody_waiting() -> None:
    async def fetch(_: Sequence[str]) -> Any:
        return None

    async def main() -> None:
        async with asyncio.timeout(1):
            with pytest.raises(AttributeError):
                await coalescer(fetch).records(["a"], ORG)

    run_timeless(main())


def test_who_came_first_does_not_wait_for_as_long_as_others_keep_coming() -> None:
    api = Api()

    async def main() -> None:
        bulk = coalescer(api.fetch)
        tasks = []
        for number in range(12):
            tasks.append(asyncio.create_task(bulk.records([f"id-{number}"], ORG)))
            await asyncio.sleep(0.9 * WINDOW)
        await asyncio.gather(*tasks)

    run_timeless(main())
    assert [len(call) for call in api.calls] == [6, 6]


def test_units_of_two_organizations_share_a_call_and_neither_gets_the_others_records() -> None:
    api, foreign = Api(), Counter[str]()
    recipe = Recipe("trial", subject=lambda _: "things")

    @recipe.batch(ttl="60s", ids=lambda unit: unit.asset_ids, coalesce="5ms")
    async def things(ids: Sequence[str], api: Api) -> Mapping[str, Any]:
        return await api.fetch(ids)

    async def main() -> None:
        clock = LoopClock()
        gatherer = Gatherer(
            recipe=recipe,
            resources={"api": api},
            cache=cache_of(clock, CountingSharedCache(clock)),
            timeout=10.0,
            count_foreign=lambda source: foreign.update([source]),
        )
        units = [
            WorkUnit.model_validate({"work_unit_id": "wu", "organization_id": it, "asset_ids": ["a1", "b1", f"{it}2"]})
            for it in "ab"
        ]
        contexts = await asyncio.gather(*(gatherer.gather(unit) for unit in units))
        assert [[it["id"] for it in context.values["things"]] for context in contexts] == [["a1", "a2"], ["b1", "b2"]]

    run_timeless(main())
    assert [sorted(call) for call in api.calls] == [["a1", "a2", "b1", "b2"]]
    assert foreign == {"things": 2}


async def test_what_is_no_object_is_nobodys() -> None:
    foreign = Counter[str]()
    recipe = Recipe("trial", subject=lambda _: "things")

    @recipe.batch(ttl="60s", ids=lambda unit: unit.asset_ids, coalesce="1ms")
    async def things(ids: Sequence[str]) -> Mapping[str, Any]:
        return dict.fromkeys(ids, "text")

    bulk = Bulk(recipe.sources.values(), {}, lambda source: foreign.update([source]))
    assert await bulk.records(recipe.sources["things"], "acme", ["a"], {}) == {}
    assert foreign == {"things": 1}


def test_a_function_that_serves_several_units_may_not_need_one_of_them() -> None:
    recipe = Recipe("trial", subject=lambda _: "things")

    @recipe.batch(ttl="60s", ids=lambda unit: unit.asset_ids, coalesce="5ms")
    async def things(ids: Sequence[str], unit: WorkUnit) -> None: ...

    with pytest.raises(ConfigurationFault, match="source things is fetched for several units at once, it cannot need"):
        recipe.check({})
