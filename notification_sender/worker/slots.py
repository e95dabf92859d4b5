"""How many deliveries are in hand at once, shared by the lanes."""

import asyncio
from collections import deque
from collections.abc import Mapping

from notification_sender.ports import Lane


class Slots:
    """While nobody waits any lane may use all slots; a freed one goes to the lane with fewest, by turns.

    So a backlog of retries cannot keep first attempts out, nor the other way round, and no slot lies idle for it.
    """

    def __init__(self, total: int) -> None:
        self._free = total
        self._held = dict.fromkeys(Lane, 0)
        self._waiting: dict[Lane, deque[asyncio.Future[None]]] = {lane: deque() for lane in Lane}

    @property
    def held(self) -> Mapping[Lane, int]:
        """Slots in use now, by lane."""
        return self._held

    async def take(self, lane: Lane) -> None:
        """Wait for a slot and hold it, until it is given."""
        if self._free:
            self._free -= 1
            self._held[lane] += 1
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[lane].append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            # Cancelled in the same tick in which the slot was handed over: without this it would leak.
            if turn.done() and not turn.cancelled():
                self.give(lane)
            raise

    def give(self, lane: Lane) -> None:
        """Hand a slot on: to whoever waits, or back."""
        self._held[lane] -= 1
        while queued := [it for it, queue in self._waiting.items() if queue]:
            fewest = min(queued, key=lambda it: (self._held[it], it is lane)) if len(queued) > 1 else queued[0]
            turn = self._waiting[fewest].popleft()
            if not turn.done():
                self._held[fewest] += 1
                turn.set_result(None)
                return
        self._free += 1
