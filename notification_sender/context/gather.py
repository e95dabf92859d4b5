"""One unit → its context: each source starts as soon as its needs are there, all under one deadline."""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Self

from notification_sender.context.cache.facts import CountForeign
from notification_sender.context.cache.read_through import Cache
from notification_sender.context.gathering import FRESHNESS, Gathering, Lineage, lineage_of
from notification_sender.context.recipe import Recipe
from notification_sender.context.source import Source
from notification_sender.context.upstream.batching import Bulk
from notification_sender.model.cause import Cause
from notification_sender.model.errors import ContextUnavailable, RenderFault
from notification_sender.model.records import dataclass
from notification_sender.model.timestamps import format_rfc3339, parse_rfc3339
from notification_sender.model.unit import WorkUnit, fingerprint_time
from notification_sender.telemetry.lag import Deadline, responsive_time
from notification_sender.telemetry.steps import CONTEXT, current

PLANS = 1024
"""Plans that are kept: to make one costs as much as to gather facts that this process holds."""


@dataclass(frozen=True, slots=True)
class Context:
    """The facts gathered for one unit. Other units share them: nobody changes them."""

    values: dict[str, Any]
    """By source; MISSING is false and empty."""
    degraded: list[str]
    """Names of the sources that are missing or old, and ``freshness`` where the subject is older than the event."""
    subject: str
    """The source that the unit is about."""
    lineage: Mapping[str, Lineage]
    """By source: how the fact came, and when its fetch began."""


def timestamp(unit: WorkUnit, context: Context) -> str:
    """The time of the event, RFC 3339 with a ``Z``: the unit's, else the subject's ``modified``. Reads no clock.

    Raises:
        RenderFault: neither has one.

    """
    subject = context.values[context.subject] or {}
    when = unit.occurred_at or fingerprint_time(unit) or parse_rfc3339(subject.get("modified"))
    if when is None:
        raise RenderFault(f"neither the unit nor its {context.subject} says when it happened")
    return format_rfc3339(when)


class Gatherer:
    """A recipe with its resources. ``timeout``: seconds for one unit.

    Raises:
        ConfigurationFault: the recipe needs a resource that is not there.

    """

    def __init__(
        self,
        *,
        recipe: Recipe,
        resources: Mapping[str, Any],
        cache: Cache,
        timeout: float,
        count_foreign: CountForeign = lambda _: None,
    ) -> None:
        recipe.check(resources)
        self._bulk = Bulk(recipe.sources.values(), resources, count_foreign)
        self._recipe = recipe
        self._resources = dict(resources)
        self._cache = cache
        self._timeout = timeout
        self._made_of = {name: [*(it.needs & recipe.sources.keys())] for name, it in recipe.sources.items()}
        # By names: a few sets, but a publisher may make many.
        self.plan: Callable[[frozenset[str]], tuple[Source, ...]] = lru_cache(PLANS)(recipe.plan)

    def check(self, unit: WorkUnit) -> None:
        """Check that the unit has a subject.

        Raises:
            SchemaViolation: it has none.

        """
        self._recipe.subject(unit)

    @property
    def may_be_outdated(self) -> bool:
        """Whether the recipe has reasons to suppress a notification that has waited."""
        return bool(self._recipe.reasons)

    async def outdated(self, unit: WorkUnit, age: float) -> str | None:
        """The first reason to suppress a notification that was composed ``age`` s ago; None: there is none.

        Raises as ``Session.context``, and ContextUnavailable also where a fact is missing or old.
        """
        asked = [reason for reason in self._recipe.reasons.values() if age > reason.after]
        if not asked:
            return None
        context = await self.gather(unit, frozenset().union(*(reason.needs for reason in asked)))
        if context.degraded:
            cause = Cause(source=context.degraded[0])
            raise ContextUnavailable(f"{', '.join(context.degraded)}: missing or old", cause=cause)
        facts = {**self._resources, "unit": unit, **context.values}
        return next((reason.name for reason in asked if reason.holds(facts)), None)

    def begin(self, unit: WorkUnit) -> "Session":
        """A session for the unit: ``async with gatherer.begin(unit) as session``. Nothing is fetched yet.

        Raises:
            SchemaViolation: the unit has no subject.

        """
        subject = self._recipe.subject(unit)
        gathering = Gathering(unit, subject, self._resources, self._cache, self._bulk)
        return Session(gathering, subject, self.plan, self._made_of, self._timeout)

    async def gather(self, unit: WorkUnit, names: frozenset[str] | None = None) -> Context:
        """The sources of these names (None: all), their needs, and the subject. Raises as ``Session.context``."""
        async with self.begin(unit) as session:
            return await session.context(frozenset(self._recipe.sources) if names is None else names)


class Session:
    """Gathering for one unit, step by step: the wanted sources may be known only after some facts are there."""

    def __init__(
        self,
        gathering: Gathering,
        subject: str,
        plan: Callable[[frozenset[str]], tuple[Source, ...]],
        made_of: Mapping[str, Sequence[str]],
        timeout: float,
    ) -> None:
        self._gathering = gathering
        self._subject = subject
        self._plan = plan
        self._made_of = made_of
        self._timeout = timeout
        self._deadline: float | None = None
        self._wanted: frozenset[str] = frozenset()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._gathering.tasks:
            await self._gathering.end()

    def start(self, names: frozenset[str]) -> None:
        """Start to fetch these sources and their needs, without a wait. Names that are no sources are left out."""
        if not names <= self._wanted:
            # This very set has computed its hash already.
            self._wanted = names if self._wanted <= names else self._wanted | names
            self._gathering.want(self._plan(self._wanted))

    def is_available(self, name: str) -> bool:
        """Whether a source that was started has its value by now."""
        return name in self._gathering.facts

    async def fact(self, name: str) -> Any:
        """The value of one source, None if the recipe has no such source. Raises as ``context``."""
        names = frozenset({name})
        self.start(names)
        if not self.is_available(name) and self._plan(names):
            await self._until((name,))
        return self._gathering.facts.get(name)

    async def context(self, names: frozenset[str]) -> Context:
        """The sources of these names, their needs, and always the subject: it may belong to another tenant, or not
        exist.

        Raises:
            ContextUnavailable: a required source, which it names, could not be fetched in time.
            SubjectNotFound: the API has no such subject.
            TenantMismatch: the subject is another organization's.

        """
        if self._subject not in names:
            names |= {self._subject}
        self.start(names)
        plan = self._plan(names)
        gathering = self._gathering
        if gathering.running:
            await self._until([source.name for source in plan])
        values = {source.name: gathering.facts[source.name] for source in plan}
        degraded = gathering.degraded + [
            it.name for it in plan if it.partial is not None and it.partial(gathering.facts)
        ]
        degraded = degraded and sorted({it for it in degraded if it in values or it == FRESHNESS})
        return Context(values, degraded, self._subject, lineage_of(values, self._made_of, gathering.lineage))

    async def _until(self, names: Sequence[str]) -> None:
        """Wait until these are there, within the time of the unit."""
        gathering, steps = self._gathering, current()
        if self._deadline is None:
            self._deadline = responsive_time() + self._timeout
        before = steps.step
        try:
            async with Deadline(self._deadline - responsive_time()):
                while not gathering.has_all(names):
                    steps.enter(CONTEXT + gathering.awaited(names))
                    await gathering.step()
        except TimeoutError:
            gathering.give_up(f"not there in {self._timeout:g} s")
        finally:
            steps.enter(before)
