"""RFC 3339 times: how they are read and written."""

import math
from datetime import UTC, datetime
from functools import lru_cache
from typing import Literal

Precision = Literal["auto", "seconds", "milliseconds", "microseconds"]

_SECOND = 1_000_000

LONGEST_KEPT = 40
"""Characters: a time with nanoseconds and an offset has 35, and a field that is no time may have any number."""


def parse_rfc3339(text: object, *, zoned: bool = False) -> datetime | None:
    """Read an RFC 3339 time; None if ``text`` is no such time.

    A time without an offset is UTC, as our APIs mean it; with ``zoned`` it is None. A time outside the years 1 to 9999
    in UTC is None, because it cannot be written for a recipient.
    """
    if not isinstance(text, str):
        return None
    return _kept(text, zoned) if len(text) <= LONGEST_KEPT else _read(text, zoned)


def _read(text: str, zoned: bool) -> datetime | None:  # noqa: FBT001 - a key of the cache
    try:
        read = datetime.fromisoformat(text)
        return None if zoned and read.tzinfo is None else in_utc(read)
    except (ValueError, OverflowError):
        return None


_kept = lru_cache(maxsize=4096)(_read)
"""The units of one event carry the same times, and so do the facts that they share."""


def format_rfc3339(at: datetime | float, timespec: Precision = "auto") -> str:
    """Write a time, or seconds since 1970, in UTC and with a ``Z``. ``auto``: microseconds where there are any."""
    if isinstance(at, datetime):
        moment = at if at.tzinfo is UTC else at.astimezone(UTC)
        return f"{moment.isoformat(timespec=timespec)[:-6]}Z"
    seconds = math.floor(at)
    micros = round((at - seconds) * _SECOND)
    if micros == _SECOND:
        seconds, micros = seconds + 1, 0
    if timespec == "seconds" or (timespec == "auto" and not micros):
        return f"{_whole(seconds)}Z"
    return (
        f"{_whole(seconds)}.{micros // 1000:03d}Z" if timespec == "milliseconds" else f"{_whole(seconds)}.{micros:06d}Z"
    )


@lru_cache(maxsize=64)
def _whole(seconds: int) -> str:
    """All that is written in one second shares this: to write it anew takes 2 µs, and a message writes two times."""
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:-6]


def in_utc(at: datetime) -> datetime:
    """The same time in UTC. A time without an offset is UTC.

    Raises:
        OverflowError: it is outside the years 1 to 9999 in UTC.

    """
    if at.tzinfo is UTC:  # as nearly all are
        return at
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)
