"""A notification: one work unit rendered for one destination. A retry carries it, and so calls no API."""

import hashlib
import json
import uuid
from collections.abc import Iterable
from dataclasses import field, replace
from datetime import datetime
from typing import Annotated, Any, Literal

import orjson
from pydantic import AwareDatetime, BeforeValidator, Field, FiniteFloat, TypeAdapter, ValidationError

from notification_sender.model.destination import Destination, Identifier
from notification_sender.model.errors import Malformed, SchemaViolation, TooLarge
from notification_sender.model.records import dataclass
from notification_sender.model.strict_json import LARGEST
from notification_sender.model.unit import WorkUnit, explain

NAMESPACE = uuid.UUID("6a0f3c9e-52f4-5d0b-9b58-0d6f7e1c2a34")
"""The namespace of notification ids. The id is opaque to other systems."""
_NAMESPACE = NAMESPACE.bytes

MAX_BYTES = 8 * 1024 * 1024
"""Of a notification when it is parked first. Rendered content has at most 1 MiB, which takes 6 MiB in JSON if it
consists of control characters.
"""
MAX_READ = 16 * 1024 * 1024
"""Bytes that ``decode`` reads: as many as RabbitMQ takes. A notification grows with its history, and older versions
parked without a bound. Both must be read all the same.
"""
MAX_DEPTH = 100
"""Of a destination's fields, which have no other bound. Every reader and writer of JSON here takes more."""
MAX_TRIES = 100
"""The last attempts that the history keeps. A notification that is replayed often must not outgrow its message."""
ALWAYS_FITS = 64 * 1024
"""Characters. Shorter content always fits: a character takes at most six bytes in JSON (a control character)."""


MAX_MEMBERS = 1000
"""Members of each list and of ``content``: ten times as many as it ever had. Reporting a fault for each of millions
would hold the event loop for seconds.
"""


def _few(value: Any) -> Any:
    if isinstance(value, list | tuple | dict) and len(value) > MAX_MEMBERS:
        raise ValueError(f"{len(value)} of them, at most {MAX_MEMBERS}")
    return value


Count = Annotated[int, Field(ge=0, le=LARGEST)]


