"""One unit → its context: each source starts the moment what it needs is there, all under one deadline."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from notification_sender.context.cache import Cache
from notification_sender.context.gathering import Gathering
from notification_sender.context.graph import Recipe, Source
from notification_sender.context.moments import moment, rfc3339
from notification_sender.model.errors import RenderFault
from notification_sender.model.unit import WorkUnit, fingerprint_time


@dataclass(frozen=True, slots=True)
class Context:
    """The facts gathered for one unit. They are shared with other units: nobody changes them."""

    values: dict[str, Any]
    """By source; MISSING is false and empty."""
    degraded: list[str]
    """What is missing or old: names of sources, and ``freshness`` where the subject is older than the event."""
    subject: str
    """The source that the unit is about."""


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

    def __init__(self, *, recipe: Recipe, resources: Mapping[str, Any], cache: Cache, timeout: float) -> None:
        recipe.check(resources)
        self._recipe = recipe
        self._resources = dict(resources)
        self._cache = cache
        self._timeout = timeout
        self._plans: dict[tuple[frozenset[str] | None, str], tuple[Source, ...]] = {}

    def check(self, unit: WorkUnit) -> None:
        """Whether the unit is about something.

        Raises:
            SchemaViolation: it is not.

        """
        self._recipe.subject(unit)

    async def gather(self, unit: WorkUnit, names: frozenset[str] | None = None) -> Context:
        """The sources of these names (None: all), what they need, and always the subject.

        Raises:
            ContextUnavailable: a required source, named, could not be had in time.
            SubjectNotFound: the API has no such subject.
            TenantMismatch: the subject is another organization's.
            SchemaViolation: the unit is about nothing.

        """
        subject = self._recipe.subject(unit)
        plan = self._plan(names, subject)
        gathering = Gathering(unit, subject, self._resources, self._cache, plan)
        try:
            gathering.advance()
            if gathering.running:
                await self._finish(gathering)
        finally:
            if gathering.tasks:
                await gathering.end()
        values = {source.name: gathering.facts[source.name] for source in plan}
        return Context(values, sorted(gathering.degraded), subject)

    def _plan(self, names: frozenset[str] | None, subject: str) -> tuple[Source, ...]:
        plan = self._plans.get((names, subject))
        if plan is None:
            wanted = self._recipe.sources if names is None else names | {subject}
            plan = self._plans[names, subject] = self._recipe.plan(wanted)
        return plan

    async def _finish(self, gathering: Gathering) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                while gathering.running:
                    await gathering.step()
        except TimeoutError:
            gathering.give_up(f"not there in {self._timeout:g} s")
