"""What the heart needs from the world, in its own words. Adapters fulfil these; no foreign exception crosses them.

Everything that can be away raises ``Unready``; times are seconds, epoch times are seconds since 1970 (UTC).
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from notification_sender.model.destination import Destination
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Receipt
from notification_sender.policy.limits import Limit
from notification_sender.policy.story import Verdict


class Clock(Protocol):
    """Wall time for what the world sees, monotonic time for durations."""

    def now(self) -> float: ...
    def monotonic(self) -> float: ...
    async def sleep(self, seconds: float) -> None: ...


Dice = Callable[[], float]
"""Uniform in [0, 1)."""


# --- the broker -------------------------------------------------------------------------------------------


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
    replayed: bool
    """Moved back from the dead letters (``x-reason``), or put off since (``x-replayed``)."""
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
    replayed: bool = False
    """Still a replay of a dead one: it was put off before all that it opens again was open."""
    bugs: int = 0


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """What the dead queue gets: the body as it is, and four headers that say why."""

    body: bytes
    reason: str
    detail: str
    stage: str
    first_seen: float


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


# --- the ledger -------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Key:
    """Whose record: a unit, a notification, a destination or a recipient of one organization."""

    organization_id: str
    kind: Literal["unit", "notification", "destination", "recipient"]
    id: str


@dataclass(frozen=True, slots=True)
class Claim:
    """Ours for now: only its holder may settle, and a later holder has a higher fence."""

    key: Key
    token: str
    fence: int


@dataclass(frozen=True, slots=True)
class Mine:
    """Claimed. ``unknown``: the lease of somebody before us ran out after it had begun to send."""

    claim: Claim
    unknown: bool


@dataclass(frozen=True, slots=True)
class Crashed:
    """Claimed, and the fifth lease in a row ran out: its workers died with it. To be made dead."""

    claim: Claim


@dataclass(frozen=True, slots=True)
class Busy:
    """Somebody else holds it for ``delay`` more seconds; they may die with it, so never ack unparked."""

    delay: float


HOLD = "retry_after"
"""In place of a limit's name: the destination itself asked for time."""


@dataclass(frozen=True, slots=True)
class Throttled:
    """A limit says not before ``delay`` seconds; ``limit`` is its name."""

    delay: float
    limit: str


@dataclass(frozen=True, slots=True)
class Settled:
    """Over already: ``state`` is delivered, suppressed, dead or done."""

    state: str


@dataclass(frozen=True, slots=True)
class Stale:
    """The ledger is past this message's attempt: another copy carries the work on."""


@dataclass(frozen=True, slots=True)
class Unwanted:
    """Nothing is sent there: its destination is switched off, or its recipient wants nothing."""

    reason: Literal["destination_disabled", "unsubscribed"]


ClaimReply = Mine | Crashed | Busy | Settled | Stale
AdmitReply = ClaimReply | Throttled | Unwanted


@dataclass(frozen=True, slots=True)
class Ask:
    """May this attempt be sent now? One atomic step: the claim and all its limits."""

    key: Key
    token: str
    attempt: int
    replayed: bool
    destination: Key
    recipient: Key
    limits: Sequence[Limit]


State = Literal["delivered", "suppressed", "dead", "done"]


@dataclass(frozen=True, slots=True)
class Final:
    """The terminal record of a unit or a notification."""

    state: State
    text: str
    """The receipt, or the reason."""
    notifications: Sequence[str] = ()
    """Of a unit: the ids of what became of it, for the audit."""


@dataclass(frozen=True, slots=True)
class Tried:
    """An attempt that was made: for the story of its notification, and for the record of its destination."""

    destination: Key
    verdict: Verdict
    story: str
    """The attempt as JSON."""
    hold: float = 0.0
    """Seconds for which the destination wants nothing at all."""


Turn = Literal["disabled", "recovered"]
"""What an attempt may do to its destination: switch it off, or be the first that is accepted after that."""


@dataclass(frozen=True, slots=True)
class Written:
    """``ours``: the claim still was, else nothing was written. False where it is not."""

    ours: bool
    turn: Turn | None = None

    def __bool__(self) -> bool:
        return self.ours


class Ledger(Protocol):
    """What became of every unit and notification. All scripts: one round trip, one atomic step, the store's time.

    A destination is switched off for a week where its recipient says that it is gone, or has accepted nothing for days.
    """

    async def claim(self, key: Key, token: str, attempt: int, *, replayed: bool) -> ClaimReply: ...
    async def admit(self, ask: Ask) -> AdmitReply: ...
    async def begin(self, claim: Claim) -> bool:
        """The last look before the first byte leaves. False: it is not ours any more, nothing may be sent."""

    async def finish(self, claim: Claim, final: Final, tried: Tried | None = None) -> Written:
        """Record the end."""

    async def release(self, claim: Claim, attempt: int, *, delay: float = 0.0, tried: Tried | None = None) -> Written:
        """Give the claim up; ``attempt`` is the one that the parked copy carries: this one, or the next. It comes back
        in ``delay`` seconds.
        """

    async def renew(self, claim: Claim) -> bool: ...
    async def note(self, key: Key, final: Final) -> None:
        """Record an end that was never claimed, where there is no record yet or only one that waits."""


