"""The internal APIs: those that every recipe is given, and those that a recipe brings itself."""

from collections.abc import Iterable

from notification_sender.context.recipe import Recipe
from notification_sender.context.upstream.api import Api
from notification_sender.model.errors import ConfigurationFault

AAA = Api("aaa")

SHARED = (
    AAA,
    Api("incidents"),
    Api("intel_requests", given_as="intel_requests_api"),
    Api("assets", given_as="assets_api"),
    # May be a third party: it gets no token and no trace.
    Api("geocoding", trusted=False),
)
"""Every recipe is given these."""


def own_apis(recipes: Iterable[Recipe]) -> dict[str, Api]:
    """The APIs that recipes bring themselves, by name. Two recipes may bring the same.

    Raises:
        ConfigurationFault: two different APIs have one name.

    """
    known = {api.name: api for api in SHARED}
    faults = [
        f"recipe {recipe.name}: there is another API of the name {api.name}"
        for recipe in recipes
        for api in recipe.apis
        if known.setdefault(api.name, api) != api
    ]
    if faults:
        raise ConfigurationFault("\n".join(faults))
    return {name: api for name, api in known.items() if api not in SHARED}
