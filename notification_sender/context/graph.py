"""What a recipe declares: its sources, what each needs, and that all of it can be had."""

import inspect
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from operator import itemgetter
from typing import Any, Final, Literal, TypeVar

from notification_sender.context.facts import Kind
from notification_sender.model.errors import ConfigurationFault
from notification_sender.model.unit import WorkUnit
from notification_sender.policy.retry import duration

F = TypeVar("F", bound=Callable[..., Any])


class Missing:
    """What is not there: false, empty, without a text, and so is everything in it. Templates need not ask first."""

    __slots__ = ()

    def __bool__(self) -> bool:
        return False

    def __len__(self) -> int:
        return 0

    def __iter__(self) -> Iterator[Any]:
        return iter(())

    def __getitem__(self, _: object) -> "Missing":
        return self

    def __str__(self) -> str:
        return ""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()


Call = Callable[[Mapping[str, Any]], Any]
"""A function that takes what it needs out of the facts by itself."""


def _needs(*functions: Callable[..., Any] | None) -> frozenset[str]:
    """Their parameters' names are their needs."""
    return frozenset(name for function in functions if function for name in inspect.signature(function).parameters)


def _call(function: Callable[..., Any]) -> Call:
    match tuple(inspect.signature(function).parameters):
        case ():
            return lambda _: function()
        case (name,):
            return lambda facts: function(facts[name])
        case names:
            pick = itemgetter(*names)
            return lambda facts: function(*pick(facts))


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A named fact and how to get it, as ``Recipe`` explains. ``kind`` None: derived from others, and not kept."""

    name: str
    fetch: Call
    kind: Kind | None
    key: Call | None
    batch: Call | None
    given: Call | None
    optional: bool | Literal["absent"]
    default: Any
    timeout: float | None
    fresh_as: str | None
    coalesce: float | None
    partial: Call | None
    own_needs: frozenset[str]
    """Of the function alone, without ``ids``."""
    needs: frozenset[str]


@dataclass(frozen=True, slots=True, eq=False)
class Reason:
    """Why news is not worth telling any more, asked once it is ``after`` s old; ``holds`` says whether it is so."""

    name: str
    after: float
    holds: Call
    needs: frozenset[str]


class Recipe:
    """The sources of one kind of unit.

    ``subject`` says which source a unit is about (and raises SchemaViolation where it is about nothing): the one
    whose absence or foreign owner ends the unit. ``version`` is part of the key of every kept fact: raised when
    what a source returns changes its shape.

    ``source`` declares the function below it: a plain one derives, an ``async`` one fetches. The parameters of the
    function, and of ``key``, ``batch`` and ``given``, are its needs: other sources, ``unit``, or what is given at
    start. A function that returns None says that there is none, one that raises NotFound that this is a failure: both
    are remembered (30 s at most; a failed subject never). One that returns MISSING found nothing of use, and only that.

    ========== =====================================================================================================
    ttl        kept so long for the organization, under the *function's* name: two sources of one function
               (``name``) share what is kept
    stale      and so much longer for when the API is unwell; ``degraded`` says so
    key        which one it is, as text; None: not asked for, MISSING
    batch      the ids of many: the function takes ``ids`` (at most 100, those that must be fetched) and returns
               records by id; the value is the list of all that exist, in the order of the ids
    coalesce   ids that units of any organization ask for within this time share calls. The function takes ``ids`` and
               what is given at start; records that are not the organization's (``organization_id``) are dropped for it
    given      what other sources have already: the value, or of a batch records by id (None: there is none)
    optional   where it fails, ``default`` and named in ``degraded``; ``"absent"``: only where the API has none
    default    what stands in its place; None: MISSING. It is not kept
    partial    whether the value is not whole (a list that was cut short); then it is named in ``degraded``
    timeout    its own, within that of the whole
    fresh_as   the subject that it speaks for: held to the freshness fence, its value has ``modified``. The subject
               itself is used even if an answer fetched just now is older; another source of that name is MISSING
    ========== =====================================================================================================

    ``outdated`` declares the plain function below it a reason not to tell any more: asked of a notification that comes
    back (a retry, or throttled) later than ``after`` since it was composed, with its needs gathered anew. Where it is
    true the notification is suppressed, ``no_longer_relevant`` with the function's name. Where a need is missing or
    old it is not asked, and the notification is sent.
    """

    def __init__(self, name: str, *, subject: Callable[[WorkUnit], str], version: int = 1) -> None:
        self.name = name
        self.subject = subject
        self.version = version
        self.sources: dict[str, Source] = {}
        self.reasons: dict[str, Reason] = {}

    def source(
        self,
        *,
        name: str | None = None,
        ttl: str | None = None,
        stale: str = "0s",
        key: Callable[..., str | None] | None = None,
        batch: Callable[..., Iterable[str]] | None = None,
        given: Callable[..., Any] | None = None,
        optional: bool | Literal["absent"] = False,
        default: Any = None,
        timeout: str | None = None,
        fresh_as: str | None = None,
        coalesce: str | None = None,
        partial: Callable[..., bool] | None = None,
    ) -> Callable[[F], F]:
        def declare(function: F) -> F:
            kind = f"{self.version}:{self.name}:{function.__name__}"
            source = Source(
                name=name or function.__name__,
                fetch=_call(function),
                kind=Kind(kind, duration(ttl), duration(stale)) if ttl else None,
                key=_call(key) if key else None,
                batch=_call(batch) if batch else None,
                given=_call(given) if given else None,
                optional=optional,
                default=default,
                timeout=duration(timeout) if timeout else None,
                fresh_as=fresh_as,
                coalesce=duration(coalesce) if coalesce else None,
                partial=_call(partial) if partial else None,
                own_needs=_needs(function) - ({"ids"} if batch else set()),
                needs=_needs(function, key, batch, given, partial) - ({"ids"} if batch else set()),
            )
            self._add(source, function)
            return function

        return declare

    def _add(self, source: Source, function: Callable[..., Any]) -> None:
        where = f"recipe {self.name}: source {source.name}"
        if source.name in self.sources:
            raise ConfigurationFault(f"{where} is declared twice")
        if inspect.iscoroutinefunction(function) != (source.kind is not None):
            raise ConfigurationFault(f"{where}: what is fetched (async) has a ttl, and nothing else has")
        if source.batch is not None and "ids" not in _needs(function):
            raise ConfigurationFault(f"{where} is a batch, its function must take ids")
        if source.coalesce is not None and source.batch is None:
            raise ConfigurationFault(f"{where} is no batch: there is nothing to coalesce")
        if source.batch is not None and (source.key or source.fresh_as):
            raise ConfigurationFault(f"{where} is a batch: its ids are its key, and no fence holds them")
        if source.default is not None and not source.optional:
            raise ConfigurationFault(f"{where} is required: nothing stands in for it")
        if source.kind is None and (source.key or source.given or source.optional or source.timeout or source.fresh_as):
            raise ConfigurationFault(f"{where} is derived: only what is fetched has a key, may fail or be late")
        self.sources[source.name] = source

    def outdated(self, *, after: str) -> Callable[[F], F]:
        def declare(function: F) -> F:
            reason = Reason(function.__name__, duration(after), _call(function), _needs(function))
            if reason.name in self.reasons:
                raise ConfigurationFault(f"recipe {self.name}: outdated {reason.name} is declared twice")
            if inspect.iscoroutinefunction(function):
                # What it returns would be true whatever it says.
                raise ConfigurationFault(f"recipe {self.name}: outdated {reason.name} decides, it cannot wait (async)")
            self.reasons[reason.name] = reason
            return function

        return declare

    def check(self, resources: Collection[str]) -> None:
        """Refuse what could never be gathered.

        Raises:
            ConfigurationFault: all of it: unknown names, names that mean two things, a cycle.

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
        """The sources of these names and all that they need, each after what it needs. Other names are not ours."""
        wanted: dict[str, list[str]] = {}
        more = [name for name in self.sources if name in names]
        while more:
            name = more.pop()
            if name not in wanted:
                wanted[name] = sorted(self.sources[name].needs & self.sources.keys())
                more += wanted[name]
        return tuple(self.sources[name] for name in TopologicalSorter(wanted).static_order())
