"""What the headers of a message say: how ours are written, and how anybody's are read."""

import math
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from notification_sender.ports import DeadLetter, Envelope, Lane, Parked

REASON = "x-reason"
DETAIL = "x-detail"
STAGE = "x-stage"
FIRST_SEEN = "x-first-seen"
ATTEMPT = "x-attempt"
MISSES = "x-misses"
DUE = "x-due"
REPLAYED = "x-replayed"
BUGS = "x-bugs"

LONGEST_DETAIL = 1024
"""Bytes: a header is for the person who reads the dead letter, the broker keeps all of them in memory."""

LARGEST = 2**53
"""Counts beyond it are no counts: the store's scripts compute in doubles."""

Headers = dict[str, Any]


def parked_headers(parked: Parked, now: float) -> Headers:
    """Of a message on its way through the ladder. What came with it is not copied: brokers read ``x-death``."""
    headers: Headers = {
        ATTEMPT: parked.attempt,
        MISSES: parked.misses,
        FIRST_SEEN: rfc3339(parked.first_seen),
        DUE: math.ceil((now + parked.delay) * 1000),
    }
    if parked.replays:
        headers[REPLAYED] = parked.replays
    if parked.bugs:
        headers[BUGS] = parked.bugs
    return headers


def letter_headers(letter: DeadLetter) -> Headers:
    """The four that every dead letter has, and of which replay it is the end."""
    headers: Headers = {
        REASON: letter.reason,
        DETAIL: one_line(letter.detail),
        STAGE: letter.stage,
        FIRST_SEEN: rfc3339(letter.first_seen),
    }
    if letter.replays:
        headers[REPLAYED] = letter.replays
    return headers


def envelope(lane: Lane, body: bytes, headers: Mapping[str, Any] | None, tag: object, now: float) -> Envelope:
    """One delivery. A header that is missing or makes no sense counts as not given.

    A replay starts from the beginning: how long ago it was first seen is why many a letter is dead.
    """
    token = secrets.token_hex(8)
    if not headers:
        return Envelope(lane, body, token, 1, 0, now, 0.0, 0, 0, tag)
    replays = _count(headers.get(REPLAYED), least=0)
    if REASON in headers:
        return Envelope(lane, body, token, 1, 0, now, 0.0, replays + 1, 0, tag)
    return Envelope(
        lane=lane,
        body=body,
        token=token,
        attempt=_count(headers.get(ATTEMPT), least=1),
        misses=_count(headers.get(MISSES), least=0),
        first_seen=_moment(headers.get(FIRST_SEEN), now),
        due=_count(headers.get(DUE), least=0) / 1000,
        replays=replays,
        bugs=_count(headers.get(BUGS), least=0),
        tag=tag,
    )


def rfc3339(moment: float) -> str:
    """Epoch seconds as UTC with milliseconds."""
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def one_line(text: str) -> str:
    """Without control characters and lone surrogates, and not longer than a header may be."""
    printable = "".join(filter(str.isprintable, " ".join(text.split())))
    return printable.encode()[:LONGEST_DETAIL].decode(errors="ignore")


def _count(value: object, *, least: int) -> int:
    # Consoles that move messages write every header as a string.
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < len(str(LARGEST)):
        value = int(value)
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= LARGEST:
        return value
    return least


def _moment(value: object, now: float) -> float:
    """Epoch seconds of an RFC 3339 string, an AMQP timestamp or a number; ``now`` for the future and for nonsense."""
    if isinstance(value, str):
        try:
            value = datetime.fromisoformat(value)
        except ValueError:
            return now
    if isinstance(value, datetime):
        value = value.timestamp() if value.tzinfo else None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < now:
        return float(value)
    return now
