"""The ledger: the state of every unit and notification, and the claims on them."""

from collections.abc import Mapping, Sequence
from typing import Literal, Protocol

from notification_sender.model.records import dataclass
from notification_sender.policy.attempt_report import Verdict
from notification_sender.policy.audit import RecordedOutcome
from notification_sender.policy.limits import Limit


@dataclass(frozen=True, slots=True)
class Key:
    """Names the record of a unit, a notification, a destination or a recipient of one organization."""

    organization_id: str
    kind: Literal["unit", "notification", "destination", "recipient"]
    id: str


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to settle a record: only its holder may, and a later holder has a higher fence."""

    key: Key
    token: str
    fence: int


@dataclass(frozen=True, slots=True)
class Claimed:
    """Claimed. ``unknown``: the lease of an earlier holder ran out after it had begun to send."""

    claim: Claim
    unknown: bool


@dataclass(frozen=True, slots=True)
class Crashed:
    """Claimed, and the fifth lease in a row ran out: its workers died with it, so it becomes dead."""

    claim: Claim


SUSPECT = 2
"""Leases that ran out in a row: its workers died with it, or with another delivery that they had in hand."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """Not claimed: a worker that works on no other suspect may ask once more, with ``alone``."""


@dataclass(frozen=True, slots=True)
class Busy:
    """Another worker holds it for ``delay`` more seconds. It may die with it, so the message is parked."""

    delay: float


HOLD = "retry_after"
"""In place of a limit's name: the destination itself asked for time."""


PAUSED = "paused"
"""In place of a limit's name: an operator paused its organization, its channel or its destination."""


@dataclass(frozen=True, slots=True)
class Paused:
    """An operator holds it back for ``delay`` more seconds, or until it is resumed."""

    delay: float


@dataclass(frozen=True, slots=True)
class Throttled:
    """The limit called ``limit`` allows it after ``delay`` seconds."""

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
    """Not to be sent: its destination is disabled, or its recipient has unsubscribed."""

    reason: Literal["destination_disabled", "unsubscribed"]


ClaimReply = Claimed | Crashed | Suspect | Busy | Settled | Stale
AdmitReply = ClaimReply | Throttled | Paused | Unwanted


@dataclass(frozen=True, slots=True)
class AdmissionRequest:
    """Asks whether an attempt may be sent now. One atomic step: the claim and all its limits."""

    key: Key
    token: str
    replays: int
    attempt: int
    destination: Key
    recipient: Key
    limits: Sequence[Limit]
    channel: str = ""
    destination_id: str = ""
    begun: float | None = None
    """Where the first byte follows at once: now, on the monotonic clock. The claim begins the send as well, like
    ``Ledger.begin``.
    """
    work_unit_id: str = ""
    """For its story: the unit that it is of."""


SLICE = "/"
"""Begins the name of a slice in ``TerminalState.parts``; no id of a notification does."""

State = Literal["delivered", "suppressed", "dead", "done"]


@dataclass(frozen=True, slots=True)
class TerminalState:
    """The terminal record of a unit or a notification."""

    state: State
    text: str
    """The receipt, or the reason (of a notification: and its destination, see ``policy.audit.words``)."""
    notifications: Sequence[str] = ()
    """Of a unit: the ids of its notifications, for the audit."""
    slices: Sequence[str] = ()
    """Of a unit with many destinations: the names of its slices, each with a record of its own."""
    entry: str = ""
    """The end as JSON, for the story, where there was no attempt: a report has its own."""

    @property
    def parts(self) -> tuple[str, ...]:
        """Ids and slices in one list; a slice begins with ``SLICE``, and so ends the name of its record."""
        return (*self.notifications, *(f"{SLICE}{name}" for name in self.slices))


@dataclass(frozen=True, slots=True)
class AttemptReport:
    """An attempt that was made: for the history of its notification, and for the record of its destination."""

    destination: Key
    verdict: Verdict
    history_entry: str
    """The attempt as JSON."""
    hold: float = 0.0
    """Seconds for which the destination wants no notification at all."""


@dataclass(slots=True)
class UnitEnd:
    """The end of a unit that has one notification. It is recorded in one step with the outcome of that, where there is
    such a step: then ``recorded`` is set.
    """

    claim: Claim
    notification_id: str = ""
    recorded: bool = False


Transition = Literal["disabled", "recovered"]
"""The effect of an attempt on its destination: it is disabled, or it accepts again after that."""


@dataclass(frozen=True, slots=True)
class WriteResult:
    """``ours``: whether the claim was still ours; if not, nothing was written. Its truth value is that."""

    ours: bool
    transition: Transition | None = None
    unit_ended: bool = False
    """The ``UnitEnd`` that was given is recorded."""

    def __bool__(self) -> bool:
        return self.ours


class Ledger(Protocol):
    """The state of every unit and notification. Each method is a script: one round trip, one atomic step, Redis's time.

    A destination is disabled for a week if its recipient says that it is gone, or has accepted nothing for days.
    """

    async def claim(self, key: Key, token: str, attempt: int, *, replays: int, alone: bool = True) -> ClaimReply:
        """``replays``: how often it was dead and moved back; a number above the record's reopens a dead record.
        ``alone``: the caller works on no other suspect at the same time.
        """

    async def admit(self, ask: AdmissionRequest) -> AdmitReply: ...
    async def begin(self, claim: Claim) -> bool:
        """The last look before the first byte leaves. False: the claim is not ours any more, nothing may be sent."""

    async def finish(
        self, claim: Claim, final: TerminalState, report: AttemptReport | None = None, unit: UnitEnd | None = None
    ) -> WriteResult:
        """Record the end, and with it that of its ``unit``."""

    async def release(
        self,
        claim: Claim,
        attempt: int,
        *,
        delay: float = 0.0,
        report: AttemptReport | None = None,
        unit: UnitEnd | None = None,
        entry: str = "",
    ) -> WriteResult:
        """Give the claim up. ``attempt`` is that of the parked copy, this one or the next; it comes back in ``delay``
        seconds. Its ``unit`` ends all the same: the parked copy goes on by itself. ``entry``: as of ``TerminalState``.
        """

    async def note_deferral(self, key: Key, entry: str, *, delay: float) -> None:
        """Add a deferral without a claim to the story: JSON. Nothing else is recorded of it."""

    async def keep_withheld(self, key: Key, destination_id: str, message: bytes) -> None:
        """Keep a notification that its destination, which is off, is not sent: an operator may have it sent later. Only
        the latest are kept.
        """

    async def renew(self, claim: Claim) -> bool: ...
    async def note(self, key: Key, final: TerminalState) -> None:
        """Record an end without a claim, if there is no record yet or only a waiting one."""


class BatchTracker(Protocol):
    """The units of a batch that were seen, and their outcomes: for the audit. A batch belongs to one organization."""

    async def register(self, batch_id: str, size: int, key: Key) -> None: ...
    async def batches(self, batch_id: str, organization_id: str | None = None) -> Mapping[str, int]:
        """The announced size of the batch by organization; None: of all organizations that have such a batch. An
        organization of which no unit was seen is missing.
        """

    async def unit_states(self, batch_id: str, organization_id: str) -> Mapping[str, Sequence[RecordedOutcome]]:
        """By the ledger id of every unit seen: the outcomes of its notifications, or its own if it has none."""

    async def unseen(self, batch_id: str, organization_id: str) -> int:
        """How many units of the batch were announced and not seen. Cheap, however large the batch is."""
