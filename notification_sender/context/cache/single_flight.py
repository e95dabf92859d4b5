"""One fetch under way for each key: who comes meanwhile waits for the same one."""

import asyncio
from collections.abc import Collection, Coroutine, Hashable, Sequence
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Flight(Generic[K, V]):
    """A fetch of its own task: it outlives each one of those who wait, and them all.

    What was asked for will be asked for again: where everybody's patience is shorter than the fetch, a fetch that ended
    with the last of them would never be finished.
    """

    __slots__ = ("keys", "task")

    def __init__(self, keys: Sequence[K], task: asyncio.Task[V]) -> None:
        self.keys = keys
        self.task = task


class Flights(Generic[K, V]):
    """Fetches under way in this process, by key. One fetch may answer for several keys."""

    def __init__(self) -> None:
        self._by_key: dict[K, Flight[K, V]] = {}

    def under_way(self, key: K) -> Flight[K, V] | None:
        return self._by_key.get(key)

    def start(self, keys: Sequence[K], fetch: Coroutine[Any, Any, V]) -> Flight[K, V]:
        flight = Flight(keys, asyncio.create_task(fetch))
        self._by_key.update(dict.fromkeys(keys, flight))
        flight.task.add_done_callback(lambda _: self._ended(flight))
        return flight

    async def land(self, flights: Collection[Flight[K, V]]) -> list[V]:
        """Wait for all of them, raise what the first one raises."""
        await asyncio.wait([flight.task for flight in flights], return_when=asyncio.FIRST_EXCEPTION)
        for flight in flights:
            if flight.task.done():
                flight.task.result()
        return [flight.task.result() for flight in flights]

    async def close(self) -> None:
        """End them all, and wait until they have ended."""
        tasks = {flight.task for flight in self._by_key.values()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, flight: Flight[K, V]) -> None:
        for key in flight.keys:
            if self._by_key.get(key) is flight:
                del self._by_key[key]
        if not flight.task.cancelled():
            flight.task.exception()  # of two that fail together one is raised; asyncio would complain of the other
