import pytest

from notification_sender.context.recipe import Recipe
from notification_sender.context.source import MISSING
from notification_sender.model.errors import ConfigurationFault


def recipe_of(*functions: object) -> Recipe:
    recipe = Recipe("trial", subject=lambda _: "one")
    for function in functions:
        recipe.derived()(function)  # type: ignore[type-var]
    return recipe


def one(unit: object) -> object: ...
def two(one: object) -> object: ...
def three(two: object, wether: object) -> object: ...


def test_an_unknown_need_is_refused_and_says_what_there_is() -> None:
    with pytest.raises(ConfigurationFault) as fault:
        recipe_of(one, three).check({"api": object()})
    assert str(fault.value).splitlines() == [
        "recipe trial: source three needs two, which is not there (there are: api, one, three, unit)",
        "recipe trial: source three needs wether, which is not there (there are: api, one, three, unit)",
    ]


def test_a_cycle_is_refused_and_shown() -> None:
    recipe = Recipe("trial", subject=lambda _: "hen")
    recipe.derived(name="hen")(lambda egg: egg)
    recipe.derived(name="egg")(lambda hen: hen)
    with pytest.raises(ConfigurationFault, match=r"recipe trial: sources need each other: (hen|egg) → "):
        recipe.check({})


def test_two_sources_of_one_name_are_refused() -> None:
    with pytest.raises(ConfigurationFault, match="recipe trial: source one is declared twice"):
        recipe_of(one, one)


def test_a_source_may_not_hide_what_is_given_at_start() -> None:
    with pytest.raises(ConfigurationFault, match="source one has the name of a thing given at start"):
        recipe_of(one).check({"one": 1})


def test_speaking_for_no_source_is_refused() -> None:
    recipe = Recipe("trial", subject=lambda _: "one")

    @recipe.fetched(name="one", ttl="60s", fresh_as="nobody")
    async def fetched(unit: object) -> None: ...

    with pytest.raises(ConfigurationFault, match="source one speaks for nobody, which is no source"):
        recipe.check({})


async def many(ids: object) -> None: ...


def test_a_derived_fact_cannot_wait() -> None:
    with pytest.raises(ConfigurationFault, match="source many is derived, it cannot wait"):
        recipe_of(many)


@pytest.mark.parametrize("decorator", ["fetched", "batch"])
def test_a_fetching_function_is_async_and_only_an_optional_one_has_a_default(decorator: str) -> None:
    declared = {"ttl": "60s"} | ({"ids": one} if decorator == "batch" else {})
    declare = getattr(Recipe("trial", subject=lambda _: "one"), decorator)
    with pytest.raises(ConfigurationFault, match="source one is fetched, its function must be async"):
        declare(**declared)(one)
    with pytest.raises(ConfigurationFault, match="source many is required: nothing stands in for it"):
        declare(**declared, default=[])(many)


def test_the_function_of_a_batch_takes_ids() -> None:
    async def none() -> None: ...

    with pytest.raises(ConfigurationFault, match="source none is a batch, its function must take ids"):
        Recipe("trial", subject=lambda _: "one").batch(ids=one, ttl="60s")(none)


def test_the_former_decorator_declares_the_same_and_warns() -> None:
    recipe = Recipe("trial", subject=lambda _: "one")

    async def alone() -> None: ...

    with pytest.warns(DeprecationWarning, match="use derived, fetched or batch"):
        recipe.source()(one)
    with pytest.warns(DeprecationWarning, match="use derived"):
        recipe.source(ttl="60s", stale="1h", key=one)(alone)
    with pytest.warns(DeprecationWarning, match="use derived"):
        recipe.source(ttl="60s", batch=one, coalesce="5ms")(many)
    assert [it.kind is None for it in recipe.sources.values()] == [True, False, False]
    assert (recipe.sources["many"].batch is not None, recipe.sources["many"].coalesce) == (True, 0.005)
    assert recipe.sources["many"].needs == {"unit"}


def test_a_plan_holds_what_is_wanted_and_its_needs_in_order() -> None:
    recipe = recipe_of(three, two, one)
    assert [source.name for source in recipe.plan({"two", "timestamp"})] == ["one", "two"]


def test_what_is_missing_is_false_empty_and_silent() -> None:
    assert not MISSING
    assert (str(MISSING), list(MISSING), len(MISSING)) == ("", [], 0)
    assert MISSING["location"]["geojson"] is MISSING


def test_a_reason_not_to_tell_needs_what_is_there() -> None:
    recipe = recipe_of(one)
    recipe.outdated(after="10m")(three)
    with pytest.raises(ConfigurationFault) as fault:
        recipe.check({})
    assert str(fault.value).splitlines() == [
        "recipe trial: outdated three needs two, which is not there (there are: one, unit)",
        "recipe trial: outdated three needs wether, which is not there (there are: one, unit)",
    ]


def test_a_reason_not_to_tell_is_declared_once_and_decides_at_once() -> None:
    recipe = recipe_of(one)
    recipe.outdated(after="10m")(two)
    with pytest.raises(ConfigurationFault, match="outdated two is declared twice"):
        recipe.outdated(after="20m")(two)
    with pytest.raises(ConfigurationFault, match="outdated many decides, it cannot wait"):
        recipe.outdated(after="10m")(many)