class Rollcall(Protocol):
    """Which units of a batch were seen, and what became of them: for the audit."""

    async def enroll(self, batch_id: str, size: int, key: Key) -> None: ...
    async def expected(self, batch_id: str) -> int | None:
        """The size that its units announced, None if none was seen."""

    async def fates(self, batch_id: str) -> Mapping[str, Sequence[str]]:
        """Of every unit seen, by its key: the states of its notifications, or its own where it has none."""


# --- context ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Look:
    """What the shelf says of one fact. Seconds, by the store's clock."""

    body: bytes | None
    """The copy, None where there is none that the caller can use."""
    fetched: float
    """Epoch time at which its fetch began, by the clock of whoever fetched it."""
    soft: float
    """How long it is still fresh; below 0: it grows old, and somebody fetches it anew."""
    hard: float
    """How long it may still be served while nothing is wrong; below 0: only in place of a fetch that fails."""
    fetcher: Literal["nobody", "you", "other"]
    lease: float = 0.0
    """How long somebody else's lease to fetch it lasts, if it is not renewed."""


@dataclass(frozen=True, slots=True)
class Keep:
    """A fetched fact, and for how many seconds from now: fresh, served, kept. ``fetched`` as of ``Look``."""

    body: bytes
    fetched: float
    soft: float
    hard: float
    ttl: float


class Shelf(Protocol):
    """Where fetched facts are kept for the whole fleet, and where it is settled who fetches. The facts of one call
    are one organization's. ``token`` names one fetch: leases are held under it for seconds only.

    The cache is an optimization: while the store is away everybody fetches, and nothing is kept.
    """

    async def look(self, facts: Mapping[str, float], token: str) -> list[Look]:
        """By key the ``fetched`` of a copy that the caller cannot use, or 0. Those for which the answer says ``you``
        are leased to the caller, who fills them or gives them up.
        """

    async def extend(self, keys: Sequence[str], token: str) -> None:
        """Go on holding the leases."""

    async def fill(self, facts: Mapping[str, Keep | None], token: str, error: str = "") -> None:
        """Keep what was fetched, give up the lease of every one, wake those who wait. ``error``: why there is nothing.

        What somebody else fetched since the lease ran out is not overwritten.
        """


@dataclass(frozen=True, slots=True)
class Share:
    """What one process has of the calls that the fleet may have under way at one API."""

    budget: int
    under_way: int
    held: int
    """What it was allotted before."""
    wanted: int
    """Calls under way, and those that wait."""


class Fleet(Protocol):
    """What the processes of a fleet settle between them about the APIs they call, and about the hosts they send to
    (as ``host:<name>``). Raises Unready.
    """

    async def allot(self, api: str, pod: str, share: Share) -> int:
        """What the process holds from now on; all of them together never more than the budget."""

    async def probe(self, api: str, seconds: float) -> bool:
        """Whether the caller is the one who tries an API that was out; it has so long."""

    async def probed(self, api: str) -> None:
        """It has tried."""


class Platform(Protocol):
    """Whether our own APIs bear that one more unit is begun: what cannot be finished is not begun, and waits."""

    def lets_in(self) -> bool:
        """No while an API is out that a unit could not do without; yes now and then, to find out."""

    def enters(self) -> None:
        """A unit is begun."""

    def blame(self, error: Exception) -> None:
        """A unit had to be put off because of this."""

    async def changed(self) -> None:
        """Return when the answer may be another one."""


class News(Protocol):
    """What one process tells all the others at once, by topic. It may be lost: whoever listens must do without, later.

    Topics are names without a prefix, the text is short. A listener is called in the loop, and must not raise.
    """

    async def tell(self, topic: str, text: str) -> None:
        """To every process that listens, this one included. When the store is away nobody hears it."""

    def hear(self, topic: str, listener: Callable[[str], None]) -> None:
        """Call ``listener`` with every text of ``topic`` from now on."""


# --- channels ---------------------------------------------------------------------------------------------


Begin = Callable[[], Awaitable[None]]
"""To be awaited right before the first byte that could make a recipient accept: the claim is looked at for the last
time, and from then on an end without an answer is unknown. Raises ClaimLost and Unready: then nothing may be sent."""


class Holding(Protocol):
    """Claims on which there is work: they are renewed until they are dropped."""

    def take(self, claim: Claim | None) -> bool: ...
    def drop(self, claim: Claim | None) -> None: ...


class Channel(Protocol):
    """How one kind of destination is told. A new one is one file in channels/ and one line in app.py."""

    @property
    def name(self) -> str: ...
    @property
    def parts(self) -> Mapping[str, bool]:
        """The template parts it wants, by suffix (``json``, ``subject``), and whether each is HTML."""

    def address(self, destination: Destination) -> str:
        """Where it goes: the URL, the mail address.

        Raises:
            SchemaViolation: a field of its own is missing or breaks a rule.

        """

    def host(self, address: str) -> str:
        """What fails as a whole when it is unwell, for this address: one breaker for all that goes there."""

    async def send(self, notification: Notification, begin: Begin) -> Receipt:
        """One attempt, within the send deadline. ``begin`` is awaited once there is a connection, and again before
        every further transmission of the same attempt.

        Raises:
            Permanent: the recipient or our rules say never.
            SendFailed: may work later; says whether bytes may have arrived.
            SlowDown: no attempt is used.
            ContextUnavailable: our own platform is unwell; nothing was sent.
            ClaimLost, Unready: from ``begin``; nothing was sent.

        """
