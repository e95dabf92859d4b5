"""A recipe: its sources and their needs, and the check that each need can be met."""

import inspect
import warnings
from collections.abc import Callable, Collection, Iterable
from graphlib import CycleError, TopologicalSorter
from typing import Any, TypeVar

from notification_sender.context.cache.facts import Kind
from notification_sender.context.source import (
    Optional,
    Reason,
    Source,
    call_of,
    needs_of,
    optional_call_of,
)
from notification_sender.context.upstream.api import Api
from notification_sender.model.durations import duration
from notification_sender.model.errors import ConfigurationFault
from notification_sender.model.unit import WorkUnit

F = TypeVar("F", bound=Callable[..., Any])


class Recipe:
    """The sources of one kind of unit.

    ``subject`` names the source that a unit is about, and raises SchemaViolation where there is none. A unit ends if
    its subject does not exist or belongs to another organization. ``version`` is part of the key of every kept fact:
    raise it when the value of a source changes its shape.

    Three decorators declare the function below them as a source. ``derived`` takes a plain function of other facts,
    ``fetched`` an ``async`` one that gets one fact, ``batch`` an ``async`` one that gets many records by id. The
    parameters of the function, and of ``key``, ``ids``, ``given`` and ``partial``, are its needs: other sources,
    ``unit``, or a resource that is given at start. A fetched None says that there is none, a raised NotFound that this
    fails the source. Both are remembered, for 30 s at most; of the subject neither is. MISSING says that the answer is
    of no use, and nothing is remembered.

    ========== =====================================================================================================
    ttl        how long a fact is kept for its organization. It is kept under the name of the *function*: two sources of
               one function (``name``) share it
    stale      how much longer it may stand in for a fetch that fails; ``degraded`` names the source then
    key        which one, as text; None: none is wanted, and the value is MISSING
    ids        of a batch: which ones. The function takes ``ids`` (at most 100, those that must be fetched) and returns
               records by id; the value is the list of all that exist, in the order of the ids
    coalesce   of a batch: units of all organizations that ask within this time share calls. The function takes ``ids``
               and resources alone; a record of another ``organization_id`` is dropped
    given      what other facts hold already: the value, or of a batch the records by id (None: there is none)
    optional   where the source fails, its value is ``default``, and ``degraded`` names it. ``"absent"``: only where the
               API has none
    default    the value in place of a failed one, not kept; None: MISSING
    partial    whether the value is incomplete, as a list that was cut short; ``degraded`` names the source then
    timeout    seconds for this source, within those of the unit
    fresh_as   the subject that the fact speaks for: it is held to the freshness fence by its ``modified``. The subject
               itself is used even if an answer fetched just now is older; another such source is MISSING then
    ========== =====================================================================================================

    ``outdated`` declares the plain function below it as a reason to suppress a notification that comes back (a retry,
    or throttled) more than ``after`` past its composition. Its needs are gathered anew. Where it returns true the
    notification is suppressed, ``no_longer_relevant`` with the function's name. Where a need is missing or old the
    function is not called, and the notification is sent.
    """

    def __init__(
        self, name: str, *, subject: Callable[[WorkUnit], str], version: int = 1, apis: Iterable[Api] = ()
    ) -> None:
        """``apis``: those that this recipe brings itself; those that every recipe is given are not among them."""
        self.name = name
        self.subject = subject
        self.version = version
        self.apis = tuple(apis)
        self.sources: dict[str, Source] = {}
        self.reasons: dict[str, Reason] = {}

    def derived(self, *, name: str | None = None, partial: Callable[..., bool] | None = None) -> Callable[[F], F]:
        """A fact that a plain function makes of others. It costs no call, and is not kept."""

        def declare(function: F) -> F:
            where = self._where(name, function)
            if inspect.iscoroutinefunction(function):
                raise ConfigurationFault(f"{where} is derived, it cannot wait (async): fetched or batch can")
            return self._add(function, name, (partial,), partial=optional_call_of(partial))

        return declare

    def fetched(
        self,
        *,
        ttl: str,
        name: str | None = None,
        stale: str = "0s",
        key: Callable[..., str | None] | None = None,
        given: Callable[..., Any] | None = None,
        optional: Optional = False,
        default: Any = None,
        timeout: str | None = None,
        fresh_as: str | None = None,
        partial: Callable[..., bool] | None = None,
    ) -> Callable[[F], F]:
        """One fact that an ``async`` function fetches."""

        def declare(function: F) -> F:
            where = self._where(name, function)
            _check_fetching(where, function, optional=optional, default=default)
            return self._add(
                function,
                name,
                (key, given, partial),
                kind=self._kind(function, ttl, stale),
                key=optional_call_of(key),
                given=optional_call_of(given),
                optional=optional,
                default=default,
                timeout=duration(timeout) if timeout else None,
                fresh_as=fresh_as,
                partial=optional_call_of(partial),
            )

        return declare

    def batch(
        self,
        *,
        ids: Callable[..., Iterable[str]],
        ttl: str,
        name: str | None = None,
        stale: str = "0s",
        given: Callable[..., Any] | None = None,
        optional: Optional = False,
        default: Any = None,
        timeout: str | None = None,
        coalesce: str | None = None,
        partial: Callable[..., bool] | None = None,
    ) -> Callable[[F], F]:
        """Many records that an ``async`` function of ``ids`` fetches by id."""

        def declare(function: F) -> F:
            where = self._where(name, function)
            _check_fetching(where, function, optional=optional, default=default)
            if "ids" not in needs_of(function):
                raise ConfigurationFault(f"{where} is a batch, its function must take ids")
            return self._add(
                function,
                name,
                (ids, given, partial),
                kind=self._kind(function, ttl, stale),
                batch=call_of(ids),
                given=optional_call_of(given),
                optional=optional,
                default=default,
                timeout=duration(timeout) if timeout else None,
                coalesce=duration(coalesce) if coalesce else None,
                partial=optional_call_of(partial),
            )

        return declare

    def source(self, *, batch: Callable[..., Iterable[str]] | None = None, **declared: Any) -> Callable[[F], F]:
        """Deprecated: ``derived``, ``fetched`` or ``batch``, by what is declared."""
        warnings.warn("Recipe.source: use derived, fetched or batch", DeprecationWarning, stacklevel=2)
        if batch is not None:
            return self.batch(ids=batch, **declared)
        return self.fetched(**declared) if "ttl" in declared else self.derived(**declared)

    def _where(self, name: str | None, function: Callable[..., Any]) -> str:
        return f"recipe {self.name}: source {name or function.__name__}"

    def _kind(self, function: Callable[..., Any], ttl: str, stale: str) -> Kind:
        return Kind(f"{self.version}:{self.name}:{function.__name__}", duration(ttl), duration(stale))

    def _add(self, function: F, name: str | None, others: Iterable[Callable[..., Any] | None], **declared: Any) -> F:
        """``others``: further functions whose parameters are needs of the source."""
        ids = {"ids"} if "batch" in declared else set()
        source = Source(
            name=name or function.__name__,
            fetch=call_of(function),
            own_needs=needs_of(function) - ids,
            needs=needs_of(function, *others) - ids,
            **declared,
        )
        if source.name in self.sources:
            raise ConfigurationFault(f"{self._where(name, function)} is declared twice")
        self.sources[source.name] = source
        return function

    def outdated(self, *, after: str) -> Callable[[F], F]:
        def declare(function: F) -> F:
            reason = Reason(function.__name__, duration(after), call_of(function), needs_of(function))
            if reason.name in self.reasons:
                raise ConfigurationFault(f"recipe {self.name}: outdated {reason.name} is declared twice")
            if inspect.iscoroutinefunction(function):
                # A coroutine is true whatever its function would return.
                raise ConfigurationFault(f"recipe {self.name}: outdated {reason.name} decides, it cannot wait (async)")
            self.reasons[reason.name] = reason
            return function

        return declare

    def check(self, resources: Collection[str]) -> None:
        """Check that every source can be gathered.

        Raises:
            ConfigurationFault: lists all faults: unknown names, names that mean two things, a cycle.

        """
        faults = [f"source {name} has the name of a thing given at start" for name in self.sources if name in resources]
        known = {*self.sources, *resources, "unit"}
        needing = [(f"source {it.name}", it.needs) for it in self.sources.values()]
        needing += [(f"outdated {it.name}", it.needs) for it in self.reasons.values()]
        for who, needs in needing:
            faults += [
                f"{who} needs {name}, which is not there (there are: {', '.join(sorted(known))})"
                for name in sorted(needs - known)
            ]
        for source in self.sources.values():
            if source.coalesce is not None:
                faults += [
                    f"source {source.name} is fetched for several units at once, it cannot need {name} of one of them"
                    for name in sorted(source.own_needs - {*resources})
                ]
            if source.fresh_as is not None and source.fresh_as not in self.sources:
                faults.append(f"source {source.name} speaks for {source.fresh_as}, which is no source")
        try:
            self.plan(self.sources)
        except CycleError as fault:
            faults.append(f"sources need each other: {' → '.join(fault.args[1])}")
        if faults:
            raise ConfigurationFault("\n".join(f"recipe {self.name}: {fault}" for fault in faults))

    def plan(self, names: Collection[str]) -> tuple[Source, ...]:
        """The sources of these names and all their needs, each after its needs. Other names are left out."""
        wanted: dict[str, list[str]] = {}
        more = [name for name in self.sources if name in names]
        while more:
            name = more.pop()
            if name not in wanted:
                wanted[name] = sorted(self.sources[name].needs & self.sources.keys())
                more += wanted[name]
        return tuple(self.sources[name] for name in TopologicalSorter(wanted).static_order())


def _check_fetching(where: str, function: Callable[..., Any], *, optional: Optional, default: Any) -> None:
    if not inspect.iscoroutinefunction(function):
        raise ConfigurationFault(f"{where} is fetched, its function must be async: a plain one is derived")
    if default is not None and not optional:
        raise ConfigurationFault(f"{where} is required: nothing stands in for it")
