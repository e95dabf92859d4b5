"""One fetch under way for each key: who comes meanwhile waits for the same one."""

import asyncio
from collections.abc import Collection, Coroutine, Hashable, Sequence
from typing import Any, Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Flight(Generic[K, V]):
    """A fetch of its own task, so that it outlives each one of those who wait, and none of them all."""

    __slots__ = ("keys", "task", "waiters")

    def __init__(self, keys: Sequence[K], task: asyncio.Task[V]) -> None:
        self.keys = keys
        self.task = task
        self.waiters = 0


class Flights(Generic[K, V]):
    """Fetches under way in this process, by key. One fetch may answer for several keys."""

    def __init__(self) -> None:
        self._by_key: dict[K, Flight[K, V]] = {}

    def under_way(self, key: K) -> Flight[K, V] | None:
        return self._by_key.get(key)

    def start(self, keys: Sequence[K], fetch: Coroutine[Any, Any, V]) -> Flight[K, V]:
        """To be landed at once: a flight that nobody waits for is not ended by anybody either."""
        flight = Flight(keys, asyncio.create_task(fetch))
        self._by_key.update(dict.fromkeys(keys, flight))
        flight.task.add_done_callback(lambda _: self._ended(flight))
        return flight

    async def land(self, flights: Collection[Flight[K, V]]) -> list[V]:
        """Wait for all of them, raise what the first one raises. A flight that nobody waits for any more ends."""
        for flight in flights:
            flight.waiters += 1
        try:
            await asyncio.wait([flight.task for flight in flights], return_when=asyncio.FIRST_EXCEPTION)
        finally:
            left = [flight.task for flight in flights if self._leave(flight)]
            if left:  # their connections are back in the pool before we go on
                await asyncio.wait(left)
        for flight in flights:
            if flight.task.done() and not flight.task.cancelled():
                flight.task.result()
        return [flight.task.result() for flight in flights]

    def _leave(self, flight: Flight[K, V]) -> bool:
        """Whether it was ended, because we were the last who waited."""
        flight.waiters -= 1
        if flight.waiters or flight.task.done():
            return False
        self._forget(flight)  # at once: nobody may join a flight that is going down
        flight.task.cancel()
        return True

    def _ended(self, flight: Flight[K, V]) -> None:
        self._forget(flight)
        if not flight.task.cancelled():
            flight.task.exception()  # of two that fail together one is raised; asyncio would complain of the other

    def _forget(self, flight: Flight[K, V]) -> None:
        for key in flight.keys:
            if self._by_key.get(key) is flight:
                del self._by_key[key]
