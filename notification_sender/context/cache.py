"""Facts that were fetched: at hand in the process, on the shelf for the fleet, else fetched, once for all who ask."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from notification_sender.context.at_hand import AtHand
from notification_sender.context.facts import Copy, Kind, Wanted, lets, precedes
from notification_sender.context.fetches import Count, Fetches, Landed, Origin
from notification_sender.context.flights import Flights
from notification_sender.ports import Clock, Dice, News, Shelf

TOPIC = "facts"
"""Of the news that wake those who wait for somebody else's fetch."""

_LEAST_DIRECT: tuple[Origin, ...] = ("stale", "fetched", "shelf")


@dataclass(frozen=True, slots=True)
class Found:
    """What is known, by id, also that there is none; the least direct way that one of them came."""

    copies: dict[str, Copy]
    origin: Origin


class Cache:
    """Read-through over the shelf. Only whole answers are kept, and for a short time that the API has none: no error,
    and of what the fence refuses no more than that it was refused.

    ``deadline`` s for one fetch, whoever makes it.
    """

    def __init__(
        self,
        *,
        shelf: Shelf,
        news: News,
        clock: Clock,
        dice: Dice,
        prefix: str,
        deadline: float,
        count: Count = lambda _kind, _how: None,
        capacity: int = 4096,
    ) -> None:
        self._clock = clock
        self._at_hand = AtHand(clock=clock, capacity=capacity)
        self._fetches = Fetches(
            shelf=shelf, at_hand=self._at_hand, clock=clock, dice=dice, prefix=prefix, deadline=deadline, count=count
        )
        self._flights: Flights[tuple[str, str, str], dict[str, Landed]] = Flights()
        news.hear(TOPIC, self._fetches.wakes.heard)

    def at_hand(self, kind: Kind, organization_id: str, id_: str) -> Copy | None:
        """A copy in this process: costs no wait."""
        return self._at_hand.one(kind, organization_id, id_)

    def all_at_hand(
        self, kind: Kind, organization_id: str, ids: Iterable[str]
    ) -> tuple[dict[str, Any], list[str], float]:
        """As ``AtHand.many``."""
        return self._at_hand.many(kind, organization_id, ids)

    async def find(self, wanted: Wanted, ids: Sequence[str]) -> Found:
        """What is known of these, from the shelf where it may be used, else fetched.

        Raises:
            ContextUnavailable: a fetch failed, and no copy may stand in for it.
            NotFound: the fetch raised it, and nothing of that is remembered.

        """
        asked = self._clock.now()
        landed = await self._land(wanted, ids, {})
        early = {id_: it.copy.fetched_at for id_, it in landed.items() if _too_early(wanted, it, asked)}
        if early:  # what is under way now began after we came
            landed |= await self._land(wanted, list(early), early)
        none: Origin = "fetched"
        origin = min((it.origin for it in landed.values()), key=_LEAST_DIRECT.index, default=none)
        return Found({id_: it.copy for id_, it in landed.items()}, origin)

    async def close(self) -> None:
        """End what is being fetched, and give it up to others."""
        await self._flights.close()
        await self._fetches.close()

    async def _land(self, wanted: Wanted, ids: Sequence[str], unusable: Mapping[str, float]) -> dict[str, Landed]:
        """Join what is under way, start the rest."""
        flights = set()
        rest = []
        for id_ in dict.fromkeys(ids):
            flight = self._flights.under_way(_place(wanted, id_))
            if flight is None:
                rest.append(id_)
            else:
                flights.add(flight)
        if rest:
            places = [_place(wanted, id_) for id_ in rest]
            flights.add(self._flights.start(places, self._fetches.obtain(wanted, rest, unusable)))
        landed: dict[str, Landed] = {}
        for some in await self._flights.land(flights):
            landed |= some
        return {id_: landed[id_] for id_ in ids if id_ in landed}


def _place(wanted: Wanted, id_: str) -> tuple[str, str, str]:
    return wanted.organization_id, wanted.kind.name, id_


def _too_early(wanted: Wanted, landed: Landed, asked: float) -> bool:
    """Somebody else asked for it, for whom it was new enough: a copy, or a fetch that began before the event and us."""
    copy, fence = landed.copy, wanted.fence
    if wanted.subject and copy.value is None and landed.origin == "shelf":
        return True
    if fence is None or copy.fetched_at >= asked or lets(fence, copy):
        return False
    return landed.origin != "fetched" or precedes(copy, fence)
