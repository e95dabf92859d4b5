"""Where each fact of a context came from, and when."""

import math
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from notification_sender.context.fetches import Origin
from notification_sender.context.graph import MISSING
from notification_sender.model.notification import How, Provenance

Came = tuple[How, float]
"""How a fact came, and when its fetch began: epoch s."""

NEVER: Came = ("missing", math.inf)

HOW: Mapping[Origin, How] = {"shelf": "hit", "fetched": "fetched", "stale": "stale"}


def traced(
    facts: Mapping[str, Any], made_of: Mapping[str, Sequence[str]], looked_up: Mapping[str, Came]
) -> dict[str, Came]:
    """Of all ``facts``, which stand after what they are made of: those that were not looked up are as old as the oldest
    of these.
    """
    came: dict[str, Came] = {}
    for name, fact in facts.items():
        if fact is MISSING:
            came[name] = NEVER
        elif name in looked_up:
            came[name] = looked_up[name]
        else:
            oldest = math.inf
            for part in made_of[name]:
                oldest = min(oldest, came[part][1])
            came[name] = ("given", oldest)
    return came


def provenance(came: Came, now: float) -> Provenance:
    """As it is at ``now``, to a tenth of a second."""
    # Clocks of two processes differ a little.
    return _provenance(came[0], int(10 * max(0.0, now - came[1])))


@lru_cache(maxsize=4096)
def _provenance(how: How, tenths: int) -> Provenance:
    """The same for many: to make one costs more than to find it."""
    return Provenance(how=how, age=tenths / 10)
