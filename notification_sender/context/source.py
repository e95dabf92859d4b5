"""A source: one named fact, the function that gets it, and the facts that the function needs."""

import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from operator import itemgetter
from typing import Any, Final, Literal

from notification_sender.context.cache.facts import Kind

Optional = bool | Literal["absent"]


class Missing:
    """The value of a fact that is not there: false, empty, without a text, and so is everything in it. Templates need
    not ask first.
    """

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
"""A function that takes its parameters out of the facts."""


def needs_of(*functions: Callable[..., Any] | None) -> frozenset[str]:
    """The names of their parameters."""
    return frozenset(name for function in functions if function for name in inspect.signature(function).parameters)


def call_of(function: Callable[..., Any]) -> Call:
    match tuple(inspect.signature(function).parameters):
        case ():
            return lambda _: function()
        case (name,):
            return lambda facts: function(facts[name])
        case names:
            pick = itemgetter(*names)
            return lambda facts: function(*pick(facts))


def optional_call_of(function: Callable[..., Any] | None) -> Call | None:
    return None if function is None else call_of(function)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Source:
    """A named fact and how to get it, as ``Recipe`` explains. ``kind`` None: derived from others, and not kept."""

    name: str
    fetch: Call
    own_needs: frozenset[str]
    """Needs of the function alone, without ``ids``."""
    needs: frozenset[str]
    kind: Kind | None = None
    key: Call | None = None
    batch: Call | None = None
    """The ids of a batch."""
    given: Call | None = None
    optional: Optional = False
    default: Any = None
    timeout: float | None = None
    fresh_as: str | None = None
    coalesce: float | None = None
    partial: Call | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Reason:
    """A reason to suppress a notification that is ``after`` s old; ``holds`` decides."""

    name: str
    after: float
    holds: Call
    needs: frozenset[str]
