"""Operators and filters of templates. Each is checked and counted before it runs."""

import operator
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any, NoReturn

from jinja2 import pass_environment
from jinja2.filters import FILTERS as OF_JINJA
from jinja2.tests import TESTS
from markupsafe import Markup

from notification_sender.render.allowed import check_replace, check_searched, check_width
from notification_sender.render.meter import CONTAINERS, MAX_WIDTH, SHORT, TEXTS, Meter, Refused

INTERCEPTED = frozenset({"+", "*", "**", "%"})
"""Operators whose result may be larger than their operands."""

_LONG = 10_000
"""Characters, for filters that read a text more than once."""

_MANY = 10_000
_PRECISE = 15

_WIDE = re.compile(r"%(?:\([^()]*\))?[-+ #0]*(?:\*|\d{4}|\d*\.(?:\*|\d{4}))")


def calculate(meter: Meter, name: str, left: Any, right: Any) -> Any:
    """Apply one of ``INTERCEPTED``."""
    match name:
        case "+":
            return _plus(meter, left, right)
        case "*":
            return _multiplied(meter, left, right)
        case "**":
            return _power(meter, left, right)
    return formatted(meter, left, right) if isinstance(left, str) else operator.mod(left, right)


def _plus(meter: Meter, left: Any, right: Any) -> Any:
    if type(left) in TEXTS and type(right) in TEXTS:
        meter.text(len(left) + len(right))
        return left + right
    return meter.made(left + right)


def _multiplied(meter: Meter, left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int):
        meter.number(left.bit_length() + right.bit_length() - 1)
    for value, count in ((left, right), (right, left)):
        if isinstance(count, int) and isinstance(value, str | list | tuple):
            meter.times(value, count)
    return left * right


def _power(meter: Meter, left: Any, right: Any) -> Any:
    if isinstance(left, int) and isinstance(right, int) and right > 0:
        meter.number(left.bit_length() * right)
    return left**right


def formatted(meter: Meter, text: str, values: Any) -> str:
    """``"%s: %-9s" % (…)``."""
    if _WIDE.search(text):
        raise Refused(f"a width or precision of more than {MAX_WIDTH - 1}, or one that is computed")
    members = values if isinstance(values, tuple) else values.values() if isinstance(values, Mapping) else (values,)
    meter.used(values, *members)
    longest = max((len(it) for it in members if isinstance(it, str)), default=0)
    meter.text(len(text) + text.count("%") * max(longest, 8))
    made: str = meter.made(text % values)
    return made


# --- filters ---------------------------------------------------------------------------------------------------------


def _plain_text(_: Meter, text: Any, *_args: Any, **_kwargs: Any) -> None:
    if isinstance(text, str) and len(text) > _LONG:
        raise Refused(f"a text of more than {_LONG} characters")


def _wrapped(meter: Meter, text: Any, *args: Any, **kwargs: Any) -> None:
    """Check ``wordwrap``. Its longest argument may be the line separator, and stand behind each character."""
    _plain_text(meter, text)
    between = [len(it) for it in (*args, *kwargs.values()) if isinstance(it, str)]
    meter.text(len(str(text)) * (1 + max(between, default=0)))


def _linked(meter: Meter, text: Any, *args: Any, **kwargs: Any) -> None:
    """Check ``urlize``. Its arguments stand in each link."""
    _plain_text(meter, text)
    for it in (*args, *kwargs.values()):
        if isinstance(it, str | list | tuple) and len(it) > SHORT:
            raise Refused(f"urlize: more than {SHORT} characters or schemes")


def _trimmed(_: Meter, _text: Any, chars: Any = None) -> None:
    check_searched(chars)


def _few(meter: Meter, _values: Any, count: Any = 1, *_args: Any, **_kwargs: Any) -> None:
    if isinstance(count, int):
        if count > _MANY:
            raise Refused(f"more than {_MANY}")
        meter.spend(count)  # each may be padded to so many


def _indent(meter: Meter, text: Any, width: Any = 4, *_args: Any, **_kwargs: Any) -> None:
    meter.width(width)
    if isinstance(text, str):
        added = len(width) if isinstance(width, str) else int(width)
        meter.text(len(text) + (1 + len(text.splitlines())) * added)


def _round(_: Meter, _value: Any, precision: Any = 0, *_args: Any, **_kwargs: Any) -> None:
    if isinstance(precision, int) and abs(precision) > _PRECISE:
        raise Refused(f"more than {_PRECISE} digits")


def _int(_: Meter, value: Any, *_args: Any, **_kwargs: Any) -> None:
    if isinstance(value, str) and len(value) > MAX_WIDTH:
        raise Refused(f"a number of more than {MAX_WIDTH} digits")


def _sum(_: Meter, _values: Any, attribute: Any = None, start: Any = 0) -> None:  # noqa: ARG001 - as Jinja names them
    if not isinstance(start, int | float):
        raise Refused("sum: of numbers alone")


_CHECKS: dict[str, Callable[..., None]] = {
    "replace": check_replace,
    "center": check_width,
    "indent": _indent,
    "round": _round,
    "int": _int,
    "sum": _sum,
    "trim": _trimmed,
    "wordwrap": _wrapped,
    "urlize": _linked,
    "striptags": _plain_text,
    **dict.fromkeys(("batch", "slice"), _few),
}
_REFUSED = frozenset({"pprint"})
_ABSENT = frozenset({"random"})
"""Absent, because the same context must give the same bytes."""

