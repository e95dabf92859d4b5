import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from notification_sender.context.gather import Context, Gatherer, timestamp
from notification_sender.context.recipe import Recipe
from notification_sender.context.source import MISSING
from notification_sender.context.upstream.client import Foreign, NotFound
from notification_sender.model.errors import (
    ContextUnavailable,
    NotificationSenderError,
    RenderFault,
    SubjectNotFound,
    TenantMismatch,
)
from notification_sender.model.unit import WorkUnit
from tests.context.fakes import CountingSharedCache, MovedClock, cache_of, run_timeless, until


def unit(**fields: Any) -> WorkUnit:
    return WorkUnit.model_validate({"work_unit_id": "wu", "organization_id": "acme"} | fields)


def new_recipe() -> Recipe:
    return Recipe("trial", subject=lambda _: "subject")


def gatherer(
    recipe: Recipe, *, timeout: float = 60.0, shared: CountingSharedCache | None = None, **given: Any
) -> Gatherer:
    clock = MovedClock()
    cache = cache_of(clock, shared or CountingSharedCache(clock))
    return Gatherer(recipe=recipe, resources=given, cache=cache, timeout=timeout)


def slow(name: str, seconds: float, *needs: str) -> Callable[..., Any]:
    """A source that takes so long; written out because parameter names are what is meant."""
    names: dict[str, Any] = {"asyncio": asyncio}
    text = f"async def {name}({', '.join(needs)}):\n await asyncio.sleep({seconds})\n return {{'name': {name!r}}}"
    exec(text, names)  # noqa: S102 - our own text
    return names[name]  # type: ignore[no-any-return]


async def test_sources_that_need_nothing_of_each_other_run_side_by_side() -> None:
    recipe, here, there = new_recipe(), asyncio.Event(), asyncio.Event()

    @recipe.fetched(ttl="60s")
    async def subject() -> str:
        here.set()
        await there.wait()
        return "subject"

    @recipe.fetched(ttl="60s")
    async def other() -> str:
        there.set()
        await here.wait()
        return "other"

    context = await gatherer(recipe).gather(unit())
    assert context.values == {"subject": "subject", "other": "other"}


def test_gathering_takes_as_long_as_the_longest_path() -> None:
    recipe = new_recipe()
    for source in (
        slow("organization", 0.05),
        slow("entry", 0.01, "organization"),
        slow("subject", 1.7, "entry"),
        slow("intel", 5.0, "organization"),
        slow("bulk", 0.2, "subject", "intel"),
        slow("assets", 0.5, "subject"),
        slow("address", 0.3, "subject"),
    ):
        recipe.fetched(ttl="60s")(source)
    assert run_timeless(gatherer(recipe).gather(unit())) == pytest.approx(0.05 + 5.0 + 0.2)  # type: ignore[arg-type]


def test_an_optional_source_that_hangs_is_missing_after_its_own_time() -> None:
    recipe, seen = new_recipe(), []
    recipe.fetched(ttl="60s")(slow("subject", 0.1))
    recipe.fetched(ttl="24h", optional=True, timeout="300ms")(slow("address", 1e9, "subject"))

    async def main() -> None:
        seen.append(await gatherer(recipe).gather(unit()))

    assert run_timeless(main()) == pytest.approx(0.4)
    assert seen[0].values["address"] is MISSING
    assert seen[0].degraded == ["address"]


def test_what_is_optional_and_late_does_not_fail_the_unit() -> None:
    recipe, seen = new_recipe(), []
    recipe.fetched(ttl="60s")(slow("subject", 0.1))
    recipe.fetched(ttl="24h", optional=True)(slow("address", 1e9))

    @recipe.derived()
    def place(address: object) -> str:
        return "here" if address else "somewhere"

    async def main() -> None:
        seen.append(await gatherer(recipe, timeout=2.0).gather(unit()))

    assert run_timeless(main()) == pytest.approx(2.0)
    assert (seen[0].values["place"], seen[0].degraded) == ("somewhere", ["address"])


