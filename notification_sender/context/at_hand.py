"""The small first level: copies that this process just had in its hands."""

import math
from collections.abc import Iterable
from typing import Any

from notification_sender.context.facts import Copy, Kind
from notification_sender.ports import Clock

LONGEST = 5.0
"""Seconds that a process trusts its own copy: an invalidation or a newer fact elsewhere is seen by then."""

GROWING_OLD = 1.0
"""Seconds that it trusts one that is past its soft time: somebody fetches it anew this very moment."""

_NEVER = (None, -math.inf)


class AtHand:
    """At most ``capacity`` copies; the least recently held leave first."""

    def __init__(self, *, clock: Clock, capacity: int) -> None:
        self._clock = clock
        self._capacity = capacity
        self._held: dict[tuple[str, str, str], tuple[Copy, float]] = {}

    def one(self, kind: Kind, organization_id: str, id_: str) -> Copy | None:
        """A copy that may be used without asking anybody."""
        copy, until = self._held.get((organization_id, kind.name, id_), _NEVER)
        return copy if until > self._clock.monotonic() else None

    def many(self, kind: Kind, organization_id: str, ids: Iterable[str]) -> tuple[dict[str, Any], list[str], float]:
        """The values of those that are at hand, None where there is none; the ids of the others; when the fetch of the
        oldest copy began.
        """
        now, name, oldest = self._clock.monotonic(), kind.name, math.inf
        values: dict[str, Any] = {}
        others = []
        for id_ in ids:
            copy, until = self._held.get((organization_id, name, id_), _NEVER)
            if copy is not None and until > now:
                values[id_] = copy.value
                oldest = min(oldest, copy.fetched_at)
            else:
                others.append(id_)
        return values, others, oldest

    def hold(self, kind: Kind, organization_id: str, id_: str, copy: Copy, hard: float) -> None:
        """One that may be served for ``hard`` s more, at most."""
        held, place, now = self._held, (organization_id, kind.name, id_), self._clock.monotonic()
        fresh = copy.fresh_until - self._clock.now()
        held.pop(place, None)
        held[place] = (copy, now + (min(fresh, LONGEST) if fresh > 0 else min(hard, GROWING_OLD)))
        # The oldest come first, and none lasts long: what nobody asks for any more leaves the memory here.
        while len(held) > self._capacity or (held and next(iter(held.values()))[1] <= now):
            del held[next(iter(held))]
