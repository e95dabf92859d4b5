"""Of each fact: how it came, and how old it was."""

from collections.abc import Sequence
from typing import Any

from notification_sender.context.gather import Gatherer
from notification_sender.context.gathering import provenances
from notification_sender.context.recipe import Recipe
from notification_sender.model.errors import ContextUnavailable
from notification_sender.model.unit import WorkUnit
from tests.context.fakes import CountingSharedCache, MovedClock, cache_of


class World:
    """A recipe of one source of each sort, in a process that can be another one."""

    def __init__(self) -> None:
        self.clock = MovedClock()
        self.shared = CountingSharedCache(self.clock)
        self.cache = cache_of(self.clock, self.shared)
        self.out: set[str] = set()
        self.ids = ["a"]
        self.recipe = Recipe("trial", subject=lambda _: "subject")
        self._declare()

    def _declare(self) -> None:
        recipe = self.recipe

        @recipe.fetched(ttl="60s", stale="1h")
        async def subject() -> dict[str, Any]:
            return self._say("subject")

        @recipe.fetched(ttl="60s", optional=True, default="nowhere")
        async def address() -> Any:
            return self._say("address")

        @recipe.batch(ttl="60s", ids=lambda subject: self.ids if subject else [])
        async def rows(ids: Sequence[str]) -> Any:
            return {id_: self._say(id_) for id_ in ids}

        @recipe.fetched(ttl="60s", given=lambda subject: subject["given"])
        async def given() -> Any:
            return self._say("given")

        @recipe.derived()
        def derived(subject: Any, rows: Any) -> Any:
            return (subject, rows)

        @recipe.derived()
        def none() -> None:
            return None

    def _say(self, name: str) -> dict[str, Any]:
        if name in self.out:
            raise ContextUnavailable(f"{name}: 503")
        return {"name": name, "given": "as it was"}

    async def gather(self, *, elsewhere: bool = False) -> dict[str, tuple[str, float]]:
        if elsewhere:
            self.cache = cache_of(self.clock, self.shared)
        gatherer = Gatherer(recipe=self.recipe, resources={}, cache=self.cache, timeout=60.0)
        unit = WorkUnit(work_unit_id="wu", organization_id="acme")
        context = await gatherer.gather(unit)
        told = provenances(context.lineage, self.clock.now(), context.lineage.keys())
        return {name: (it.how, it.age) for name, it in told.items()}


async def test_what_is_fetched_now_has_no_age_and_what_is_at_hand_or_on_the_shelf_has_one() -> None:
    world = World()
    first = await world.gather()
    assert first["subject"] == first["rows"] == ("fetched", 0.0)
    world.clock.time += 3.0
    here = await world.gather()
    there = await world.gather(elsewhere=True)
    assert here["subject"] == here["rows"] == there["subject"] == there["rows"] == ("hit", 3.0)


async def test_what_is_made_of_others_is_as_old_as_the_oldest_of_them() -> None:
    world = World()
    await world.gather()
    world.clock.time += 40.0
    world.ids = ["b"]
    told = await world.gather()
    assert (told["subject"], told["rows"]) == (("hit", 40.0), ("fetched", 0.0))
    assert told["given"] == told["derived"] == ("given", 40.0)


async def test_many_records_came_as_the_least_direct_of_them_and_are_as_old_as_the_oldest() -> None:
    world = World()
    await world.gather()
    for seconds, ids in ((3.0, ["a", "b"]), (40.0, ["a", "c"])):
        world.clock.time += seconds
        world.ids = ids
        told = await world.gather()
        assert told["rows"] == ("fetched", world.clock.time - MovedClock().time)


async def test_an_old_copy_in_place_of_a_fetch_that_failed_is_stale() -> None:
    world = World()
    await world.gather()
    world.clock.time += 600.0
    world.out = {"subject"}
    told = await world.gather()
    assert told["subject"] == ("stale", 600.0)
    assert told["given"] == ("given", 600.0)


async def test_what_stands_in_for_a_fact_is_no_fact() -> None:
    world = World()
    world.out = {"address"}
    told = await world.gather()
    assert told["address"] == told["none"] == ("missing", 0.0)