def notification_id(unit: WorkUnit, destination_id: str) -> str:
    """Make the id: the same on every attempt and in every process, without a call of Redis."""
    name = orjson.dumps([unit.organization_id, unit.work_unit_id, unit.fingerprint, destination_id])
    # UUID v5 of RFC 9562, section 5.5. Not by the library, because its own takes five times as long.
    digest = bytearray(hashlib.sha1(_NAMESPACE + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class FailedAttempt:
    """One failed attempt, for readers of the dead letter."""

    attempt: Count
    at: FiniteFloat
    """Seconds since the epoch."""
    error: str
    sent: str


How = Literal["given", "hit", "fetched", "stale", "missing"]
"""How the worker got a fact:

- ``given``: the unit brought it, or it was derived from other facts.
- ``hit``: a fresh copy of the cache.
- ``fetched``: a call for this unit, or for another one at the same time.
- ``stale``: an old copy, because the fetch failed.
- ``missing``: the fact does not exist, or the worker could not get it.
"""


# Without slots orjson writes it six times as fast, and every log line and event contains it.
@dataclass(frozen=True, kw_only=True)
class Provenance:
    """The origin of a fact of the context when the notification was rendered."""

    how: How
    age: FiniteFloat = 0.0
    """Seconds from the fetch to the rendering. For a derived fact: from the first fetch of the facts behind it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """One notification. Parked and dead notifications are its JSON, so either can be moved back to its queue.

    ``decode`` checks the fields. The constructor does not, because its caller has checked unit and destination.
    """

    version: Literal[1] = 1
    notification_id: Identifier
    organization_id: Identifier
    work_unit_id: Identifier
    kind: Identifier
    event: str
    destination: Destination
    content: Annotated[dict[str, str], BeforeValidator(_few)]
    """The rendered parts by the names that the channel's templates have: ``json``, or ``subject txt html``."""
    replays: Count = 0
    """How often it was dead and moved back. The attempts begin at 1 again with each replay."""
    attempt: Annotated[Count, Field(ge=1)] = 1
    expires_at: AwareDatetime | None = None
    tries: Annotated[tuple[FailedAttempt, ...], BeforeValidator(_few)] = ()
    sources: Annotated[dict[str, Provenance], BeforeValidator(_few)] = field(default_factory=dict)
    """By name of the source, for each source that was read."""
    degraded: Annotated[tuple[str, ...], BeforeValidator(_few)] = ()
    """The missing and stale facts, as the notification names them for its recipient."""
    template_version: str = ""
    """A hash of the template files that rendered it."""
    composed_at: FiniteFloat | None = None
    """Seconds since the epoch."""
    unit: dict[str, Any] | None = None
    """The work unit, where the worker may have to check again whether the notification is still relevant."""
    listed: bool = False
    """The destination comes from the organization's record, which may remove it, and not from the unit."""
    accepted: str | None = None
    """The receipt, where the recipient accepted and the ledger was away. It is recorded, and never sent again."""

    def with_failure(self, failed: FailedAttempt) -> "Notification":
        """Add one entry to the history."""
        return replace(self, tries=(*self.tries, failed)[-MAX_TRIES:])

    def next_attempt(self, failed: FailedAttempt) -> "Notification":
        """Make the next attempt: the same bytes, and one more entry in the history."""
        return replace(self.with_failure(failed), attempt=self.attempt + 1)

    def replayed(self, replays: int) -> "Notification":
        """Make the notification of that replay: the schedule starts again, history and content stay."""
        return replace(self, replays=replays, attempt=1) if replays > self.replays else self

    def stub(self) -> bytes:
        """Encode a small dead letter: the ids and the last attempt, without content."""
        return replace(self.without_content(), unit=None, tries=self.tries[-1:]).encode()

    def accepted_as(self, receipt: str) -> "Notification":
        """Keep what the ledger must still record: the ids, the attempt and the receipt, without content."""
        return replace(self.without_content(), accepted=receipt, tries=(), sources={}, unit=None)

    def to_compose_anew(self) -> "Notification":
        """Keep what composing it anew needs. Without its unit it stays as it was rendered."""
        if self.unit is None:
            return self
        own: dict[str, Any] = {"destination_ids": [self.destination.destination_id]}
        if not self.listed:
            own["destinations"] = self.unit.get("destinations") or [_fields(self.destination)]
        bare = replace(self.without_content(), unit=self.unit | own, attempt=1, tries=(), sources={}, degraded=())
        return replace(bare, template_version="")

    def encode(self) -> bytes:
        """Write the JSON of parked and dead notifications. ``decode`` returns the same, for any destination record."""
        try:
            return orjson.dumps(self, default=_plain)
        except TypeError:
            # A message that was written by hand: it has an integer beyond 64 bits, or half a surrogate pair.
            return json.dumps(self, default=_readable).encode()

    def check_bounds(self) -> None:
        """Check that a parked copy can be read back. Call it once, after composing: later the copy grows little.

        Raises:
            TooLarge: it cannot be read back; says which bound it exceeds.

        """
        if self._surely_fits():
            return
        if _deeper(self.destination.extra, MAX_DEPTH):
            raise TooLarge(f"its destination is nested deeper than {MAX_DEPTH}")
        try:
            size = len(self.encode())
        except ValueError:
            raise TooLarge("its destination holds a number of more than 4300 digits") from None
        if size > MAX_BYTES:
            raise TooLarge(f"{size} bytes as it would be parked, at most {MAX_BYTES}")

    def without_content(self) -> "Notification":
        """Keep the ids alone, for a notification that is too large."""
        own = self.destination
        bare = Destination(destination_id=own.destination_id, channel=own.channel, template=own.template)
        return replace(self, destination=bare, content={})

    def _surely_fits(self) -> bool:
        try:
            return len("".join((*self.content.values(), *self.destination.extra.values()))) <= ALWAYS_FITS
        except TypeError:  # a field of the destination is no text
            return False


def _plain(destination: Destination) -> orjson.Fragment:
    """Write a destination with the standard library: orjson would refuse or change some values of a record."""
    return orjson.Fragment(json.dumps(_fields(destination)))


def _readable(value: object) -> dict[str, Any] | str:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, Destination):
        return _fields(value)
    return {name: getattr(value, name) for name in value.__dataclass_fields__}  # type: ignore[attr-defined]


def _fields(destination: Destination) -> dict[str, Any]:
    return destination.model_dump(include=_OWN, exclude_none=True) | destination.extra


def _deeper(value: object, depth: int) -> bool:
    """Whether a JSON value is nested deeper than ``depth``. Level by level: recursion would fail at such a depth."""
    level = [value]
    for _ in range(depth + 1):
        level = [member for it in level if isinstance(it, dict | list) for member in _members(it)]
    return any(isinstance(it, dict | list) for it in level)


def _members(value: dict[str, Any] | list[Any]) -> Iterable[object]:
    return value.values() if isinstance(value, dict) else value


_OWN = set(Destination.model_fields)
_NOTIFICATION = TypeAdapter(Notification)


def decode(body: bytes) -> Notification:
    """Read what ``encode`` wrote, in this version or the one before.

    It is no stricter than ``encode``. Otherwise a notification that was composed, and perhaps tried, could never be
    sent.

    Raises:
        Malformed: the bytes are not JSON.
        SchemaViolation: they are JSON, but no notification.

    """
    if len(body) > MAX_READ:
        raise Malformed(f"{len(body)} bytes, at most {MAX_READ} are read")
    try:
        return _NOTIFICATION.validate_python(json.loads(body.decode()))
    except ValidationError as fault:
        raise SchemaViolation(explain(fault)) from None
    except RecursionError:
        raise Malformed("nested too deep") from None
    except ValueError as fault:
        raise Malformed(f"not JSON: {fault}") from None
