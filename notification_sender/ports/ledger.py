"""What became of every unit and notification."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from notification_sender.policy.limits import Limit
from notification_sender.policy.story import Verdict


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


SUSPECT = 2
"""So many leases in a row ran out: its workers died with it, or with what they had in hand beside it."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """Not claimed. To be asked for once more by whoever works on no other such."""


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


ClaimReply = Mine | Crashed | Suspect | Busy | Settled | Stale
AdmitReply = ClaimReply | Throttled | Unwanted


@dataclass(frozen=True, slots=True)
class Ask:
    """May this attempt be sent now? One atomic step: the claim and all its limits."""

    key: Key
    token: str
    replays: int
    attempt: int
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

    async def claim(self, key: Key, token: str, attempt: int, *, replays: int, alone: bool = True) -> ClaimReply:
        """``replays``: how often it was dead and moved back; only one that comes after its record's opens what is dead.
        ``alone``: what is claimed will be worked on beside no other suspect.
        """

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
