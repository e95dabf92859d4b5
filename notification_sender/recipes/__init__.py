"""What to say: for each kind of unit, its sources."""

from collections.abc import Mapping
from typing import Final

from notification_sender.context.graph import Recipe
from notification_sender.recipes.intel import intel

RECIPES: Final[Mapping[str, Recipe]] = {intel.name: intel}
"""By kind. A new kind of notification is one new file, and one line here."""
