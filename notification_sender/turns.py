"""Places that several names share. Each name gets its turn, however many waiters another name has."""

import asyncio
from collections import Counter, deque


class Turns:
    """``places`` in all. A free place goes to the name that holds fewest places. Among equal names it goes to the one
    whose last turn is longest ago. Within one name, waiters are served in the order of their arrival.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._held: Counter[str] = Counter()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}
        """By name, those whose last turn is longest ago first. While there is a free place nobody waits."""

    async def take(self, name: str) -> None:
        """Wait for a place. A caller that is cancelled has none."""
        if self._free:
            self._free -= 1
            self._held[name] += 1
            return
        turn = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(name, deque()).append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            self._withdraw(name, turn)
            raise

    def give(self, name: str) -> None:
        """Give a place back."""
        self._held[name] -= 1
        if not self._held[name]:
            del self._held[name]
        while self._waiting:
            first = min(self._waiting, key=self._held.__getitem__)
            queue = self._waiting.pop(first)
            turn = queue.popleft()
            if queue:
                self._waiting[first] = queue
            if not turn.done():  # else its time was over in the same moment, and it has yet to withdraw
                self._held[first] += 1
                turn.set_result(None)
                return
        self._free += 1

    def _withdraw(self, name: str, turn: "asyncio.Future[None]") -> None:
        if not turn.cancelled():
            # It was its turn in the same moment: the place would be lost.
            self.give(name)
            return
        queue = self._waiting.get(name, ())
        if queue and turn in queue:
            queue.remove(turn)
            if not queue:
                del self._waiting[name]
