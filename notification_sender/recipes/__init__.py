"""What to say: for each kind of unit, its sources."""

from importlib.metadata import EntryPoint, entry_points

from notification_sender.context.graph import Recipe
from notification_sender.model.errors import ConfigurationFault
from notification_sender.recipes.intel import intel

GROUP = "notification_sender.recipes"
"""Entry points of other packages: the name is the kind, the value their recipe."""

SHIPPED = (intel,)
"""A new kind of notification is one new file, and one name here."""


def recipes() -> dict[str, Recipe]:
    """By kind: the shipped ones, and those of other packages that are installed.

    Raises:
        ConfigurationFault: all that is wrong with those: cannot be imported, is no recipe, a kind that there is.

    """
    known = {recipe.name: recipe for recipe in SHIPPED}
    faults = []
    for entry in entry_points(group=GROUP):
        try:
            recipe = _loaded(entry, known)
        except ConfigurationFault as fault:
            faults.append(str(fault))
        else:
            known[recipe.name] = recipe
    if faults:
        raise ConfigurationFault("\n".join(faults))
    return known


def _loaded(entry: EntryPoint, known: dict[str, Recipe]) -> Recipe:
    where = f"recipe {entry.name} ({entry.value}{f' of {entry.dist.name}' if entry.dist else ''})"
    try:
        recipe = entry.load()
    except Exception as fault:  # what is imported there may fail in any way
        raise ConfigurationFault(f"{where} cannot be imported: {type(fault).__name__}: {fault}") from fault
    if not isinstance(recipe, Recipe):
        raise ConfigurationFault(f"{where} is a {type(recipe).__name__}, not a Recipe")
    if recipe.name != entry.name:
        raise ConfigurationFault(f"{where} calls itself {recipe.name}: the entry point must have the same name")
    if recipe.name in known:
        raise ConfigurationFault(f"{where}: there is a recipe of that name already")
    return recipe
