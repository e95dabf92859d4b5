"""The state of gathering for one unit: what is there, what runs, what is left."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from notification_sender.context.cache import Cache, Copy, Kind, Wanted, lets
from notification_sender.context.graph import MISSING, Source
from notification_sender.context.upstream import Foreign, NotFound
from notification_sender.model.errors import ContextUnavailable, SubjectNotFound, TenantMismatch
from notification_sender.model.unit import WorkUnit, fingerprint_time
from notification_sender.policy.freshness import fence


class Gathering:
    """A value that is at hand is taken at once: tasks are for what waits."""

    def __init__(self, unit: WorkUnit, subject: str, resources: Mapping[str, Any], cache: Cache) -> None:
        self._subject = subject
        self._organization_id = unit.organization_id
        self._facts: dict[str, Any] = {**resources, "unit": unit}
        self._cache = cache
        self._fence = fence(fingerprint_time(unit), unit.occurred_at)
        self.degraded: list[str] = []
        self.provenance: dict[str, str] = {}
        self.left: Sequence[tuple[Source, frozenset[str]]] = ()
        self.running: dict[asyncio.Task[None], Source] = {}
        self.tasks: list[asyncio.Task[None]] = []

    def values(self) -> dict[str, Any]:
        """What was gathered so far, by source."""
        return {name: self._facts[name] for name in self.provenance}

    async def end(self) -> None:
        """No task outlives its unit; what it raised is looked at, so that asyncio does not complain of it."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def advance(self) -> None:
        """Take or start every source whose needs are there; ``left`` is in the order of the needs."""
        absent = {source.name for source in self.running.values()}
        left = []
        for step in self.left:
            source, needs = step
            if absent and not needs.isdisjoint(absent):
                left.append(step)
                absent.add(source.name)
            elif not self._take(source):
                absent.add(source.name)
        self.left = left

    async def step(self) -> None:
        """Until at least one of those running has ended."""
        done, _ = await asyncio.wait(self.running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self.running[task]
            task.result()
        self.advance()

    def give_up(self, why: str) -> None:
        """The time is over: what is optional is missing.

        Raises:
            ContextUnavailable: something else is missing too.

        """
        while self.running:
            required = [source.name for source in self.running.values() if source.optional is not True]
            if required:
                raise ContextUnavailable(f"{', '.join(required)}: {why}")
            for source in self.running.values():
                self._miss(source, why)
            self.running = {}
            self.advance()

    def _take(self, source: Source) -> bool:
        """Whether it is there now; else it was started."""
        if source.kind is None:
            self._settle(source, source.fetch(self._facts), "derived")
            return True
        if source.batch is not None:
            return self._take_many(source, source.kind)
        value = source.given and source.given(self._facts)
        if value:
            self._settle(source, value, "given")
            return True
        id_ = source.key(self._facts) if source.key else ""
        if id_ is None:
            self._settle(source, None, "not asked")
            return True
        copy = self._cache.at_hand(source.kind, self._organization_id, id_)
        if copy is None or not self._lets(source, copy):
            self._start(source, source.kind, [id_], {})
            return False
        self._settle(source, copy.value, "memory")
        return True

    def _take_many(self, source: Source, kind: Kind) -> bool:
        known: Mapping[str, Any] = (source.given and source.given(self._facts)) or {}
        at_hand, organization_id = self._cache.at_hand, self._organization_id
        values: dict[str, Any] = {}
        missing = []
        for id_ in source.batch(self._facts) if source.batch else ():
            if id_ in known:
                values[id_] = known[id_]
            elif copy := at_hand(kind, organization_id, id_):
                values[id_] = copy.value
            else:
                values[id_] = None  # keeps its place
                missing.append(id_)
        if missing:
            self._start(source, kind, list(dict.fromkeys(missing)), values)
            return False
        self._settle_many(source, values, "memory")
        return True

    def _start(self, source: Source, kind: Kind, ids: list[str], values: dict[str, Any]) -> None:
        task = asyncio.create_task(self._fetch(source, kind, ids, values))
        self.running[task] = source
        self.tasks.append(task)

    async def _fetch(self, source: Source, kind: Kind, ids: list[str], values: dict[str, Any]) -> None:
        try:
            async with asyncio.timeout(source.timeout):
                await self._find(source, kind, ids, values)
        except Exception as error:  # noqa: BLE001 - what is optional may fail in any way; the rest is raised again
            self._fail(source, error)

    async def _find(self, source: Source, kind: Kind, ids: list[str], values: dict[str, Any]) -> None:
        async def load(ids: Sequence[str]) -> Mapping[str, Any]:
            if source.batch is None:
                return {ids[0]: await source.fetch(self._facts)}
            records: Mapping[str, Any] = await source.fetch({**self._facts, "ids": ids})
            return records

        guarded = self._fence if self._is_fenced(source) else None
        found = await self._cache.find(Wanted(kind, self._organization_id, load, guarded), ids)
        if found.origin == "stale":
            self.degraded.append(source.name)
        if source.batch is None:
            self._settle_one(source, found.copies.get(ids[0]), found.origin)
            return
        values |= {id_: copy.value for id_, copy in found.copies.items()}
        self._settle_many(source, values, found.origin)

    def _settle_one(self, source: Source, copy: Copy | None, origin: str) -> None:
        if copy is None or self._lets(source, copy):
            self._settle(source, copy and copy.value, origin)
        elif source.name == self._subject:
            self.degraded.append("freshness")
            self._settle(source, copy.value, origin)
        else:
            self._settle(source, None, "missing: older than the event")

    def _settle_many(self, source: Source, values: Mapping[str, Any], origin: str) -> None:
        self._settle(source, [value for value in values.values() if value is not None], origin)

    def _settle(self, source: Source, value: Any, origin: str) -> None:
        self._facts[source.name] = MISSING if value is None else value
        self.provenance[source.name] = origin

    def _miss(self, source: Source, why: object) -> None:
        self.degraded.append(source.name)
        self._settle(source, None, f"missing: {why}")

    def _fail(self, source: Source, error: Exception) -> None:
        about = source.name == self._subject
        if isinstance(error, NotFound) and about:
            end = TenantMismatch if isinstance(error, Foreign) else SubjectNotFound
            raise end(f"{source.name}: {error}") from error
        if source.optional is True or (source.optional == "absent" and isinstance(error, NotFound)):
            self._miss(source, str(error) or type(error).__name__)
        elif isinstance(error, NotFound | ContextUnavailable | TimeoutError):
            raise ContextUnavailable(f"{source.name}: {str(error) or 'not there in its time'}") from error
        else:
            raise error

    def _is_fenced(self, source: Source) -> bool:
        return source.fresh_as == self._subject

    def _lets(self, source: Source, copy: Copy) -> bool:
        return not self._is_fenced(source) or lets(self._fence, copy)
