"""One fact as it was fetched, or that there is none: for whom it may speak, and how it lies on the shelf."""

import hashlib
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from notification_sender.context.moments import moment
from notification_sender.policy.freshness import Fence

PLAIN, DEFLATED = b"\x01", b"\x02"

LARGE = 4096
"""Bytes from which on a fact is kept deflated: to a third or less, for some ten µs a KiB."""

SEAL = 16
"""Bytes before it that tell what we kept at this key from whatever else comes to lie there: it may be anything, and a
fact of another shape would end every unit that needs it."""

MOST = 32 * 1024 * 1024
"""Bytes that a kept fact may have when it is inflated: more than any API may answer."""

Load = Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]]
"""Fetches the facts of these ids, by id. None: there is none; a NotFound in its place says so in words that matter
to who needs the fact. What it leaves out it could not tell, and nothing is remembered of it."""

CountForeign = Callable[[str], None]
"""Is told of every record of another organization, by the source that got it."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What sort of fact, and how long one is kept: served for ``ttl`` s, then ``stale`` s more for hard times."""

    name: str
    ttl: float
    stale: float = 0.0


@dataclass(frozen=True, slots=True)
class Copy:
    """One fact as it was fetched. Epoch times; ``fetched_at`` is when the fetch began, and what is older than
    ``fresh_until`` is being fetched anew, by somebody. Shared: never changed.

    A ``value`` of None makes it a tombstone: when it was fetched there was none, or none new enough for the event.
    """

    value: Any
    fetched_at: float
    fresh_until: float
    words: str = ""
    """Of a tombstone: the refusal of the API, where the absence is a failure."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose facts of which kind, how to fetch them, and how new they must be."""

    kind: Kind
    organization_id: str
    load: Load
    fence: Fence | None = None
    subject: bool = False
    """What a unit is about is never answered from a tombstone, and leaves none: a 404 of it may only be late, and
    must be heard anew in each of its tries, which are closer together than any lifetime worth having.
    """


def accepted(copy: Copy, fence: Fence | None, *, subject: bool) -> bool:
    """Whether this copy may be used by who wants it so."""
    return lets(fence, copy) and not (subject and copy.value is None)


def lets(fence: Fence | None, copy: Copy) -> bool:
    """Whether this copy may speak after the event. An answer that is a copy itself says since when: ``cached_at``.

    A tombstone may where it was fetched after the event: asking again would find the same.
    """
    if fence is None:
        return True
    if copy.value is None:
        return not precedes(copy, fence)
    # On the shelf may lie what another version wrote there.
    told = copy.value if isinstance(copy.value, Mapping) else {}
    fetched = moment(told.get("cached_at")) or datetime.fromtimestamp(copy.fetched_at, UTC)
    return fence.lets(modified=moment(told.get("modified")), fetched=fetched)


def precedes(copy: Copy, fence: Fence) -> bool:
    """Whether its fetch began before the event, by our own clock."""
    since = fence.modified or fence.fetched
    return since is not None and copy.fetched_at < since.timestamp()


def encoded(key: str, organization_id: str, copy: Copy) -> bytes:
    """As it lies on the shelf at ``key``: whose it is, and what it is; a byte says how that is written."""
    body = orjson.dumps({"organization_id": organization_id, "value": copy.value, "words": copy.words})
    body = PLAIN + body if len(body) < LARGE else DEFLATED + zlib.compress(body, level=1)
    return _seal(key, body) + body


def decoded(key: str, organization_id: str, body: bytes, fetched_at: float, fresh_until: float) -> Copy | None:
    """What cannot be read, was not kept at this key by us, or is somebody else's, is not there."""
    seal, body = body[:SEAL], body[SEAL:]
    if seal != _seal(key, body):
        return None
    try:
        entry = orjson.loads(_inflated(body))
    except (orjson.JSONDecodeError, zlib.error):
        return None
    match entry:
        case {"organization_id": owner, "value": value, "words": str(words)} if owner == organization_id:
            return Copy(value, fetched_at, fresh_until, words)
    return None


def _seal(key: str, body: bytes) -> bytes:
    seal = hashlib.blake2b(key.encode() + b"\n", digest_size=SEAL)
    seal.update(body)
    return seal.digest()


def _inflated(body: bytes) -> bytes:
    match body[:1]:
        case b"\x01":
            return body[1:]
        case b"\x02":
            # What somebody else wrote there may be small, and grow without end.
            return zlib.decompressobj().decompress(body[1:], MOST)
    return b""
