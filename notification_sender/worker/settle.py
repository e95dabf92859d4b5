"""The settle table: what each outcome means for its message. The outcome is made durable first, then the caller acks.

A crash between two steps repeats a step, and the ledger absorbs that. Nothing is lost between any two of them.
"""

import hashlib
from collections import OrderedDict
from dataclasses import replace
from typing import ClassVar, assert_never

import structlog

from notification_sender.model.errors import Permanent, TooLarge, Unready
from notification_sender.model.notification import MAX_READ
from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed, Outcome, Receipt, Suppressed
from notification_sender.model.records import dataclass
from notification_sender.policy.attempt_report import end_entry
from notification_sender.policy.audit import WITHHELD, words
from notification_sender.ports.broker import DeadLetter, Envelope, Lane, MessageState, Parked
from notification_sender.ports.ledger import AttemptReport, Claim, Key, TerminalState, UnitEnd, WriteResult
from notification_sender.telemetry.attempt_record import AttemptFacts
from notification_sender.telemetry.outcomes import OutcomeReporter
from notification_sender.telemetry.steps import RECORD, UNREADY, current, wait_of
from notification_sender.worker.leases import LeaseKeeper
from notification_sender.worker.retry_unready import RetryingLedger, RetryingOutbox

REMEMBERED = 10_000
"""Acceptances kept in process that could not be recorded: about 2 MB."""

ACCEPTANCE_SECONDS = 2.0
"""Time to record an acceptance. After that the worker parks a message that records it later, for as long again. If that
fails too, the delivery is acked all the same: a second send would be worse than a gap that is counted."""

WITHHELD_BYTES = 8192
"""Of a withheld notification that is kept. The unit of a larger one can only be published again."""

DONE = '{"step":"end","outcome":"done"}'
"""The entry of a unit in its story."""

