"""The recipes, by kind of unit."""

import json
from pathlib import Path
from typing import Any

from notification_sender.context.recipe import Recipe
from notification_sender.model.errors import UnknownKind
from notification_sender.plugins import with_installed
from notification_sender.recipes.intel.sources import intel

GROUP = "notification_sender.recipes"
"""Group of entry points of other packages: the name is the kind, the value is the recipe."""

GIVEN = ("unit", "destination", "degraded", "timestamp")
"""Names that a template may read besides the sources."""

SHIPPED = (intel,)
"""The recipes of this package. A new one is a file, and a name here."""


def sample(kind: str) -> dict[str, Any]:
    """A context to start from, a source each: of the shipped kind as the simulated platform has it, of others empty.

    Raises:
        UnknownKind: there is no such recipe.

    """
    known = recipes()
    if kind not in known:
        raise UnknownKind(f"there is no recipe {kind!r}, only {', '.join(sorted(known))}")
    values: dict[str, Any] = json.loads(Path(__file__).with_name("sample.json").read_bytes())
    return {name: values.get(name) for name in (*GIVEN, *known[kind].sources)} | {
        "unit": values["unit"] | {"kind": kind}
    }


def recipes() -> dict[str, Recipe]:
    """By kind: the shipped ones, and those of other packages that are installed.

    Raises:
        ConfigurationFault: all that is wrong with those: cannot be imported, is no recipe, a kind that there is.

    """
    return with_installed(GROUP, Recipe, SHIPPED, what="recipe")
