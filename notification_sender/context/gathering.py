"""The state of gathering for one unit: the facts that are there, the sources that run, those that are left."""

import asyncio
import math
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

from notification_sender.context.cache.facts import Fact, Kind, Origin, Wanted, usable
from notification_sender.context.cache.read_through import Cache
from notification_sender.context.source import MISSING, Call, Source
from notification_sender.context.upstream.batching import Bulk
from notification_sender.context.upstream.errors import BadAnswer, BadRecord, Foreign, NotFound, Refused
from notification_sender.context.upstream.requesting_organization import requesting_organization
from notification_sender.model.cause import NOBODY_KNOWS, CallProgress, Cause, Phase, track_progress
from notification_sender.model.errors import ContextUnavailable, PlatformFault, SubjectNotFound, TenantMismatch
from notification_sender.model.notification import How, Provenance
from notification_sender.model.unit import WorkUnit, fingerprint_time
from notification_sender.policy.freshness import Fence, fence
from notification_sender.telemetry.lag import Deadline

FRESHNESS = "freshness"
"""Named as degraded where the subject is older than the event."""

Lineage = tuple[How, float]
"""How a fact came, and when its fetch began: epoch seconds."""

NEVER: Lineage = ("missing", math.inf)

HOW: Mapping[Origin, How] = {"shelf": "hit", "fetched": "fetched", "stale": "stale"}


