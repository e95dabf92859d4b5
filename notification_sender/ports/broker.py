"""Where messages come from and where they go."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol


class Lane(StrEnum):
    """A queue with slots of its own."""

    UNITS = "units"
    NOTIFICATIONS = "notifications"


@dataclass(frozen=True, slots=True, eq=False)
class Envelope:
    """One delivery of one message. ``token`` is made for this delivery alone: claims are held under it."""

    lane: Lane
    body: bytes
    token: str
    attempt: int
    """Of a unit: how often it was deferred by trouble of our own, and one (``x-attempt``)."""
    misses: int
    """Of a unit: how often its subject was not found (``x-misses``)."""
    first_seen: float
    """Epoch time (``x-first-seen``), of a fresh message its arrival."""
    due: float
    """Epoch time before which it should not be started (``x-due``), 0 for at once."""
    replays: int
    """How often it was dead and moved back (``x-replayed``, and once more with ``x-reason``)."""
    bugs: int
    """How often it met an error that nobody foresaw (``x-bugs``)."""
    tag: object
    """The broker's own handle."""


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that waits ``delay`` seconds and then comes out of ``lane``."""

    lane: Lane
    body: bytes
    delay: float
    first_seen: float
    attempt: int = 1
    misses: int = 0
    replays: int = 0
    bugs: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What the dead queue gets: the body as it is, and headers that say why, and how often it had been moved back."""

    body: bytes
    reason: str
    detail: str
    stage: str
    first_seen: float
    replays: int = 0


class Intake(Protocol):
    """Where messages come from. An acknowledgement that comes too late is no error: the broker delivers again."""

    async def consume(self, lane: Lane, prefetch: int, take: Callable[[Envelope], None]) -> None:
        """Hand every delivery of ``lane`` to ``take``, at most ``prefetch`` unsettled, across reconnections."""

    async def stop(self) -> None:
        """Take no more; what was taken can still be settled."""

    async def ack(self, envelope: Envelope) -> None: ...
    async def give_back(self, envelope: Envelope) -> None:
        """Into the queue again, at once, for anybody."""


class Outbox(Protocol):
    """Where messages go. Returning means that the broker has it for good (publisher confirm)."""

    async def park(self, parked: Parked) -> None: ...
    async def bury(self, letter: DeadLetter) -> None: ...


class Events(Protocol):
    """Where it is told how attempts ended, to whoever wants to know. Nobody waits for that, and nobody fails of it:
    what cannot be sent in time is dropped, and counted.
    """

    def tell(self, topic: str, event: bytes) -> None:
        """``topic`` is what readers choose by (``webhook.delivered``), ``event`` a CloudEvent in JSON."""
