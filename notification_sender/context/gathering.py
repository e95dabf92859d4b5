"""The state of gathering for one unit: what is there, what runs, what is left."""

import asyncio
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from notification_sender.context.bulk import Bulk
from notification_sender.context.cache import Cache
from notification_sender.context.facts import Copy, Kind, Wanted, accepted
from notification_sender.context.graph import MISSING, Call, Source
from notification_sender.context.provenance import HOW, NEVER, Came
from notification_sender.context.upstream import Foreign, NotFound
from notification_sender.model.errors import ContextUnavailable, SubjectNotFound, TenantMismatch
from notification_sender.model.unit import WorkUnit, fingerprint_time
from notification_sender.policy.freshness import Fence, fence

FRESHNESS = "freshness"
"""Named as degraded where the subject is older than the event."""


class Gathering:
    """A value that is at hand is taken at once: tasks are for what waits."""

    def __init__(self, unit: WorkUnit, subject: str, resources: Mapping[str, Any], cache: Cache, bulk: Bulk) -> None:
        self._subject = subject
        self._organization_id = unit.organization_id
        self._cache = cache
        self._bulk = bulk
        self._fence = fence(fingerprint_time(unit), unit.occurred_at)
        self._left: Sequence[Source] = ()
        self.facts: dict[str, Any] = {**resources, "unit": unit}
        """What there is to call a source with; in the end all that is wanted, by source."""
        self.degraded: list[str] = []
        self.came: dict[str, Came] = {}
        """Of what was looked up."""
        self.running: dict[asyncio.Task[None], Source] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def end(self) -> None:
        """No task outlives its unit; what it raised is looked at, so that asyncio does not complain of it."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def want(self, plan: Sequence[Source]) -> None:
        """Take or start all of ``plan``, which is in the order of the needs, and holds all that was wanted before."""
        running = {source.name for source in self.running.values()}
        self._left = [it for it in plan if it.name not in self.facts and it.name not in running]
        self.advance()

    def has(self, names: Iterable[str]) -> bool:
        """Whether all of these are there."""
        return all(name in self.facts for name in names)

    def advance(self) -> None:
        """Take or start every source whose needs are there."""
        absent = {source.name for source in self.running.values()}
        left = []
        for source in self._left:
            if absent and not source.needs.isdisjoint(absent):
                left.append(source)
                absent.add(source.name)
            elif not self._take(source):
                absent.add(source.name)
        self._left = left

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
                self._miss(source)
            self.running = {}
            self.advance()

    def _take(self, source: Source) -> bool:
        """Whether it is there now; else it was started."""
        facts = self.facts
        if source.kind is None:
            self._settle(source, source.fetch(facts))
            return True
        if source.batch is not None:
            return self._take_many(source, source.kind, source.batch)
        value = source.given and source.given(facts)
        if value:
            self._settle(source, value)
            return True
        id_ = source.key(facts) if source.key else ""
        if id_ is None:
            facts[source.name] = MISSING
            return True
        return self._take_one(source, source.kind, id_)

    def _take_one(self, source: Source, kind: Kind, id_: str) -> bool:
        copy = self._cache.at_hand(kind, self._organization_id, id_)
        if copy is None or not self._accepts(source, copy):
            self._start(source, kind, [id_], {})
            return False
        if copy.words:
            self._fail(source, NotFound(copy.words))
        else:
            self.came[source.name] = ("hit", copy.fetched_at)
            self._settle(source, copy.value)
        return True

    def _take_many(self, source: Source, kind: Kind, batch: Call) -> bool:
        ids = dict.fromkeys(batch(self.facts))  # each once, in their order
        known: Mapping[str, Any] = (ids and source.given and source.given(self.facts)) or {}
        values = {id_: known[id_] for id_ in ids if id_ in known} if known else {}
        missing: list[str] = []
        if len(values) < len(ids):
            unknown = [id_ for id_ in ids if id_ not in values] if values else ids
            at_hand, missing, oldest = self._cache.all_at_hand(kind, self._organization_id, unknown)
            if at_hand:
                values |= at_hand
                self.came[source.name] = ("hit", oldest)
        if missing:
            self._start(source, kind, missing, ids | values)
            return False
        self._settle_many(source, values, ids)
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
            return await (
                self._load_one(source, ids[0]) if source.batch is None else self._load_many(source, kind, ids)
            )

        about = source.name == self._subject
        wanted = Wanted(kind, self._organization_id, load, self._guard(source), about)
        found = await self._cache.find(wanted, ids)
        if found.origin == "stale":
            self.degraded.append(source.name)
        oldest = min((copy.fetched_at for copy in found.copies.values()), default=math.inf)
        self.came[source.name] = (HOW[found.origin], min(oldest, self.came.get(source.name, NEVER)[1]))
        if source.batch is None:
            self._settle_one(source, found.copies.get(ids[0]))
            return
        values |= {id_: copy.value for id_, copy in found.copies.items()}
        self._settle_many(source, values, values)

    async def _load_one(self, source: Source, id_: str) -> Mapping[str, Any]:
        try:
            value = await source.fetch(self.facts)
        except Foreign:  # somebody's leak, and no absence to remember
            raise
        except NotFound as absence:
            value = absence
        return {} if value is MISSING else {id_: value}

    async def _load_many(self, source: Source, kind: Kind, ids: Sequence[str]) -> Mapping[str, Any]:
        records: dict[str, Any]
        if source.coalesce is None:
            records = await source.fetch({**self.facts, "ids": ids})
        else:
            records = await self._bulk.records(kind, self._organization_id, ids)
        return dict.fromkeys(ids) | records

    def _settle_one(self, source: Source, copy: Copy | None) -> None:
        if copy is not None and copy.words:
            raise NotFound(copy.words)
        if copy is None or copy.value is None or self._accepts(source, copy):
            self._settle(source, copy and copy.value)
        elif source.name == self._subject:
            self.degraded.append(FRESHNESS)
            self._settle(source, copy.value)
        else:  # older than the event
            self._settle(source, None)

    def _settle_many(self, source: Source, values: Mapping[str, Any], ids: Iterable[str]) -> None:
        self._settle(source, [value for id_ in ids if (value := values[id_]) is not None])

    def _settle(self, source: Source, value: Any) -> None:
        self.facts[source.name] = MISSING if value is None else value
        if source.partial is not None and source.partial(self.facts):
            self.degraded.append(source.name)

    def _miss(self, source: Source) -> None:
        self.degraded.append(source.name)
        self.came[source.name] = NEVER
        self._settle(source, source.default)

    def _fail(self, source: Source, error: Exception) -> None:
        about = source.name == self._subject
        if isinstance(error, NotFound) and about:
            end = TenantMismatch if isinstance(error, Foreign) else SubjectNotFound
            raise end(f"{source.name}: {error}") from error
        if source.optional is True or (source.optional == "absent" and isinstance(error, NotFound)):
            self._miss(source)
        elif isinstance(error, NotFound | ContextUnavailable | TimeoutError):
            raise ContextUnavailable(f"{source.name}: {str(error) or 'not there in its time'}") from error
        else:
            raise error

    def _accepts(self, source: Source, copy: Copy) -> bool:
        return accepted(copy, self._guard(source), subject=source.name == self._subject)

    def _guard(self, source: Source) -> Fence | None:
        return self._fence if source.fresh_as == self._subject else None
