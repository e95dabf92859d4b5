"""Finds every event that a worker logs: its names, levels and fields, read from the code."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from notification_sender.telemetry.attempt_record import AttemptFacts, AttemptRecord, End

PACKAGE = Path(__file__).parents[1] / "notification_sender"

LEFT_OUT = ("sandbox/", "telemetry/log.py")
"""The sandbox is no part of a worker; the log itself has no events of its own."""

LEVELS_BY_WEIGHT = ("debug", "info", "warning", "error")

ENDS = {
    "unit": ("suppressed", "deferred", "dead"),
    "notification": ("delivered", "suppressed", "deferred", "failed", "dead"),
}
"""How each can end."""

EXPANDED = {
    "{what}.{word}": tuple(f"{what}.{end}" for what, ends in ENDS.items() for end in ends),
    "{what}.done": ("unit.done",),
    "destination.{transition}": ("destination.disabled", "destination.recovered"),
    "destination.{fault.reason}": ("destination.secret_missing", "destination.ca_missing"),
    "{self._kind.name}.circuit_opened": ("api.circuit_opened", "host.circuit_opened"),
    "{self._kind.name}.circuit_closed": ("api.circuit_closed", "host.circuit_closed"),
}
"""The names that a name with parts stands for."""

_RECORD = {"unit_event" if it == "event" else it.rstrip("_") for it in (*AttemptFacts._fields, *End._fields)}
_RECORD |= {it for it in AttemptRecord.__dataclass_fields__ if it not in {"facts", "end"}}

SPREAD = {
    "known": frozenset(_RECORD),
    "self._fields": frozenset({"api", "host", "organization_id"}),
    "parts.settings.effective()": frozenset({"NS_…"}),
}
"""The fields that a mapping stands for."""

ALSO = {"{what}.{word}": frozenset({"receipt", "error", "detail", "trace_id"})}
"""Fields of the log alone, which are added to the record of an attempt."""


@dataclass(frozen=True, slots=True)
class Logged:
    """One event, as one place in the code logs it."""

    name: str
    file: str
    levels: frozenset[str]
    fields: frozenset[str]


def logged() -> Iterator[Logged]:
    """In the order of the files.

    Raises:
        ValueError: a name or a mapping of fields is not known here.
    """
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        if not name.startswith(LEFT_OUT):
            yield from _in_module(ast.parse(file.read_text()), name)


def _in_module(tree: ast.Module, file: str) -> Iterator[Logged]:
    for function in ast.walk(tree):
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            for call in (node for node in ast.walk(function) if isinstance(node, ast.Call)):
                yield from _in_call(call, function, file)


_Function = ast.FunctionDef | ast.AsyncFunctionDef


def _in_call(call: ast.Call, function: _Function, file: str) -> Iterator[Logged]:
    called = ast.unparse(call.func)
    log, _, level = called.rpartition(".")
    arguments, levels, also, warn = list(call.args), frozenset({level}), frozenset[str](), None
    if called == "LogOnChange":
        levels = frozenset({ast.unparse(arguments.pop(0)).rpartition(".")[2]})
        also = frozenset({"error"}) | _given_later(call, function)
    elif called == "self._log_event":
        [warn] = (it.value for it in call.keywords if it.arg == "warn")
    elif not (log.endswith("_log") and level in LEVELS_BY_WEIGHT):
        return
    written = _written(arguments[0], function)
    fields = also | _fields(call, function, file)
    for text in written:
        own = SPREAD["known"] | ALSO.get(text, frozenset()) if called == "self._log_event" else frozenset[str]()
        for name in _expanded(text, file):
            yield Logged(name, file, levels if warn is None else _end_level(warn, name), fields | own)


def _end_level(warn: ast.expr, name: str) -> frozenset[str]:
    """Of the end of an attempt. ``warn``: True, or ``word in {…}`` with the second parts of the events."""
    words = {name.partition(".")[2]} if isinstance(warn, ast.Constant) else ast.literal_eval(_right_side(warn))
    return frozenset({"warning" if name.partition(".")[2] in words else "info"})


def _right_side(comparison: ast.expr) -> ast.expr:
    match comparison:
        case ast.Compare(comparators=[right]):
            return right
    raise ValueError(f"{ast.unparse(comparison)}: is not read here")


def _written(name: ast.expr, function: _Function) -> list[str]:
    """How the code writes the name: both of ``a if x else b``; with parts in braces where it has any."""
    match name:
        case ast.Constant(str(text)):
            return [text]
        case ast.IfExp(body=one, orelse=other):
            return [*_written(one, function), *_written(other, function)]
        case ast.JoinedStr(values=parts):
            return ["".join(map(_part, parts))]
        case ast.Name(id=variable):
            value = _assigned(variable, function)
            return [ast.unparse(name)] if value is None else _written(value, function)
    return [ast.unparse(name)]


def _part(part: ast.expr) -> str:
    return f"{{{ast.unparse(part.value)}}}" if isinstance(part, ast.FormattedValue) else str(ast.literal_eval(part))


def _expanded(text: str, file: str) -> tuple[str, ...]:
    if text in EXPANDED:
        return EXPANDED[text]
    if "{" in text or "." not in text:
        raise ValueError(f"{file}: the event {text} is not in tools.log_calls.EXPANDED")
    return (text,)


def _fields(call: ast.Call, function: _Function, file: str) -> frozenset[str]:
    found: set[str] = set()
    for keyword in call.keywords:
        if keyword.arg is not None:
            found |= {keyword.arg} if ast.unparse(call.func) != "self._log_event" else set()
            continue
        text = ast.unparse(keyword.value)
        value = _assigned(text, function)
        if isinstance(value, ast.Dict):
            found |= {str(key.value) for key in value.keys if isinstance(key, ast.Constant)}
        elif text in SPREAD:
            found |= SPREAD[text]
        else:
            raise ValueError(f"{file}: the fields **{text} are not in tools.log_calls.SPREAD")
    return frozenset(found)


def _assigned(variable: str, function: _Function) -> ast.expr | None:
    """The value that this function gives a variable."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(ast.unparse(it) == variable for it in node.targets):
            return node.value
    return None


def _given_later(made: ast.Call, function: _Function) -> frozenset[str]:
    """Fields that are given where the object that ``LogOnChange`` made is called."""
    names = {ast.unparse(it.targets[0]) for it in ast.walk(function) if isinstance(it, ast.Assign) and it.value is made}
    uses = (it for it in ast.walk(function) if isinstance(it, ast.Call) and ast.unparse(it.func) in names)
    return frozenset(keyword.arg for it in uses for keyword in it.keywords if keyword.arg is not None)