_CHEAP = frozenset({"count", "d", "default", "first", "length", "last"})
"""They do not read the members of a value."""

_OF_EACH = frozenset(
    "batch dictsort groupby map max min reject rejectattr select selectattr slice sort sum unique".split()  # noqa: SIM905
)
"""They process each member of a value."""

_ATTRIBUTE = {"groupby": 1, "max": 2, "min": 2, "rejectattr": 1, "selectattr": 1, "sort": 3, "sum": 1, "unique": 2}
"""The position of the attribute path among the arguments of a filter."""

_LONGEST_PATH = 256

_KEYWORDS = {"center": {"width"}, "indent": {"width"}, "batch": {"linecount"}, "slice": {"slices"}}


def filters(meter: Meter, own: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    """Return Jinja's filters and ``own``, each metered."""
    made = {name: _metered(meter, name, it) for name, it in OF_JINJA.items() if name not in _ABSENT | _CHEAP}
    made |= {name: OF_JINJA[name] for name in _CHEAP}
    made |= dict.fromkeys(_REFUSED, _refuse)
    made |= {"attr": _attr, "join": _join(meter), "format": _format(meter)}
    return made | {name: _own(meter, it) for name, it in own.items()}


def tests(meter: Meter) -> dict[str, Callable[..., Any]]:
    """Return Jinja's tests. Those that read a whole value are metered."""

    def metered(test: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(test)
        def asked(*values: Any) -> Any:
            meter.used(*values)
            return test(*values)

        return asked

    known: Mapping[str, Any] = TESTS
    return {name: metered(it) if it.__name__ in _LOOKING else it for name, it in known.items()}


_LOOKING = frozenset({"eq", "ne", "lt", "le", "gt", "ge", "test_in", "test_lower", "test_upper"})


def _metered(meter: Meter, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    check = _CHECKS.get(name)
    first = 1 if hasattr(function, "jinja_pass_arg") else 0
    whole = name in _OF_EACH

    @wraps(function)
    def metered(*args: Any, **kwargs: Any) -> Any:
        given = args[first:]
        meter.spend(2 * len(given[0]) if whole and given and type(given[0]) in CONTAINERS else 1)
        meter.used(*given, *kwargs.values())
        if "attribute" in kwargs or name in _ATTRIBUTE:
            _pay_path(meter, given, kwargs.get("attribute", given[_ATTRIBUTE.get(name, 0) :][:1]))
        if check is not None:
            _checked(check, meter, name, given, kwargs)
        return meter.made(function(*args, **kwargs))

    return metered


def _pay_path(meter: Meter, given: tuple[Any, ...], path: Any) -> None:
    """Count an attribute path (``a.b``, or several with commas): each step is one lookup for each member."""
    text = path[0] if isinstance(path, tuple) and path else path
    if not isinstance(text, str):
        return
    if len(text) > _LONGEST_PATH:
        raise Refused(f"the path of an attribute has more than {_LONGEST_PATH} characters")
    members = len(given[0]) if given and hasattr(type(given[0]), "__len__") else 1
    meter.spend(members * (text.count(".") + text.count(",")))


def _checked(
    check: Callable[..., None], meter: Meter, name: str, given: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> None:
    named = [value for key, value in kwargs.items() if key in _KEYWORDS.get(name, ())]
    check(meter, *given, *named, **({} if named else kwargs))


def _own(meter: Meter, function: Callable[..., Any]) -> Callable[..., Any]:
    """Meter a filter of ours. Its result is no larger than its input.

    So the meter counts only long texts, and values that may occur many times.
    """
    if function.__name__ in _LIGHT:
        return function
    rows, json = function.__name__ == "picks", function.__name__ == "tojson"

    @wraps(function)
    def metered(value: Any, *args: Any) -> Any:
        kind = type(value)
        if kind in CONTAINERS:
            if meter.multiplied:
                meter.used(value)
            meter.spend(len(value) * (1 + len(args)) if rows else 1)
        elif kind in TEXTS and len(value) > SHORT:
            meter.text(len(value))
        made = function(value, *args)
        if type(made) is str and len(made) > SHORT:
            meter.text(len(made))
            if kind is dict and json:
                meter.json = made
        return made

    return metered


_LIGHT = frozenset({"at", "pick", "zone"})
"""They read one name, or the names that the template gives."""


def _refuse(*_: Any, **_kwargs: Any) -> NoReturn:
    raise Refused("a template may not use pprint")


@pass_environment
def _attr(environment: Any, value: Any, name: Any) -> Any:
    return environment.getattr(value, str(name))


def _join(meter: Meter) -> Callable[..., Any]:
    joined: Callable[..., Any] = OF_JINJA["join"]

    @wraps(joined)
    def join(first: Any, values: Any, d: Any = "", attribute: Any = None) -> Any:
        if attribute is None:
            values = meter.made(values) if hasattr(type(values), "__len__") else meter.made(iter(values))
            meter.used(values, *values)
            meter.text(sum(len(it) for it in values if isinstance(it, str)) + len(values) * len(str(d)))
        else:
            _pay_path(meter, (values,), attribute)
        return meter.made(joined(first, values, d, attribute))

    return join


def _format(meter: Meter) -> Callable[..., Any]:
    def format_(value: Any, *args: Any, **kwargs: Any) -> str:
        if args and kwargs:
            raise TypeError
        return formatted(meter, value if type(value) is Markup else str(value), kwargs or args)

    return format_
