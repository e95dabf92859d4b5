"""Facts: from this process, from the shared cache of the fleet, else fetched, once for all who ask."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from notification_sender.context.cache.facts import Fact, Origin, Wanted, fetched_before, satisfies_fence
from notification_sender.context.cache.fleet_fetch import Count, FleetFetch
from notification_sender.context.cache.local import LocalCache
from notification_sender.context.cache.single_flight import SingleFlight
from notification_sender.model.cause import Cause, Phase, record_progress
from notification_sender.ports.cache import SharedCache
from notification_sender.ports.clock import Clock, Dice
from notification_sender.ports.fleet import PubSub

TOPIC = "facts"
"""Of the messages that end the wait for another process' fetch."""

_LEAST_DIRECT: tuple[Origin, ...] = ("stale", "fetched", "shelf")


@dataclass(frozen=True, slots=True)
class Facts:
    """Facts by id, tombstones included. ``origin``: the least direct way in which one of them came."""

    by_id: dict[str, Fact]
    origin: Origin


class Cache:
    """Read-through over the shared cache. Only complete answers are kept, and tombstones for a short time. No error is
    kept, and of an answer that the fence refuses only the refusal.

    ``deadline``: seconds for one fetch, whichever process makes it.
    """

    def __init__(
        self,
        *,
        shared: SharedCache,
        pubsub: PubSub,
        clock: Clock,
        dice: Dice,
        prefix: str,
        deadline: float,
        count: Count = lambda _kind, _how: None,
        capacity: int = 4096,
    ) -> None:
        self._clock = clock
        self.local = LocalCache(clock=clock, capacity=capacity)
        """The facts that this process holds: they cost no wait."""
        self._fetches = FleetFetch(
            shared=shared, local=self.local, clock=clock, dice=dice, prefix=prefix, deadline=deadline, count=count
        )
        self._flights: SingleFlight[tuple[str, str, str], dict[str, Fact]] = SingleFlight()
        pubsub.subscribe(TOPIC, self._fetches.waiters.on_message)

    async def get(self, wanted: Wanted, ids: Sequence[str]) -> Facts:
        """The facts of these ids, from the shared cache where they may be used, else fetched.

        Raises:
            ContextUnavailable: a fetch failed, and no kept fact may stand in for it.
            NotFound: the fetch raised it, and nothing of that is remembered.

        """
        asked = self._clock.now()
        facts = await self._join_or_start(wanted, ids, {})
        early = {id_: fact.fetched_at for id_, fact in facts.items() if _too_early(wanted, fact, asked)}
        if early:  # a fetch that is under way now began after this call
            facts |= await self._join_or_start(wanted, list(early), early)
        none: Origin = "fetched"
        origin = min((fact.origin for fact in facts.values()), key=_LEAST_DIRECT.index, default=none)
        return Facts(facts, origin)

    async def close(self) -> None:
        """Cancel all fetches, and give up their leases."""
        await self._flights.close()
        await self._fetches.close()

    async def _join_or_start(
        self, wanted: Wanted, ids: Sequence[str], unusable: Mapping[str, float]
    ) -> dict[str, Fact]:
        """Join the fetches that are under way, start one for the rest."""
        flights = set()
        rest = []
        for id_ in dict.fromkeys(ids):
            flight = self._flights.in_flight(_place(wanted, id_))
            if flight is None:
                rest.append(id_)
            else:
                record_progress(Cause(phase=Phase.SHARED))
                flights.add(flight)
        if rest:
            places = [_place(wanted, id_) for id_ in rest]
            flights.add(self._flights.start(places, self._fetches.get(wanted, rest, unusable)))
        facts: dict[str, Fact] = {}
        for some in await self._flights.wait(flights):
            facts |= some
        return {id_: facts[id_] for id_ in ids if id_ in facts}


def _place(wanted: Wanted, id_: str) -> tuple[str, str, str]:
    return wanted.organization_id, wanted.kind.name, id_


def _too_early(wanted: Wanted, fact: Fact, asked: float) -> bool:
    """Whether another caller's fetch was new enough for it and is not for this one: a kept fact, or a fetch that began
    before the event and before this call.
    """
    fence = wanted.fence
    if wanted.subject and fact.value is None and fact.origin == "shelf":
        return True
    if fence is None or fact.fetched_at >= asked or satisfies_fence(fence, fact):
        return False
    return fact.origin != "fetched" or fetched_before(fact, fence)
