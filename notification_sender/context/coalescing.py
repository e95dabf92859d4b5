"""Bulk calls of several units made as one: what is asked for within a moment is asked for together."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

CHUNK = 100
"""Ids of one bulk call, by contract."""

PATIENCE = 5
"""Windows after the first id at most: whoever came first must not wait for as long as others keep coming."""

Fetch = Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]]


class Coalescer:
    """For one bulk call: ids that are asked for within ``window`` s of each other share calls of 100 ids at most.

    Each who asks gets what there is of his own ids, or the error of a call that held one of them.
    """

    def __init__(self, fetch: Fetch, *, window: float) -> None:
        self._fetch = fetch
        self._window = window
        self._batch: _Batch | None = None
        self._ends: dict[str, asyncio.Future[Any]] = {}
        """Of all that wait or are under way: what is asked for meanwhile is not asked for again."""
        self._calls: set[asyncio.Task[None]] = set()

    async def records(self, ids: Sequence[str]) -> dict[str, Any]:
        """By id; what the API does not have is not there. Raises what the call raises."""
        ends = {id_: self._ends.get(id_) or self._add(id_) for id_ in ids}
        if self._batch is not None:
            self._postpone(self._batch)
        if ends:
            await asyncio.wait(ends.values())
        found = {id_: end.result() for id_, end in ends.items()}
        return {id_: record for id_, record in found.items() if record is not None}

    def _add(self, id_: str) -> "asyncio.Future[Any]":
        loop = asyncio.get_running_loop()
        if self._batch is None:
            self._batch = _Batch(loop.time() + PATIENCE * self._window)
        batch = self._batch
        end = self._ends[id_] = batch.ends[id_] = loop.create_future()
        if len(batch.ends) >= CHUNK:
            self._leave(batch)
        return end

    def _postpone(self, batch: "_Batch") -> None:
        """A little longer, for whoever comes next."""
        loop = asyncio.get_running_loop()
        if batch.timer is not None:
            batch.timer.cancel()
        batch.timer = loop.call_at(min(loop.time() + self._window, batch.latest), self._leave, batch)

    def _leave(self, batch: "_Batch") -> None:
        if batch.timer is not None:
            batch.timer.cancel()
        if self._batch is batch:
            self._batch = None
        call = asyncio.get_running_loop().create_task(self._call(batch))
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    async def _call(self, batch: "_Batch") -> None:
        try:
            try:
                records = await self._fetch(list(batch.ends))
                found = [records.get(id_) for id_ in batch.ends]
            finally:
                for id_ in batch.ends:
                    del self._ends[id_]
        except BaseException as error:
            for end in batch.ends.values():
                end.set_exception(error)
                end.exception()  # whoever asked may be gone, and asyncio would complain
            if not isinstance(error, Exception):
                raise
        else:
            for end, record in zip(batch.ends.values(), found, strict=True):
                end.set_result(record)


class _Batch:
    """Ids on their way to one call, and who waits for each."""

    __slots__ = ("ends", "latest", "timer")

    def __init__(self, latest: float) -> None:
        self.latest = latest
        self.ends: dict[str, asyncio.Future[Any]] = {}
        self.timer: asyncio.TimerHandle | None = None