RECORD_AGAIN_SECONDS = 5.0
"""Delay of that message."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True, kw_only=True)
class Settlement:
    """A unit or a notification that is being settled: its record, and the bodies of the message that carries it on."""

    what: ClassVar[str]
    """``unit`` or ``notification``, for the log event."""
    lane: ClassVar[Lane]
    key: Key
    claim: Claim | None
    state: MessageState
    """Of a deferred copy."""
    stage: str
    """Where it ended, for its dead letter."""
    facts: AttemptFacts
    """For its record in log, metrics and events."""
    report: AttemptReport | None = None
    """The attempt that was made, for the ledger."""
    unit_end: UnitEnd | None = None
    """The end of its unit, where that ends with it."""

    def same(self) -> bytes:
        """The body of a deferred copy and of a dead letter."""
        raise NotImplementedError

    def stub(self) -> bytes:
        """The body of a dead letter that must be small."""
        raise NotImplementedError

    def next_attempt(self, failed: Failed) -> bytes:
        """The body of the next attempt, for a notification that failed."""
        raise TypeError(f"a {self.what} does not fail, it is deferred: {failed}")

    def withheld(self) -> bytes:
        """The body of the message that sends it later, for a notification whose destination is off."""
        raise TypeError(f"a {self.what} has no destination")

    def acceptance(self, receipt: Receipt) -> bytes:
        """The body of the message that records an acceptance later, for a notification that was accepted."""
        raise TypeError(f"a {self.what} is not accepted: {receipt}")


class Settler:
    """Parks, buries and records; each step is repeated while RabbitMQ or Redis is away."""

    def __init__(
        self, *, outbox: RetryingOutbox, ledger: RetryingLedger, leases: LeaseKeeper, reporter: OutcomeReporter
    ) -> None:
        self._outbox = outbox
        self._ledger = ledger
        self._ledger_for_acceptances = ledger.within(ACCEPTANCE_SECONDS)
        self._outbox_for_acceptances = outbox.within(ACCEPTANCE_SECONDS)
        self._leases = leases
        self._reporter = reporter
        self._remembered: OrderedDict[str, None] = OrderedDict()

    def accepted_unrecorded(self, notification_id: str) -> bool:
        """Whether this process saw it accepted and could not record that."""
        return notification_id in self._remembered

    async def settle(self, work: Settlement, outcome: Outcome, *, reported: bool = False) -> None:
        """Make ``outcome`` durable, then report it, unless it is ``reported`` already.

        Raises:
            Unready: RabbitMQ or Redis stayed away too long. Nothing is lost, the delivery is not acked.
        """
        current().enter(RECORD)
        took = self._leases.take(work.claim)
        try:
            await self._make_durable(work, outcome)
        except TooLarge as fault:  # a copy that cannot be parked
            outcome = Dead.of(fault)
            await self._make_durable(work, outcome)
        finally:
            if took:
                self._leases.drop(work.claim)
        if not reported:
            subject, first_seen = work.key.id, work.state.first_seen
            self._reporter.report(work.what, outcome, work.facts, subject=subject, first_seen=first_seen)

    async def finish(
        self,
        work: Settlement,
        notifications: tuple[str, ...],
        slices: tuple[str, ...] = (),
        unit_end: UnitEnd | None = None,
    ) -> None:
        """Record the end of a unit: its notifications (ids) are settled, its slices (names) are handed on. ``unit_end``
        may have been recorded with its only notification.
        """
        if unit_end is None or not unit_end.recorded:
            await self._record(work, TerminalState("done", "", notifications, slices, DONE))
        self._reporter.done(work.what, work.facts, notifications=len(notifications))

    async def hand_on(self, parked: Parked) -> None:
        """Park a slice or a deferred copy.

        Raises:
            TooLarge: the broker does not take it, or the worker would not read it again.
        """
        if len(parked.body) > MAX_READ:
            raise TooLarge(f"{len(parked.body)} bytes, at most {MAX_READ} are read again")
        await self._outbox.park(parked)

    async def refuse(self, envelope: Envelope, fault: Permanent) -> None:
        """A message that cannot be read has no record: it becomes a dead letter as it came."""
        current().enter(RECORD)
        letter = DeadLetter(envelope.body, fault.reason, str(fault), "decode", envelope.state)
        await self._outbox.bury(letter)
        what, subject = envelope.lane.value.removesuffix("s"), hashlib.sha256(envelope.body).hexdigest()
        self._reporter.report(
            what, Dead.of(fault), AttemptFacts(), subject=subject, first_seen=envelope.state.first_seen
        )

    async def _make_durable(self, work: Settlement, outcome: Outcome) -> None:
        match outcome:
            case Delivered(receipt):
                await self._record_acceptance(work, receipt)
            case Suppressed(recorded=recorded):
                if not recorded:
                    await self._keep_withheld(work, outcome)
                    text = _words(work, str(outcome.because))
                    await self._record(work, TerminalState("suppressed", text, entry=_entry(work, outcome)))
            case Deferred():
                entry = "" if outcome.recorded else _entry(work, outcome)
                await self._park(work, outcome, work.same(), work.state, entry)
            case Failed():
                state = replace(work.state, attempt=work.state.attempt + 1)
                await self._park(work, outcome, work.next_attempt(outcome), state)
            case Dead(reason, detail, error):
                stub = work.stub()
                body = stub if isinstance(error, TooLarge) else work.same()
                await self._outbox.bury(DeadLetter(body, reason, detail, work.stage, work.state, stub))
                await self._record(work, TerminalState("dead", _words(work, reason), entry=_entry(work, outcome)))
            case _:
                assert_never(outcome)

    async def _keep_withheld(self, work: Settlement, outcome: Suppressed) -> None:
        """Before its end is recorded: a crash in between repeats it, and the ledger lets one copy through."""
        destination_id = work.facts.destination_id
        if outcome.reason != WITHHELD or not destination_id:
            return
        message = work.withheld()
        if len(message) <= WITHHELD_BYTES:
            await self._ledger.keep_withheld(work.key, destination_id, message)

    async def _park(
        self, work: Settlement, outcome: Deferred | Failed, body: bytes, state: MessageState, entry: str = ""
    ) -> None:
        delay = outcome.delay
        await self.hand_on(Parked(work.lane, body, delay, state, current().wait(wait_of(outcome))))
        claim = work.claim
        if claim is None:
            if entry:
                await self._ledger.note_deferral(work.key, entry, delay=delay)
            return
        # Only after the copy is parked: a ledger ahead of its message would drop the message as stale.
        released = self._ledger.release(
            claim, state.attempt, delay=delay, report=work.report, unit=work.unit_end, entry=entry
        )
        self._written(work, await released)

    async def _record(self, work: Settlement, final: TerminalState, ledger: RetryingLedger | None = None) -> bool:
        """Whether the claim was still ours."""
        ledger = ledger or self._ledger
        if work.claim is None:
            await ledger.note(work.key, final)
            return True
        return self._written(work, await ledger.finish(work.claim, final, work.report, work.unit_end))

    def _written(self, work: Settlement, written: WriteResult) -> bool:
        if not written.ours:
            _log.warning("claim.lost", organization_id=work.key.organization_id, id=work.key.id)
        if work.unit_end is not None:
            work.unit_end.recorded = written.unit_ended
        if written.transition is not None and work.report is not None:
            self._reporter.destination_changed(written.transition, work.report.verdict, work.facts)
        return written.ours

    async def _record_acceptance(self, work: Settlement, receipt: Receipt) -> None:
        recorded = False
        try:
            recorded = await self._recorded(work, receipt) or await self._recorded_later(work, receipt)
        finally:
            # Also where the end of the process cut it off.
            if not recorded:
                self._remember(work.key.id)
                self._reporter.unrecorded()

    async def _recorded(self, work: Settlement, receipt: Receipt) -> bool:
        """False: Redis is away, or has lost the claim meanwhile."""
        try:
            entry = _entry(work, Delivered(receipt)) if work.report is None else ""
            final = TerminalState("delivered", receipt.text, entry=entry)
            return await self._record(work, final, self._ledger_for_acceptances)
        except Unready as fault:
            _log.warning("acceptance.unrecorded", notification_id=work.key.id, error=str(fault))
            return False

    async def _recorded_later(self, work: Settlement, receipt: Receipt) -> bool:
        """Whether a message was parked by which any worker records it when Redis is back."""
        body = work.acceptance(receipt)
        parked = Parked(work.lane, body, RECORD_AGAIN_SECONDS, work.state, current().unreported(UNREADY))
        try:
            await self._outbox_for_acceptances.park(parked)
        except Unready as fault:
            _log.error("acceptance.remembered", notification_id=work.key.id, error=str(fault))
            return False
        return True

    def _remember(self, notification_id: str) -> None:
        self._remembered[notification_id] = None
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)


def _entry(work: Settlement, outcome: Outcome) -> str:
    """For the story. Empty after an attempt, whose report has an entry."""
    if work.report is not None:
        return ""
    facts = {"work_unit_id": work.facts.work_unit_id, "destination_id": work.facts.destination_id}
    return end_entry(outcome, step=work.stage, attempt=work.state.attempt, facts=facts)


def _words(work: Settlement, reason: str) -> str:
    """The reason with its destination, for the audit: the ledger keeps it nowhere else."""
    return words(reason, work.facts.destination_id or "")