def test_a_required_source_that_hangs_ends_at_the_deadline_and_is_named() -> None:
    recipe = new_recipe()
    recipe.fetched(ttl="60s")(slow("subject", 1e9))
    recipe.fetched(ttl="60s")(slow("other", 0.1))

    async def main() -> None:
        with pytest.raises(ContextUnavailable, match=r"^subject: not there in 2 s$"):
            await gatherer(recipe, timeout=2.0).gather(unit())

    assert run_timeless(main()) == pytest.approx(2.0)


async def test_a_required_source_that_fails_ends_the_gathering_at_once_and_what_else_is_fetched_is_kept() -> None:
    recipe, started, go_on = new_recipe(), asyncio.Event(), asyncio.Event()
    clock = MovedClock()
    cache = cache_of(clock, CountingSharedCache(clock))

    @recipe.fetched(ttl="60s")
    async def subject() -> None:
        await started.wait()
        raise ContextUnavailable("incidents answered 503")

    @recipe.fetched(ttl="60s")
    async def other() -> str:
        started.set()
        await go_on.wait()
        return "fetched for whoever asks next"

    with pytest.raises(ContextUnavailable, match=r"^subject: incidents answered 503$"):
        await Gatherer(recipe=recipe, resources={}, cache=cache, timeout=60.0).gather(unit())
    go_on.set()
    kind = recipe.sources["other"].kind
    assert kind is not None
    await until(lambda: cache.local.get(kind, "acme", "") is not None)
    await cache.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_gathering_that_is_cancelled_leaves_nothing_running_but_its_fetches() -> None:
    recipe, started = new_recipe(), asyncio.Event()
    clock = MovedClock()
    cache = cache_of(clock, CountingSharedCache(clock))

    @recipe.fetched(ttl="60s")
    async def subject() -> None:
        started.set()
        await asyncio.Event().wait()

    gatherer = Gatherer(recipe=recipe, resources={}, cache=cache, timeout=60.0)
    gathering = asyncio.create_task(gatherer.gather(unit()))
    await started.wait()
    gathering.cancel()
    with pytest.raises(asyncio.CancelledError):
        await gathering
    await cache.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


@pytest.mark.parametrize(
    ("source", "error", "end"),
    [
        ("subject", NotFound("404"), SubjectNotFound),
        ("subject", Foreign("theirs"), TenantMismatch),
        ("other", NotFound("404"), ContextUnavailable),
        ("other", Foreign("theirs"), ContextUnavailable),
        ("other", ContextUnavailable("503"), ContextUnavailable),
    ],
)
async def test_what_the_failure_of_a_required_source_means(
    source: str, error: Exception, end: type[NotificationSenderError]
) -> None:
    recipe = new_recipe()

    @recipe.fetched(ttl="60s")
    async def subject() -> str:
        if source == "subject":
            raise error
        return "subject"

    @recipe.fetched(ttl="60s")
    async def other() -> None:
        if source == "other":
            raise error

    with pytest.raises(end, match=f"^{source}: {error}$"):
        await gatherer(recipe).gather(unit())


async def test_where_absence_is_allowed_it_degrades_and_trouble_does_not() -> None:
    recipe, errors = new_recipe(), [NotFound("404"), ContextUnavailable("503")]
    recipe.fetched(ttl="60s")(slow("subject", 0))

    @recipe.fetched(ttl="60s", optional="absent")
    async def other() -> None:
        raise errors.pop(0)

    context = await gatherer(recipe).gather(unit())
    assert (context.values["other"], context.degraded) == (MISSING, ["other"])
    with pytest.raises(ContextUnavailable):
        await gatherer(recipe).gather(unit())


async def test_what_is_cut_short_is_named_however_it_came() -> None:
    recipe = new_recipe()
    recipe.fetched(ttl="60s")(slow("subject", 0))
    recipe.fetched(ttl="60s", partial=lambda: True)(slow("fetched", 0))
    recipe.derived(name="derived", partial=lambda: True)(lambda fetched: [fetched])
    recipe.fetched(ttl="60s", given=lambda: ["given"], partial=lambda subject: "name" in subject)(slow("given", 0))
    recipe.fetched(ttl="60s", partial=lambda: False)(slow("whole", 0))
    gather = gatherer(recipe).gather
    for context in (await gather(unit()), await gather(unit())):
        assert context.degraded == ["derived", "fetched", "given"]


