"""The first level of the cache: facts that this process used within the last seconds."""

import math
from collections.abc import Iterable
from typing import Any

from notification_sender.context.cache.facts import Fact, Kind
from notification_sender.ports.clock import Clock

LONGEST = 5.0
"""Seconds that a process uses a fact without asking the fleet: it sees an invalidation or a newer fact by then."""

GROWING_OLD = 1.0
"""The same of a fact that is not fresh any more: some process is fetching it anew."""

_NEVER = (None, -math.inf)


class LocalCache:
    """At most ``capacity`` facts; the least recently stored leave first."""

    def __init__(self, *, clock: Clock, capacity: int) -> None:
        self._clock = clock
        self._capacity = capacity
        self._held: dict[tuple[str, str, str], tuple[Fact, float]] = {}

    def get(self, kind: Kind, organization_id: str, id_: str) -> Fact | None:
        """A fact that may be used without asking the fleet."""
        fact, until = self._held.get((organization_id, kind.name, id_), _NEVER)
        return fact if until > self._clock.monotonic() else None

    def get_many(self, kind: Kind, organization_id: str, ids: Iterable[str]) -> tuple[dict[str, Any], list[str], float]:
        """The values of the facts that are here, None for a tombstone; the ids of the others; when the oldest fetch
        began.
        """
        now, name, oldest = self._clock.monotonic(), kind.name, math.inf
        values: dict[str, Any] = {}
        others = []
        for id_ in ids:
            fact, until = self._held.get((organization_id, name, id_), _NEVER)
            if fact is not None and until > now:
                values[id_] = fact.value
                oldest = min(oldest, fact.fetched_at)
            else:
                others.append(id_)
        return values, others, oldest

    def put(self, kind: Kind, organization_id: str, id_: str, fact: Fact, hard: float) -> None:
        """Keep a fact that may be served for ``hard`` s more, at most."""
        held, place, now = self._held, (organization_id, kind.name, id_), self._clock.monotonic()
        fresh = fact.fresh_until - self._clock.now()
        held.pop(place, None)
        held[place] = (fact, now + (min(fresh, LONGEST) if fresh > 0 else min(hard, GROWING_OLD)))
        # The oldest come first, and none lasts long: facts that nobody asks for any more leave the memory here.
        while len(held) > self._capacity or (held and next(iter(held.values()))[1] <= now):
            del held[next(iter(held))]