class Gathering:
    """A fact that this process holds is taken at once: only a fetch costs a task."""

    def __init__(self, unit: WorkUnit, subject: str, resources: Mapping[str, Any], cache: Cache, bulk: Bulk) -> None:
        self._subject = subject
        self._organization_id = unit.organization_id
        self._cache = cache
        self._bulk = bulk
        self._fence = fence(fingerprint_time(unit), unit.occurred_at)
        self._left: Sequence[Source] = ()
        self.facts: dict[str, Any] = {**resources, "unit": unit}
        """The arguments of sources: resources, the unit, and the values of sources that are there."""
        self.degraded: list[str] = []
        self.lineage: dict[str, Lineage] = {}
        """Of the sources that were fetched or held."""
        self.running: dict[asyncio.Task[None], Source] = {}
        self._progress: dict[str, CallProgress] = {}
        self.tasks: list[asyncio.Task[None]] = []

    async def end(self) -> None:
        """Cancel all tasks: none outlives its unit. Their errors are read, or asyncio would log them."""
        for task in self.tasks:
            task.cancel()
        await asyncio.gather(*self.tasks, return_exceptions=True)

    def want(self, plan: Sequence[Source]) -> None:
        """Take or start all of ``plan``, which is in the order of the needs, and holds all earlier plans."""
        running = {source.name for source in self.running.values()}
        self._left = [it for it in plan if it.name not in self.facts and it.name not in running]
        self.advance()

    def has_all(self, names: Iterable[str]) -> bool:
        """Whether all of these are there."""
        return all(name in self.facts for name in names)

    def awaited(self, names: Iterable[str]) -> str:
        """Which source ``step`` waits for: the first of ``names`` that runs, else the first that runs at all."""
        running = [source.name for source in self.running.values()]
        return next((name for name in names if name in running), running[0])

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
        """Wait until at least one running source has ended."""
        done, _ = await asyncio.wait(self.running, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            del self.running[task]
            task.result()
        self.advance()

    def give_up(self, why: str) -> None:
        """The time is over: running sources that are optional count as missing.

        Raises:
            ContextUnavailable: a required source is still running.

        """
        while self.running:
            required = [source for source in self.running.values() if source.optional is not True]
            if required:
                names = ", ".join(source.name for source in required)
                raise ContextUnavailable(f"{names}: {why}", cause=self._cause(required[0]))
            for source in self.running.values():
                self._miss(source)
            self.running = {}
            self.advance()

    def _take(self, source: Source) -> bool:
        """Take the value of a source, or start its fetch. Whether the value is there now."""
        facts = self.facts
        if source.kind is None:
            value = source.fetch(facts)
            facts[source.name] = MISSING if value is None else value
            return True
        if source.batch is not None:
            return self._take_many(source, source.kind, source.batch)
        value = source.given and source.given(facts)
        if value:
            facts[source.name] = value
            return True
        id_ = source.key(facts) if source.key else ""
        if id_ is None:
            facts[source.name] = MISSING
            return True
        return self._take_one(source, source.kind, id_)

    def _take_one(self, source: Source, kind: Kind, id_: str) -> bool:
        fact = self._cache.local.get(kind, self._organization_id, id_)
        if fact is None or ((source.fresh_as or fact.value is None) and not self._accepts(source, fact)):
            self._start(source, kind, [id_], {})
            return False
        if fact.words:
            self._fail(source, NotFound(fact.words, cause=fact.cause))
        else:
            self.lineage[source.name] = ("hit", fact.fetched_at)
            self._settle(source, fact.value)
        return True

    def _take_many(self, source: Source, kind: Kind, batch: Call) -> bool:
        ids = dict.fromkeys(batch(self.facts))  # each once, in order
        known: Mapping[str, Any] = (ids and source.given and source.given(self.facts)) or {}
        values = {id_: known[id_] for id_ in ids if id_ in known} if known else {}
        missing: list[str] = []
        if len(values) < len(ids):
            unknown = [id_ for id_ in ids if id_ not in values] if values else ids
            available, missing, oldest = self._cache.local.get_many(kind, self._organization_id, unknown)
            if available:
                values |= available
                self.lineage[source.name] = ("hit", oldest)
        if missing:
            self._start(source, kind, missing, ids | values)
            return False
        self.facts[source.name] = [value for id_ in ids if (value := values[id_]) is not None]
        return True

    def _start(self, source: Source, kind: Kind, ids: list[str], values: dict[str, Any]) -> None:
        task = asyncio.create_task(self._fetch(source, kind, ids, values))
        self.running[task] = source
        self.tasks.append(task)

    async def _fetch(self, source: Source, kind: Kind, ids: list[str], values: dict[str, Any]) -> None:
        requesting_organization.set(self._organization_id)  # of this task, and of the tasks that it starts
        self._progress[source.name] = track_progress()
        try:
            async with Deadline(source.timeout):
                await self._find(source, kind, ids, values)
        except Exception as error:  # noqa: BLE001 - what is optional may fail in any way; the rest is raised again
            self._fail(source, error)

    async def _find(self, source: Source, kind: Kind, ids: list[str], values: dict[str, Any]) -> None:
        async def load(ids: Sequence[str]) -> Mapping[str, Any]:
            return await (self._load_one(source, ids[0]) if source.batch is None else self._load_many(source, ids))

        about = source.name == self._subject
        wanted = Wanted(kind, self._organization_id, load, self._guard(source), about)
        facts = await self._cache.get(wanted, ids)
        if facts.origin == "stale":
            self.degraded.append(source.name)
        oldest = min((fact.fetched_at for fact in facts.by_id.values()), default=math.inf)
        self.lineage[source.name] = (HOW[facts.origin], min(oldest, self.lineage.get(source.name, NEVER)[1]))
        for id_, fact in facts.by_id.items():
            if fact.bad:
                raise BadRecord(fact.words or id_, cause=fact.cause)
        if source.batch is None:
            self._settle_one(source, facts.by_id.get(ids[0]))
            return
        values |= {id_: fact.value for id_, fact in facts.by_id.items()}
        self._settle(source, [value for value in values.values() if value is not None])

    async def _load_one(self, source: Source, id_: str) -> Mapping[str, Any]:
        try:
            value = await source.fetch(self.facts)
        except Foreign:  # a leak of another organization's record, and no absence to remember
            raise
        except NotFound as absence:
            value = absence
        except (BadRecord, Refused) as fault:
            value = BadRecord(str(fault), cause=fault.cause)
        return {} if value is MISSING else {id_: value}

    async def _load_many(self, source: Source, ids: Sequence[str]) -> Mapping[str, Any]:
        return dict.fromkeys(ids) | await self._bulk.records(source, self._organization_id, ids, self.facts)

    def _settle_one(self, source: Source, fact: Fact | None) -> None:
        if fact is not None and fact.words:
            raise NotFound(fact.words, cause=fact.cause)
        if fact is None or fact.value is None or self._accepts(source, fact):
            self._settle(source, fact and fact.value)
        elif source.name == self._subject:
            self.degraded.append(FRESHNESS)
            self._settle(source, fact.value)
        else:  # older than the event
            self._settle(source, None)

    def _settle(self, source: Source, value: Any) -> None:
        self.facts[source.name] = MISSING if value is None else value

    def _miss(self, source: Source) -> None:
        self.degraded.append(source.name)
        self.lineage[source.name] = NEVER
        self._settle(source, source.default)

    def _fail(self, source: Source, error: Exception) -> None:
        about = source.name == self._subject
        if isinstance(error, NotFound) and about:
            words = f"{source.name}: {error}"
            if isinstance(error, Foreign):
                raise TenantMismatch(words) from error
            raise SubjectNotFound(words, cause=self._cause(source, error)) from error
        if source.optional is True or (source.optional == "absent" and isinstance(error, NotFound)):
            self._miss(source)
        elif isinstance(error, NotFound | ContextUnavailable | TimeoutError):
            words = f"{source.name}: {str(error) or 'not there in its time'}"
            raise ContextUnavailable(words, cause=self._cause(source, error)) from error
        else:
            raise error

    def _cause(self, source: Source, error: Exception | None = None) -> Cause:
        """The known cause of the failure of a source. ``error`` None: the source was cut off."""
        progress = self._progress.get(source.name)
        apis = (getattr(self.facts.get(need), "api", "") for need in sorted(source.needs))
        own = Cause(source.name, next((it for it in apis if isinstance(it, str) and it), ""))
        if isinstance(error, PlatformFault):
            answered = isinstance(error, NotFound | BadAnswer)
            return error.cause.completed(replace(own, phase=Phase.READ if answered else None))
        at = NOBODY_KNOWS if progress is None else progress.at
        return at.completed(own).completed(Cause(phase=Phase.SHARED))

    def _accepts(self, source: Source, fact: Fact) -> bool:
        return usable(fact, self._guard(source), subject=source.name == self._subject)

    def _guard(self, source: Source) -> Fence | None:
        return self._fence if source.fresh_as == self._subject else None


def lineage_of(
    facts: Mapping[str, Any], made_of: Mapping[str, Sequence[str]], fetched: Mapping[str, Lineage]
) -> dict[str, Lineage]:
    """The lineage of all ``facts``, each of which stands after the facts it is made of. A fact that was not fetched is
    as old as the oldest of these.
    """
    lineage: dict[str, Lineage] = {}
    for name, fact in facts.items():
        if fact is MISSING:
            lineage[name] = NEVER
        elif name in fetched:
            lineage[name] = fetched[name]
        else:
            oldest = math.inf
            for part in made_of[name]:
                if (began := lineage[part][1]) < oldest:
                    oldest = began
            lineage[name] = ("given", oldest)
    return lineage


def provenances(lineage: Mapping[str, Lineage], now: float, names: Container[str]) -> dict[str, Provenance]:
    """The provenance at ``now``, to a tenth of a second, of those facts that are among ``names``."""
    return {
        # The clocks of two processes differ a little.
        name: _provenance(how, int(10 * (now - began)) if began < now else 0)
        for name, (how, began) in lineage.items()
        if name in names
    }


@lru_cache(maxsize=4096)
def _provenance(how: How, tenths: int) -> Provenance:
    """Many facts share one: to make one costs more than to find it."""
    return Provenance(how=how, age=tenths / 10)
