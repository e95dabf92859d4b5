"""The JSON of the APIs, read so that every accepted value can be written again: stored, rendered, sent."""

import json
from typing import Any

import orjson

from notification_sender.context.upstream.errors import BadAnswer, BadRecord
from notification_sender.context.upstream.json_pieces import PIECE, TooMuch, Unbalanced, read_in_pieces

DEEPEST = 100
"""Levels of a value. orjson reads 1,024 and writes 254, and storing or rendering wraps a value in a few more."""

SMALLEST, LARGEST = -(2**63), 2**64 - 1
"""The integers that orjson reads and writes as they are. It reads others as floats, and their last digits are lost."""

_DIGITS = bytes.maketrans(b"123456789", b"0" * 9)
_LONG = b"0" * 19
"""No number of fewer digits is beyond 64 bits. Found so in 7 MB in 4 ms; an expression takes 48."""

_WRAPPED = 254 - DEEPEST
"""Levels that orjson can write around a value of ``DEEPEST`` levels."""


async def read_any(body: bytes) -> Any:
    """As ``read``, of a text of any length: other tasks run meanwhile.

    Raises:
        BadRecord, BadAnswer: as of ``read``.

    """
    if len(body) <= PIECE:
        return read(body)
    bad: list[BadRecord] = []
    try:
        value = await read_in_pieces(body, lambda piece: _taken(piece, bad), DEEPEST)
    except TooMuch as fault:
        raise BadRecord(str(fault)) from None
    except Unbalanced as fault:
        raise BadAnswer(f"not JSON: {fault}") from None
    if bad:
        raise bad[0]
    return value


def _taken(piece: bytes, bad: list[BadRecord]) -> Any:
    """None of what cannot be written again: what follows it may still be no JSON at all."""
    try:
        return _read(piece)
    except BadRecord as fault:
        bad.append(fault)
        return None


def read(body: bytes) -> Any:
    """The value. An integer beyond 64 bits is a text of all its digits.

    Raises:
        BadRecord: it is JSON, but something in it cannot be written again: half a surrogate pair, bytes that are no
            UTF-8, a number that is none, too deep.
        BadAnswer: it is no JSON.

    """
    value = _read(body)
    # Fewer brackets than levels: nothing to look for, as nearly always.
    if body.count(b"[") + body.count(b"{") > DEEPEST and _deeper(value):
        raise _too_deep()
    return value


def _read(body: bytes) -> Any:
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as fault:
        raise _refusal(body, str(fault)) from None
    return json.loads(body, parse_int=_exact) if _LONG in body.translate(_DIGITS) else value


def _too_deep() -> BadRecord:
    return BadRecord(f"nested deeper than {DEEPEST}")


def _refusal(body: bytes, fault: str) -> BadAnswer:
    """Whether another reader would make something of it: then it is no page of a proxy, and did not break off."""
    try:
        json.loads(body.decode(errors="surrogateescape"), strict=False, parse_int=_exact)
    except RecursionError:
        return _too_deep()
    except ValueError:
        return BadAnswer(f"not JSON: {fault}")
    return BadRecord(f"cannot be read: {fault}")


def _exact(digits: str) -> int | str:
    number = int(digits) if len(digits) <= len(str(LARGEST)) else LARGEST + 1
    return number if SMALLEST <= number <= LARGEST else digits


def _deeper(value: Any) -> bool:
    """Asked of orjson itself: 7 ms for 7 MB, where a walk of ours takes 30."""
    for _ in range(_WRAPPED):
        value = (value,)
    try:
        orjson.dumps(value)
    except TypeError:
        return True
    return False
