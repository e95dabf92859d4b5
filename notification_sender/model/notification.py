"""One work unit rendered for one destination: what a retry carries, so that it costs no API call."""

import hashlib
import uuid
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal

import orjson
from pydantic import AwareDatetime, Field, TypeAdapter, ValidationError

from notification_sender.model.destination import Destination, Identifier
from notification_sender.model.errors import SchemaViolation
from notification_sender.model.unit import WorkUnit, explain, read_json

NAMESPACE = uuid.UUID("6a0f3c9e-52f4-5d0b-9b58-0d6f7e1c2a34")
"""Only ours: the id is opaque to everybody else."""

MAX_BYTES = 4 * 1024 * 1024
"""A rendered email is larger than the unit it came from; the broker's own limit is 16 MiB."""


def notification_id(unit: WorkUnit, destination_id: str) -> str:
    """The same on every attempt and in every process, without asking a store."""
    name = orjson.dumps([unit.organization_id, unit.work_unit_id, unit.fingerprint, destination_id])
    # UUID v5 as RFC 9562 makes it (section 5.5): by hand, because the library's own costs five times as much.
    digest = bytearray(hashlib.sha1(NAMESPACE.bytes + name, usedforsecurity=False).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x50
    digest[8] = digest[8] & 0x3F | 0x80
    text = digest.hex()
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """One attempt that failed: for the dead letter and whoever reads it."""

    attempt: int
    at: float
    """Seconds since the epoch."""
    error: str
    sent: str


How = Literal["given", "hit", "fetched", "stale", "missing"]
"""``given``: by the unit, or made of other facts; ``hit``: a fresh copy; ``fetched``: for this unit, or for one at
the same time; ``stale``: an old copy in place of a fetch that failed; ``missing``: there is none, or it could not be
had."""


# Without slots: orjson writes it six times as fast, and it is written in every log line and event.
@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a fact of the context came from when it was rendered."""

    how: How
    age: float = 0.0
    """Seconds from its fetch to the rendering; of what was made of others, from the first of theirs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Notification:
    """Parked and dead notifications are this, as JSON: moving either back to its queue works.

    Checked when it is read, not when it is made: its maker has checked the unit and the destination already.
    """

    version: Literal[1] = 1
    notification_id: Identifier
    organization_id: Identifier
    work_unit_id: Identifier
    kind: Identifier
    event: str
    destination: Destination
    content: dict[str, str]
    """The rendered parts by name, as the channel's templates name them: ``json``, or ``subject txt html``."""
    replays: Annotated[int, Field(ge=0)] = 0
    """How often it was dead and moved back; the attempts begin again with each."""
    attempt: Annotated[int, Field(ge=1)] = 1
    expires_at: AwareDatetime | None = None
    tries: tuple[Try, ...] = ()
    sources: dict[str, Provenance] = field(default_factory=dict)
    """By source that was read."""
    degraded: tuple[str, ...] = ()
    """What was missing or old, as the recipient was told."""
    template_version: str = ""
    """A hash of the files that it was rendered by."""
    composed_at: float | None = None
    """Seconds since the epoch."""
    unit: dict[str, Any] | None = None
    """The work unit, where it may be asked again whether this is still worth telling."""
    listed: bool = False
    """Its destination is one of its organization's own, which may take it away; not given by the unit."""

    def tried(self, failed: Try) -> "Notification":
        """The same, with one more entry in its story."""
        return replace(self, tries=(*self.tries, failed))

    def again(self, failed: Try) -> "Notification":
        """The next attempt: the same bytes, one more entry in its story."""
        return replace(self.tried(failed), attempt=self.attempt + 1)

    def afresh(self, replays: int) -> "Notification":
        """As in that replay of a dead one: the schedule starts again, the story is kept. What is in it is as it was."""
        return replace(self, replays=replays, attempt=1) if replays > self.replays else self

    def encode(self) -> bytes:
        """As parked and dead-lettered."""
        return orjson.dumps(self, default=_plain)


def _plain(destination: Destination) -> dict[str, Any]:
    return destination.model_dump(mode="json", exclude_none=True)


_NOTIFICATION = TypeAdapter(Notification)


def decode(body: bytes) -> Notification:
    """Read what ``encode`` wrote.

    Raises:
        Malformed: not JSON.
        SchemaViolation: JSON, but no notification.

    """
    try:
        return _NOTIFICATION.validate_python(read_json(body, limit=MAX_BYTES))
    except ValidationError as fault:
        raise SchemaViolation(explain(fault)) from None
