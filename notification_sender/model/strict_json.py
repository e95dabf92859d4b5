"""Strict JSON: messages that two readers could understand differently are refused."""

import json
import math
import re
from typing import Any, NoReturn

from notification_sender.model.errors import Malformed

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
LARGEST = 2**53 - 1
"""The largest integer that every reader of JSON reads exactly (RFC 8259, section 6)."""
MAX_DIGITS = 20
_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")
"""An escaped surrogate: alone, or half of a pair that is a character."""


def read_json(body: bytes, limit: int = MAX_BYTES) -> Any:
    """Read strict JSON, and refuse input that another reader could understand differently.

    Raises:
        Malformed: too large, a byte order mark, not UTF-8, not JSON, NaN or Infinity (also by overflow),
            lone surrogates, a name twice in one object, deeper than ``MAX_DEPTH``.

    """
    if len(body) > limit:
        raise Malformed(f"{len(body)} bytes, at most {limit} are read")
    if body.startswith(b"\xef\xbb\xbf"):
        raise Malformed("starts with a byte order mark")
    try:
        value = _STRICT.decode(body.decode("utf-8"))
    except UnicodeDecodeError as fault:
        raise Malformed(f"not UTF-8: {fault.reason} at byte {fault.start}") from None
    except RecursionError:
        raise Malformed(f"nested deeper than {MAX_DEPTH}") from None
    except ValueError as fault:
        raise Malformed(f"not JSON: {fault}") from None
    # UTF-8 has no surrogates, so only an escape can name one. A value is never deeper than it has brackets.
    if _SURROGATE.search(body):
        _refuse_unspeakable(value, depth=0)
    elif body.count(b"[") + body.count(b"{") > MAX_DEPTH:
        _refuse_depth(value, depth=0)
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise Malformed(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise Malformed("a number is too large")
    return number


def _exact(digits: str) -> int:
    # Other readers take a larger integer for a float and lose its last digits.
    number = int(digits) if len(digits) < MAX_DIGITS else LARGEST + 1
    if abs(number) > LARGEST:
        raise Malformed(f"an integer is too large, at most {LARGEST}")
    return number


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise Malformed("a name stands twice in one object")
    return value


_STRICT = json.JSONDecoder(
    parse_constant=_refuse_constant, parse_float=_finite, parse_int=_exact, object_pairs_hook=_distinct
)


def _refuse_unspeakable(value: Any, depth: int) -> None:
    """Refuse values that can be read and not sent: lone surrogates, and depths that other readers refuse."""
    if depth > MAX_DEPTH:
        raise Malformed(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, str):
        _refuse_surrogates(value)
    elif isinstance(value, dict):
        for name, member in value.items():
            _refuse_surrogates(name)
            _refuse_unspeakable(member, depth + 1)
    elif isinstance(value, list):
        for member in value:
            _refuse_unspeakable(member, depth + 1)


def _refuse_depth(value: Any, depth: int) -> None:
    """Check the depth alone. Looking at each text as well takes five times as long for thousands of destinations."""
    if value and depth >= MAX_DEPTH:
        raise Malformed(f"nested deeper than {MAX_DEPTH}")
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list):
        return
    for member in value:
        if isinstance(member, dict | list):
            _refuse_depth(member, depth + 1)


def _refuse_surrogates(text: str) -> None:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise Malformed("a lone surrogate is no character") from None
