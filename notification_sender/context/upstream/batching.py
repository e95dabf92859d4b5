"""Bulk calls of several units made as one: ids that are asked for within a moment share calls."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from notification_sender.context.cache.facts import CountForeign
from notification_sender.context.source import Source
from notification_sender.context.upstream.errors import BadRecord
from notification_sender.context.upstream.splitting import Fetch, Splitter
from notification_sender.fleet.background import BackgroundTasks
from notification_sender.model.cause import Cause, Phase, record_progress
from notification_sender.model.errors import ContextUnavailable
from notification_sender.telemetry.shared_work import SharedWork, share, shared_work

CHUNK = 100
"""Ids of one bulk call, by contract."""

LONGEST_WINDOWS = 5
"""Windows after the first id at most: the first caller must not wait for as long as others keep coming."""


class Coalescer:
    """For one bulk call: ids that are asked for within ``window`` s of each other share calls of 100 ids at most.

    Each caller gets the records of its own ids, or the error of a call that held one of them.
    """

    def __init__(self, calls: Splitter, *, window: float) -> None:
        self._made_by = calls
        self._window = window
        self._batch: _Batch | None = None
        self._batches: dict[str, _Batch] = {}
        """By id, of all that wait or are under way: they are not asked for again meanwhile."""
        self._calls = BackgroundTasks()

    async def records(self, ids: Sequence[str], organization_id: str) -> dict[str, Any]:
        """Records by id, without those the API does not have; a BadRecord for one that cannot be read. Raises what the
        call raises.
        """
        ends = {id_: self._batch_of(id_, organization_id).ends[id_] for id_ in ids}
        if self._batch is not None:
            self._postpone(self._batch)
        if ends:
            record_progress(Cause(phase=Phase.SHARED))  # the call itself is traced by one of its waiting callers
            await asyncio.wait(ends.values())
        found = {id_: end.result() for id_, end in ends.items()}
        return {id_: record for id_, record in found.items() if record is not None}

    def _batch_of(self, id_: str, organization_id: str) -> "_Batch":
        batch = self._batches.get(id_) or self._add(id_, organization_id)
        if (work := shared_work()) is not None and work not in batch.work.waiting:
            batch.work.waiting.append(work)
        return batch

    def _add(self, id_: str, organization_id: str) -> "_Batch":
        loop = asyncio.get_running_loop()
        if self._batch is None:
            self._batch = _Batch(loop.time() + LONGEST_WINDOWS * self._window)
        batch = self._batch
        self._batches[id_] = batch
        batch.ends[id_] = loop.create_future()
        batch.owners[id_] = organization_id
        if len(batch.ends) >= CHUNK:
            self._leave(batch)
        return batch

    def _postpone(self, batch: "_Batch") -> None:
        """Wait a little longer, for the next caller."""
        loop = asyncio.get_running_loop()
        if batch.timer is not None:
            batch.timer.cancel()
        batch.timer = loop.call_at(min(loop.time() + self._window, batch.latest), self._leave, batch)

    def _leave(self, batch: "_Batch") -> None:
        if batch.timer is not None:
            batch.timer.cancel()
        if self._batch is batch:
            self._batch = None
        self._calls.start(self._call(batch))

    async def _call(self, batch: "_Batch") -> None:
        share(batch.work)
        try:
            await self._made_by.fetch_all(batch.owners, lambda id_, record: self._resolve(batch, id_, record))
        finally:  # cut off, with the loop
            for id_ in [*batch.ends]:
                cut_off = ContextUnavailable("the call was cut off", cause=Cause(phase=Phase.SHARED))
                self._resolve(batch, id_, cut_off)

    def _resolve(self, batch: "_Batch", id_: str, record: Any) -> None:
        """The result of an id, which may be asked for again from now on."""
        end = batch.ends.pop(id_)
        del self._batches[id_]
        if isinstance(record, Exception) and not isinstance(record, BadRecord):
            end.set_exception(record)
            end.exception()  # the caller may be gone, and asyncio would log it
        else:
            end.set_result(record)


class _Batch:
    """Ids on their way to one call, and the future of each."""

    __slots__ = ("ends", "latest", "owners", "timer", "work")

    def __init__(self, latest: float) -> None:
        self.latest = latest
        self.ends: dict[str, asyncio.Future[Any]] = {}
        self.owners: dict[str, str] = {}
        """Which organization asked for it first."""
        self.timer: asyncio.TimerHandle | None = None
        self.work = SharedWork()
        """Who waits for the call."""


class Bulk:
    """One coalescer for each source that declares ``coalesce``; units do not share calls of the others."""

    def __init__(self, sources: Iterable[Source], resources: Mapping[str, Any], count_foreign: CountForeign) -> None:
        self._count_foreign = count_foreign
        self._coalescers = {
            source.kind.name: Coalescer(Splitter(_fetch(source, resources), kind=_kind(source)), window=source.coalesce)
            for source in sources
            if source.coalesce is not None and source.kind is not None
        }

    async def records(
        self, source: Source, organization_id: str, ids: Sequence[str], facts: Mapping[str, Any]
    ) -> dict[str, Any]:
        """By id; a BadRecord for one that cannot be read. Raises what the call raises."""
        if source.coalesce is None or source.kind is None:
            # Without a window: this unit's ids are all there is.
            alone = Coalescer(Splitter(_fetch(source, facts), kind=_kind(source)), window=0.0)
            return await alone.records(ids, organization_id)
        found = await self._coalescers[source.kind.name].records(ids, organization_id)
        return self._own(found, organization_id, _kind(source))

    def _own(self, found: dict[str, Any], organization_id: str, kind: str) -> dict[str, Any]:
        """The records of the organization: the call was made for others too, and some APIs look at ids alone."""
        own = {id_: record for id_, record in found.items() if _owner(record) in (organization_id, BadRecord)}
        for _ in range(len(found) - len(own)):
            self._count_foreign(kind)
        return own


def _owner(record: Any) -> Any:
    if isinstance(record, BadRecord):
        return BadRecord  # its owner needs to know, and no other organization learns anything
    return record.get("organization_id") if isinstance(record, dict) else None


def _kind(source: Source) -> str:
    return source.kind.name.rpartition(":")[2] if source.kind is not None else source.name


def _fetch(source: Source, facts: Mapping[str, Any]) -> Fetch:
    async def fetch(ids: Sequence[str]) -> Mapping[str, Any]:
        records: Mapping[str, Any] = await source.fetch({**facts, "ids": ids})
        return records

    return fetch
