"""The attributes and methods that templates may use: an allowlist, so that new methods of Python are refused."""

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from types import BuiltinMethodType, MethodType
from typing import Any

from jinja2.filters import _GroupTuple
from jinja2.runtime import BlockReference, LoopContext, Macro
from jinja2.utils import Cycler, Joiner, Namespace
from markupsafe import Markup

from notification_sender.render.meter import Meter, Refused


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TEXT = _names(
    "capitalize casefold center count endswith find index isalnum isalpha isascii isdecimal isdigit islower isnumeric"
    " isspace istitle isupper join ljust lower lstrip partition removeprefix removesuffix replace rfind rindex rjust"
    " rpartition rsplit rstrip split splitlines startswith strip swapcase title upper zfill"
)
_DATE = _names("year month day weekday isoweekday isoformat strftime")
_TIME = _names("hour minute second microsecond isoformat strftime utcoffset tzname")
_ROW = _names("count index")

ATTRIBUTES: dict[type, frozenset[str]] = {
    str: _TEXT,
    Markup: _TEXT,
    dict: _names("get items keys values"),
    list: _ROW,
    tuple: _ROW,
    _GroupTuple: _ROW | _names("grouper list"),
    datetime: _DATE | _TIME | _names("date time timestamp"),
    date: _DATE,
    time: _TIME,
    timedelta: _names("days seconds total_seconds"),
    int: frozenset(),
    bool: frozenset(),
    float: _names("is_integer"),
    type(None): frozenset(),
    LoopContext: _names(
        "index index0 revindex revindex0 first last length depth depth0 cycle changed previtem nextitem"
    ),
    Macro: _names("name arguments catch_kwargs catch_varargs caller"),
    BlockReference: _names("name super"),
    Cycler: _names("current next reset"),
    Joiner: frozenset(),
}
"""The allowed names of a value, by its exact type. Of other objects a template reads only items (``x['name']``)."""

_BASES = (str, dict, list, tuple, datetime, date, time, timedelta)

OF_JINJA = frozenset({Macro, BlockReference, LoopContext, Joiner})
"""Callable objects that Jinja makes."""

FREE = (dict, Cycler, Joiner, Namespace)
"""Classes that a template may call."""


def attributes(kind: type) -> frozenset[str] | None:
    """Return the names that may be read of a value of this type; None for a type without an entry."""
    found = ATTRIBUTES.get(kind)
    if found is None:
        found = next((ATTRIBUTES[base] for base in _BASES if issubclass(kind, base)), None)
    return found


def check_call(meter: Meter, method: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    """Check a call of a method before it is made.

    Raises:
        Refused: templates may not call the method, or the call would cost too much.

    """
    owner, name = getattr(method, "__self__", None), getattr(method, "__name__", "")
    if type(method) not in {BuiltinMethodType, MethodType} or name not in (attributes(type(owner)) or ()):
        raise Refused(f"a template may not call a {type(method).__name__}")
    meter.used(owner, *args, *kwargs.values())
    if isinstance(owner, str) and name in _SEARCHES:
        check_searched(*args, *kwargs.values())
    if isinstance(owner, str) and name in _CHECKS:
        _CHECKS[name](meter, owner, *args, **kwargs)
    elif name == "strftime" and args and len(str(args[0])) > _LONGEST_FORMAT:
        raise Refused(f"a format of more than {_LONGEST_FORMAT} characters")


_LONGEST_FORMAT = 64

_SEARCHES = frozenset({"strip", "lstrip", "rstrip", "rfind", "rindex", "rsplit", "rpartition"})
_LONGEST_SEARCHED = 64
"""Characters. Python searches from the front in linear time. From the back, and for one of several characters, it may
compare each place with the whole searched text. Half a million characters in a million took minutes.
"""


def check_searched(*values: Any) -> None:
    """Check the arguments of one of ``_SEARCHES``."""
    if any(isinstance(it, str) and len(it) > _LONGEST_SEARCHED for it in values):
        raise Refused(f"a search for more than {_LONGEST_SEARCHED} characters")


def check_copied(values: tuple[Any, ...]) -> None:
    """Check the arguments of ``dict`` or ``namespace``. Pairs are refused: their keys may all have the same hash."""
    if any(type(it) is not dict for it in values):
        raise Refused("dict and namespace are made of names and of other objects")


def check_join(meter: Meter, between: str, items: Any) -> None:
    sizes = [len(item) for item in items if isinstance(item, str)] if isinstance(items, list | tuple) else []
    meter.text(sum(sizes) + len(between) * len(sizes))


def check_replace(meter: Meter, text: str, old: Any, new: Any, *_: Any) -> None:
    if isinstance(text, str) and isinstance(old, str) and isinstance(new, str):
        meter.text(len(text) + text.count(old) * max(len(new) - len(old), 0))


def check_width(meter: Meter, _: Any, width: Any = 0, *_more: Any, **_named: Any) -> None:
    meter.width(width)


_CHECKS: dict[str, Callable[..., None]] = {
    "join": check_join,
    "replace": check_replace,
    **dict.fromkeys(("center", "ljust", "rjust", "zfill"), check_width),
}
