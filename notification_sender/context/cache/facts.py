"""One fact as it was fetched, or a tombstone in its place: which units may use it, and how it is encoded."""

import hashlib
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal

import orjson

from notification_sender.context.upstream.json_pieces import PIECE, read_in_pieces
from notification_sender.context.upstream.json_reading import DEEPEST
from notification_sender.model.cause import NOBODY_KNOWS, Cause
from notification_sender.model.timestamps import parse_rfc3339
from notification_sender.policy.freshness import Fence

PLAIN, DEFLATED = b"\x01", b"\x02"

LARGE = 4096
"""Bytes from which on a fact is deflated: to a third or less, for about ten µs a KiB."""

SEAL = 16
"""Bytes before an encoded fact that prove that we wrote it for this key. Anything may come to be stored there, and a
fact of another shape would end every unit that needs it."""

LARGEST_KEPT = 1024 * 1024
"""Bytes of an encoded fact. Each process fetches a larger one itself: all organizations share the store, and the writer
of a record decides its size."""

MOST = 32 * 1024 * 1024
"""Bytes of an inflated fact: more than any API may answer."""

Load = Callable[[Sequence[str]], Awaitable[Mapping[str, Any]]]
"""Fetches the facts of these ids, by id. None: there is none. A NotFound in its place is an absence that fails the
source, a BadRecord says that the record cannot be read. Nothing is remembered of an id that the result leaves out."""

CountForeign = Callable[[str], None]
"""Called with the name of the source for every record of another organization."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A sort of fact. One is served for ``ttl`` s, and may stand in for a failed fetch for ``stale`` s more."""

    name: str
    ttl: float
    stale: float = 0.0


Origin = Literal["shelf", "fetched", "stale"]
"""How a fact came: from the shared cache, by a fetch that was waited for, or in place of a fetch that failed."""


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact as it was fetched. Units share it: nobody changes it. Times are epoch seconds.

    A ``value`` of None makes it a tombstone: when it was fetched there was none, or none new enough for the event.
    """

    value: Any
    fetched_at: float
    """When the fetch began."""
    fresh_until: float
    """From then on some process fetches it anew."""
    words: str = ""
    """Of a tombstone: the refusal of the API, where the absence is a failure."""
    bad: bool = False
    """Of a tombstone: there may be one, but it cannot be read; ``words`` say why."""
    cause: Cause = NOBODY_KNOWS
    """Of a tombstone: what is known of the answer that it is made of."""
    origin: Origin = "shelf"


@dataclass(frozen=True, slots=True)
class Wanted:
    """The kind and the organization of the facts a source needs, how to fetch them, and how new they must be."""

    kind: Kind
    organization_id: str
    load: Load
    fence: Fence | None = None
    subject: bool = False
    """The subject of a unit is never answered from a tombstone, and leaves none. Its 404 may only be late, so each of
    the unit's tries must ask the API; the tries are closer together than any lifetime of a tombstone.
    """


def usable(fact: Fact, fence: Fence | None, *, subject: bool) -> bool:
    """Whether a unit with this fence may use the fact. ``subject``: the fact is what the unit is about."""
    return satisfies_fence(fence, fact) and not (subject and fact.value is None)


def satisfies_fence(fence: Fence | None, fact: Fact) -> bool:
    """Whether the fact is new enough for the event. An answer that the API cached says since when: ``cached_at``.

    A tombstone satisfies the fence if it was fetched after the event: another fetch would find the same.
    """
    if fence is None:
        return True
    if fact.value is None:
        return not fetched_before(fact, fence)
    # Another version may have stored something that is no mapping.
    record = fact.value if isinstance(fact.value, Mapping) else {}
    fetched = parse_rfc3339(record.get("cached_at")) or datetime.fromtimestamp(fact.fetched_at, UTC)
    return fence.satisfied_by(modified=parse_rfc3339(record.get("modified")), fetched=fetched)


def fetched_before(fact: Fact, fence: Fence) -> bool:
    """Whether the fetch began before the event, by our own clock."""
    since = fence.modified or fence.fetched
    return since is not None and fact.fetched_at < since.timestamp()


def encode(key: str, organization_id: str, fact: Fact) -> bytes:
    """The bytes to store at ``key``: a seal, a byte that says whether the rest is deflated, the owner and the value."""
    said: dict[str, Any] = {"bad": fact.words} if fact.bad else {"value": fact.value, "words": fact.words}
    if known := fact.cause.known():
        said["cause"] = known
    body = orjson.dumps({"organization_id": organization_id, **said})
    body = PLAIN + body if len(body) < LARGE else DEFLATED + zlib.compress(body, level=1)
    return _seal(key, body) + body


async def decode(key: str, organization_id: str, body: bytes, fetched_at: float, fresh_until: float) -> Fact | None:
    """The fact; None where the bytes cannot be read, are not ours, or belong to another organization."""
    seal, body = body[:SEAL], body[SEAL:]
    if seal != _seal(key, body):
        return None
    try:
        entry = await _entry(_inflated(body))
    except (ValueError, zlib.error):
        return None
    match entry:
        case {"organization_id": owner, "value": value, "words": str(words)} if owner == organization_id:
            return Fact(value, fetched_at, fresh_until, words, cause=Cause.of(entry.get("cause")))
        case {"organization_id": owner, "bad": str(words)} if owner == organization_id:
            return Fact(None, fetched_at, fresh_until, words, bad=True, cause=Cause.of(entry.get("cause")))
    return None


async def _entry(text: bytes) -> Any:
    if len(text) <= PIECE:
        return orjson.loads(text)
    return await read_in_pieces(text, orjson.loads, DEEPEST + 1)


def _seal(key: str, body: bytes) -> bytes:
    seal = hashlib.blake2b(key.encode() + b"\n", digest_size=SEAL)
    seal.update(body)
    return seal.digest()


def _inflated(body: bytes) -> bytes:
    match body[:1]:
        case b"\x01":
            return body[1:]
        case b"\x02":
            # Bytes that another program wrote may be few, and inflate without end.
            return zlib.decompressobj().decompress(body[1:], MOST)
    return b""
