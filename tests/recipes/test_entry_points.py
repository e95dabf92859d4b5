"""Recipes of other packages: found by their entry points, refused with a reason where they cannot work."""

from importlib.metadata import EntryPoint

import pytest

from notification_sender import plugins
from notification_sender import recipes as module
from notification_sender.context.recipe import Recipe
from notification_sender.model.errors import ConfigurationFault

storms = Recipe("storms", subject=lambda _: "storm")
"""What another package would have."""


def installed(monkeypatch: pytest.MonkeyPatch, *entries: tuple[str, str]) -> None:
    points = [EntryPoint(name, value, module.GROUP) for name, value in entries]
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: points if group == module.GROUP else [])


def test_a_recipe_of_another_package_is_there_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(monkeypatch, ("storms", f"{__name__}:storms"))
    assert list(module.recipes()) == ["intel", "storms"]


def test_all_that_cannot_work_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    installed(
        monkeypatch,
        ("gone", "no_such_package:recipe"),
        ("text", "os:sep"),
        ("floods", f"{__name__}:storms"),
        ("intel", "notification_sender.recipes.intel.sources:intel"),
    )
    with pytest.raises(ConfigurationFault) as refused:
        module.recipes()
    said = str(refused.value).splitlines()
    for line, words in zip(
        said,
        (
            "recipe gone (no_such_package:recipe) cannot be imported: ModuleNotFoundError",
            "recipe text (os:sep) is a str, not a Recipe",
            "calls itself storms: the entry point must have the same name",
            "there is a recipe of that name already",
        ),
        strict=True,
    ):
        assert words in line