async def test_what_is_cached_in_the_process_is_gathered_without_a_wait() -> None:
    recipe = new_recipe()
    recipe.fetched(ttl="60s")(slow("subject", 0))
    recipe.fetched(ttl="60s", key=lambda subject: subject["name"])(slow("other", 0, "subject"))

    @recipe.batch(ttl="60s", ids=lambda subject: [subject["name"], "b"])
    async def rows(ids: list[str]) -> dict[str, str]:
        return {id_: id_.upper() for id_ in ids}

    gather = gatherer(recipe).gather
    cold = await gather(unit())
    with pytest.raises(StopIteration) as at_once:
        gather(unit()).send(None)
    warm: Context = at_once.value.value
    assert warm.values == cold.values


async def test_many_come_in_the_order_of_their_ids_wherever_they_come_from() -> None:
    recipe = new_recipe()
    recipe.fetched(ttl="60s")(slow("subject", 0))

    @recipe.batch(ttl="60s", ids=lambda unit: unit.asset_ids, given=lambda: {"c": "given", "d": None})
    async def rows(ids: list[str]) -> dict[str, str]:
        return {id_: f"fetched with {len(ids)}" for id_ in ids}

    gather = gatherer(recipe).gather
    await gather(unit(asset_ids=["z", "b"]))
    context = await gather(unit(asset_ids=["a", "d", "c", "b", "a"]))
    assert context.values["rows"] == ["fetched with 1", "given", "fetched with 2"]


async def test_only_what_is_wanted_is_fetched_and_always_the_subject() -> None:
    recipe = new_recipe()
    for name in ("subject", "wanted", "needed", "unwanted"):
        recipe.fetched(ttl="60s")(slow(name, 0, *(["needed"] if name == "wanted" else [])))
    context = await gatherer(recipe).gather(unit(), frozenset({"wanted", "timestamp"}))
    assert context.values.keys() == {"subject", "wanted", "needed"}


async def test_what_is_not_asked_for_is_missing_and_not_degraded() -> None:
    recipe = new_recipe()
    recipe.fetched(ttl="60s", key=lambda unit: unit.incident_id)(slow("subject", 0))
    context = await gatherer(recipe).gather(unit())
    assert (context.values["subject"], context.degraded) == (MISSING, [])


@pytest.mark.parametrize(
    ("fields", "modified", "expected"),
    [
        (
            {"occurred_at": "2026-03-06T09:00:00+01:00", "fingerprint": "2026-01-01T00:00:00Z"},
            None,
            "2026-03-06T08:00:00Z",
        ),
        ({"fingerprint": "2026-03-06T08:26:00.5Z"}, "2026-01-01T00:00:00Z", "2026-03-06T08:26:00.500000Z"),
        ({"fingerprint": "v7"}, "2026-03-06T08:00:00", "2026-03-06T08:00:00Z"),
    ],
)
def test_when_it_happened(fields: dict[str, str], modified: str | None, expected: str) -> None:
    context = Context({"incident": {"modified": modified}}, [], "incident", {})
    assert timestamp(unit(**fields), context) == expected


def test_when_nobody_knows_is_a_fault() -> None:
    with pytest.raises(RenderFault, match="neither the unit nor its incident says when"):
        timestamp(unit(), Context({"incident": MISSING}, [], "incident", {}))


async def test_what_stands_in_for_something_optional_is_said_by_its_source_and_is_not_kept() -> None:
    recipe = new_recipe()
    clock = MovedClock()
    shared = CountingSharedCache(clock)
    recipe.fetched(ttl="60s")(slow("subject", 0))

    @recipe.fetched(ttl="60s", optional=True, default="somewhere")
    async def address() -> str:
        raise ContextUnavailable("geocoding: 503")

    context = await gatherer(recipe, shared=shared).gather(unit())
    assert (context.values["address"], context.degraded) == ("somewhere", ["address"])
    assert not [key for key in shared.kept if "address" in key]
