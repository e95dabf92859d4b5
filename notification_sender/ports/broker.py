"""Where messages come from and where they go."""

from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum
from typing import Protocol, TypeVar

from notification_sender.model.errors import Malformed, TooLarge
from notification_sender.model.records import dataclass
from notification_sender.model.trace import TraceContext

Content = TypeVar("Content")


class Lane(StrEnum):
    """A queue with slots of its own."""

    UNITS = "units"
    NOTIFICATIONS = "notifications"


COUNTED = 1_000_000
"""How far attempts and replays are counted. A larger number in a header is not believed. A copy that carried one would
therefore count as an old one when it comes back, and be dropped.
"""


@dataclass(frozen=True, slots=True)
class MessageState:
    """The counters of a message: its headers carry them through every parked copy, up to the dead letter."""

    first_seen: float
    """Epoch time (``x-first-seen``). Of a fresh message its arrival."""
    attempt: int = 1
    """How often a unit was deferred by a fault of our own platform, plus one (``x-attempt``)."""
    misses: int = 0
    """How often the subject of a unit was not found (``x-misses``)."""
    replays: int = 0
    """How often it was dead and moved back (``x-replayed``, and once more with ``x-reason``)."""
    bugs: int = 0
    """How often it met an unexpected error (``x-bugs``)."""
    paused: float = 0.0
    """Seconds for which operators have paused it (``x-paused``): they do not count towards its age."""
    trace: TraceContext | None = None
    """What its next span continues (``traceparent``, ``x-previous-span``)."""

    def age(self, now: float) -> float:
        """Seconds since it was first seen, without those for which it was paused. Each bound of age means this one."""
        return max(now - self.first_seen - self.paused, 0.0)

    @property
    def next_attempt(self) -> "MessageState":
        """Of the copy of a unit that is deferred."""
        return replace(self, attempt=min(self.attempt + 1, COUNTED))


@dataclass(frozen=True, slots=True)
class Wait:
    """Why a parked copy waits, and since when."""

    step: str
    """As ``telemetry/steps.py`` names it (``x-waits-for``)."""
    since: float
    """Epoch time (``x-waits-since``)."""


@dataclass(frozen=True, slots=True, eq=False)
class Envelope:
    """One delivery of one message. ``token`` is made for this delivery alone: claims are held under it."""

    lane: Lane
    body: bytes
    token: str
    state: MessageState
    due: float
    """Epoch time before which it should not be started (``x-due``), 0 for at once."""
    tag: object
    """The broker's own handle."""
    fault: str = ""
    """Why the headers cannot be read; then ``state`` is that of a fresh message."""
    wait: Wait | None = None
    """Of a parked copy, None where it does not say."""
    waited: float = 0.0
    """Without ``wait``: seconds from its first sight, or from when it was due, to its arrival."""
    waiting_since: float | None = None
    """When it first waited in this process for a share that was full, monotonic, s."""

    def read(self, decode: Callable[[bytes], Content]) -> Content:
        """The decoded body.

        Raises:
            Malformed: the headers cannot be read.
            Permanent: ``decode`` refuses the body.
        """
        if self.fault:
            raise Malformed(self.fault)
        return decode(self.body)


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that waits ``delay`` seconds and then comes out of ``lane``."""

    lane: Lane
    body: bytes
    delay: float
    state: MessageState
    wait: Wait | None = None
    """Why it waits, for whoever takes it next."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead queue: the body as it is, and headers that say why and how often it was moved back."""

    body: bytes
    reason: str
    detail: str
    stage: str
    state: MessageState
    stub: bytes = b""
    """Replaces a body that is too large: the ids without the content."""

    def without_content(self, fault: TooLarge) -> "DeadLetter":
        """The letter for a broker that does not take so large a message."""
        detail = f"{fault}; it was dead before that, {self.reason}: {self.detail}"
        return replace(self, body=self.stub, reason=fault.reason, detail=detail)


@dataclass(frozen=True, slots=True)
class QueueDepths:
    """Messages that no process holds. ``ladder``: by rung of the delay ladder, shortest first."""

    units: int
    notifications: int
    dead: int
    ladder: tuple[int, ...] = ()


class Queues(Protocol):
    """What the broker says of its queues."""

    @property
    def blocked(self) -> bool:
        """The broker has an alarm and takes no publishes of this process, as far as it has noticed."""

    async def depths(self) -> QueueDepths:
        """Raises Unready: the broker is away."""


class Intake(Protocol):
    """Where messages come from. An acknowledgement that comes too late is no error: the broker delivers again."""

    async def consume(self, lane: Lane, prefetch: int, take: Callable[[Envelope], None]) -> None:
        """Call ``take`` with every delivery of ``lane``, at most ``prefetch`` unsettled, across reconnections."""

    async def stop(self) -> None:
        """Take no more. Deliveries taken before can still be settled."""

    async def ack(self, envelope: Envelope) -> None: ...
    def holds(self, envelope: Envelope) -> bool:
        """Whether it can still be settled. Not so after a lost connection: the broker delivers it again."""

    async def give_back(self, envelope: Envelope) -> None:
        """Requeue it at once, for any consumer."""


class Outbox(Protocol):
    """Where messages go. Returning means that the broker has it for good (publisher confirm)."""

    async def park(self, parked: Parked) -> None:
        """Raises TooLarge: no message of this size is taken."""

    async def bury(self, letter: DeadLetter) -> None:
        """Publish it as a dead letter, without its content if the broker takes no message of its size."""


class Events(Protocol):
    """Where final outcomes are published as CloudEvents. No delivery waits for that or fails of it: events that cannot
    be sent in time are dropped and counted.
    """

    def publish_event(self, topic: str, event: bytes) -> None:
        """``topic`` is the routing key (``webhook.delivered``), ``event`` a CloudEvent in JSON."""
