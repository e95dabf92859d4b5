"""One fetch under way for each key: further callers wait for the same one."""

import asyncio
from collections.abc import Collection, Coroutine, Hashable, Sequence
from typing import Any, Generic, TypeVar

from notification_sender.telemetry.shared_work import SharedWork, begin_shared

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Flight(Generic[K, V]):
    """A fetch in a task of its own, which outlives all callers that wait for it.

    Callers ask again. If every deadline were shorter than the fetch, a fetch that ended with its last caller would
    never be finished.
    """

    __slots__ = ("keys", "task", "work")

    def __init__(self, keys: Sequence[K], task: asyncio.Task[V], work: SharedWork | None) -> None:
        self.keys = keys
        self.task = task
        self.work = work


class SingleFlight(Generic[K, V]):
    """Fetches under way in this process, by key. One fetch may answer for several keys."""

    def __init__(self) -> None:
        self._by_key: dict[K, Flight[K, V]] = {}

    def in_flight(self, key: K) -> Flight[K, V] | None:
        """The fetch that is under way for ``key``, for a caller that will wait for it."""
        flight = self._by_key.get(key)
        if flight is not None and flight.work is not None:
            flight.work.join()
        return flight

    def start(self, keys: Sequence[K], fetch: Coroutine[Any, Any, V]) -> Flight[K, V]:
        work = begin_shared()  # before the task, which inherits it
        flight = Flight(keys, asyncio.create_task(fetch), work)
        self._by_key.update(dict.fromkeys(keys, flight))
        flight.task.add_done_callback(lambda _: self._ended(flight))
        return flight

    async def wait(self, flights: Collection[Flight[K, V]]) -> list[V]:
        """Wait for all flights; raise what the first one raises."""
        await asyncio.wait([flight.task for flight in flights], return_when=asyncio.FIRST_EXCEPTION)
        for flight in flights:
            if flight.task.done():
                flight.task.result()
        return [flight.task.result() for flight in flights]

    async def close(self) -> None:
        """Cancel all flights, and wait until they have ended."""
        tasks = {flight.task for flight in self._by_key.values()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _ended(self, flight: Flight[K, V]) -> None:
        for key in flight.keys:
            if self._by_key.get(key) is flight:
                del self._by_key[key]
        if not flight.task.cancelled():
            flight.task.exception()  # of two that fail together one is raised; asyncio would log the other
