"""One unit → its context: each source starts the moment what it needs is there, all under one deadline."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

from notification_sender.context.bulk import Bulk
from notification_sender.context.cache import Cache
from notification_sender.context.facts import CountForeign
from notification_sender.context.gathering import FRESHNESS, Gathering
from notification_sender.context.graph import Recipe, Source
from notification_sender.context.moments import moment, rfc3339
from notification_sender.context.provenance import Came, traced
from notification_sender.model.errors import ContextUnavailable, RenderFault
from notification_sender.model.unit import WorkUnit, fingerprint_time

PLANS = 1024
"""Plans that are kept: to work one out costs as much as to gather what is at hand."""


@dataclass(frozen=True, slots=True)
class Context:
    """The facts gathered for one unit. They are shared with other units: nobody changes them."""

    values: dict[str, Any]
    """By source; MISSING is false and empty."""
    degraded: list[str]
    """What is missing or old: names of sources, and ``freshness`` where the subject is older than the event."""
    subject: str
    """The source that the unit is about."""
    came: Mapping[str, Came]
    """By source: how it came, and when."""


def timestamp(unit: WorkUnit, context: Context) -> str:
    """When it happened, RFC 3339 with a ``Z``: by the unit, else the subject's ``modified``. Reads no clock.

    Raises:
        RenderFault: nobody says when.

    """
    subject = context.values[context.subject] or {}
    when = unit.occurred_at or fingerprint_time(unit) or moment(subject.get("modified"))
    if when is None:
        raise RenderFault(f"neither the unit nor its {context.subject} says when it happened")
    return rfc3339(when)


class Gatherer:
    """A recipe with what it was given at start. ``timeout`` s for one unit.

    Raises:
        ConfigurationFault: the recipe needs what is not there.

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
        # By names; a few, but a publisher may think of many.
        self.plan: Callable[[frozenset[str]], tuple[Source, ...]] = lru_cache(PLANS)(recipe.plan)

    def check(self, unit: WorkUnit) -> None:
        """Whether the unit is about something.

        Raises:
            SchemaViolation: it is not.

        """
        self._recipe.subject(unit)

    @property
    def may_be_outdated(self) -> bool:
        """Whether the recipe knows reasons not to tell any more what has waited."""
        return bool(self._recipe.reasons)

    async def outdated(self, unit: WorkUnit, age: float) -> str | None:
        """The first reason not to tell any more what was composed ``age`` s ago; None: there is none.

        Raises as ``Session.context``, and ContextUnavailable also where a fact is missing or old: it decides nothing.
        """
        asked = [reason for reason in self._recipe.reasons.values() if age > reason.after]
        if not asked:
            return None
        context = await self.gather(unit, frozenset().union(*(reason.needs for reason in asked)))
        if context.degraded:
            raise ContextUnavailable(f"{', '.join(context.degraded)}: missing or old")
        facts = {**self._resources, "unit": unit, **context.values}
        return next((reason.name for reason in asked if reason.holds(facts)), None)

    def begin(self, unit: WorkUnit) -> "Session":
        """Nothing is fetched yet: ``async with gatherer.begin(unit) as session``.

        Raises:
            SchemaViolation: the unit is about nothing.

        """
        subject = self._recipe.subject(unit)
        gathering = Gathering(unit, subject, self._resources, self._cache, self._bulk)
        return Session(gathering, subject, self.plan, self._made_of, self._timeout)

    async def gather(self, unit: WorkUnit, names: frozenset[str] | None = None) -> Context:
        """The sources of these names (None: all), what they need, and the subject. Raises as ``Session.context``."""
        async with self.begin(unit) as session:
            return await session.context(frozenset(self._recipe.sources) if names is None else names)


class Session:
    """Gathering for one unit, step by step: what is wanted may become known only after something is there."""

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
        """Have these fetched, and what they need; nobody waits. Names that are no sources are not ours."""
        if not names <= self._wanted:
            # The very set that was handed in knows its hash already.
            self._wanted = names if self._wanted <= names else self._wanted | names
            self._gathering.want(self._plan(self._wanted))

    def at_hand(self, name: str) -> bool:
        """Whether a source that was started is there by now."""
        return name in self._gathering.facts

    async def fact(self, name: str) -> Any:
        """The value of one source, None if the recipe has no such source. Raises as ``context``."""
        names = frozenset({name})
        self.start(names)
        if not self.at_hand(name) and self._plan(names):
            await self._until((name,))
        return self._gathering.facts.get(name)

    async def context(self, names: frozenset[str]) -> Context:
        """The sources of these names, what they need, and always the subject: it is what tells another tenant's unit,
        and one that is about nothing.

        Raises:
            ContextUnavailable: a required source, named, could not be had in time.
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
        degraded = gathering.degraded and sorted({it for it in gathering.degraded if it in values or it == FRESHNESS})
        return Context(values, degraded, self._subject, traced(values, self._made_of, gathering.came))

    async def _until(self, names: Iterable[str]) -> None:
        """Until these are there, within the time of the whole."""
        gathering = self._gathering
        clock = asyncio.get_running_loop().time
        if self._deadline is None:
            self._deadline = clock() + self._timeout
        try:
            async with asyncio.timeout_at(self._deadline):
                while not gathering.has(names):
                    await gathering.step()
        except TimeoutError:
            gathering.give_up(f"not there in {self._timeout:g} s")
