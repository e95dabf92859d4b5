"""The notifications lane: one attempt of a notification, and its settlement."""

from collections.abc import Mapping
from dataclasses import replace

from notification_sender.admission import key_of
from notification_sender.compose import Composed
from notification_sender.deliver import AttemptResult, Deliverer
from notification_sender.fleet.pauses import Pauses
from notification_sender.model.errors import Permanent, SendFailed
from notification_sender.model.notification import FailedAttempt, Notification, decode
from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed, Outcome, Receipt
from notification_sender.model.records import dataclass
from notification_sender.model.trace import TraceContext
from notification_sender.model.unit import decode as decode_unit
from notification_sender.model.unit import subject_fields
from notification_sender.policy.attempt_report import LONGEST_ERROR
from notification_sender.ports.broker import Envelope, Lane, MessageState
from notification_sender.ports.clock import Clock
from notification_sender.ports.ledger import UnitEnd
from notification_sender.telemetry.attempt_record import AttemptFacts, milliseconds
from notification_sender.telemetry.steps import ADMIT, SEND, current, wait_of
from notification_sender.worker.attempts import Attempts
from notification_sender.worker.bulkheads import BACKED_UP, ChannelBulkhead
from notification_sender.worker.entrance import Entrance
from notification_sender.worker.handled import SETTLED, SHORT_WAIT, AskAgain, Settled
from notification_sender.worker.returned import Returned
from notification_sender.worker.settle import Settlement, Settler
from notification_sender.worker.waiting import Waiting


@dataclass(frozen=True, slots=True, kw_only=True)
class NotificationSettlement(Settlement):
    """A notification after ``outcome``."""

    what = "notification"
    lane = Lane.NOTIFICATIONS
    notification: Notification
    outcome: Outcome
    clock: Clock
    unit: bytes | None = None
    """The body of its unit, where that is in hand."""

    def same(self) -> bytes:
        return self._with_last_attempt().encode()

    def stub(self) -> bytes:
        return self._with_last_attempt().stub()

    def next_attempt(self, failed: Failed) -> bytes:
        return self.notification.next_attempt(self._failed_attempt(failed.error)).encode()

    def withheld(self) -> bytes:
        notification = self.notification
        if notification.unit is None and self.unit is not None:
            notification = replace(notification, unit=subject_fields(decode_unit(self.unit)))
        return notification.to_compose_anew().encode()

    def acceptance(self, receipt: Receipt) -> bytes:
        return self.notification.accepted_as(receipt.text).encode()

    def _with_last_attempt(self) -> Notification:
        """With the failed attempt in its history, where there was one."""
        if isinstance(self.outcome, Dead | Failed) and isinstance(self.outcome.error, SendFailed):
            return self.notification.with_failure(self._failed_attempt(self.outcome.error))
        return self.notification

    def _failed_attempt(self, error: SendFailed) -> FailedAttempt:
        return FailedAttempt(
            attempt=self.notification.attempt, at=self.clock.now(), error=str(error)[:LONGEST_ERROR], sent=error.sent
        )


class Notifications:
    """The handler of the notifications lane, and of each notification that a unit sends itself."""

    def __init__(
        self,
        *,
        attempts: Attempts,
        deliverer: Deliverer,
        returned: Returned,
        settler: Settler,
        entrance: Entrance,
        bulkheads: Mapping[str, ChannelBulkhead],
        pauses: Pauses,
        clock: Clock,
    ) -> None:
        """``bulkheads``: by channel, as for ``FanOut``."""
        self._attempts = attempts
        self._deliverer = deliverer
        self._returned = returned
        self._settler = settler
        self._entrance = entrance
        self._bulkheads = bulkheads
        self._pauses = pauses
        self._clock = clock

    async def handle(self, envelope: Envelope) -> Settled | AskAgain | Waiting:
        """A notification that has come due."""
        try:
            notification = _read(envelope)
        except Permanent as fault:
            await self._settler.refuse(envelope, fault)
            return SETTLED
        if notification.accepted is not None:
            accepted = Composed(notification, Delivered(Receipt(notification.accepted)))
            return await self._end(await self._attempts.make(accepted, envelope), envelope)
        if self._pauses.active and (paused := self._pauses.of(notification)):
            # Before anything ends it: the time of a pause does not count towards its age.
            return await self._end(AttemptResult(notification, paused), envelope)
        if end := self._deliverer.given_up(notification, envelope.state.age(self._clock.now())):
            return await self._end(await self._attempts.make(Composed(notification, end), envelope), envelope)
        organization, destination = notification.organization_id, notification.destination
        place = self._entrance.ask(envelope, organization, destination.destination_id, destination)
        if isinstance(place, Waiting | AskAgain):
            return place
        if isinstance(place, Deferred):
            return await self._end(AttemptResult(notification, place), envelope)
        channel = destination.channel
        bulkhead = self._bulkheads.get(channel)
        with place:
            if bulkhead is None:
                return await self._again(notification, envelope)
            # It is read again when there is a place: a waiting notification must not hold its content twice.
            del notification
            return await self._again_in(bulkhead, organization, channel, envelope)

    async def _again_in(
        self, bulkhead: ChannelBulkhead, organization: str, channel: str, envelope: Envelope
    ) -> Settled | AskAgain:
        steps = current()
        steps.enter(SEND + channel)
        async with bulkhead.place(organization) as away:
            steps.enter(ADMIT)
            notification = _read(envelope)
            if not away:
                return await self._again(notification, envelope)
            full = Deferred(away, BACKED_UP, channel)
            return await self._end(AttemptResult(notification, full), envelope)

    async def _again(self, notification: Notification, envelope: Envelope) -> Settled | AskAgain:
        composed = await self._returned.composed(notification, envelope)
        return await self._end(await self._attempts.make(composed, envelope), envelope, composed.seconds)

    async def _end(
        self, attempt: AttemptResult, envelope: Envelope, compose: float | None = None
    ) -> Settled | AskAgain:
        if isinstance(attempt.outcome, Deferred) and attempt.claim is None and attempt.outcome.delay < SHORT_WAIT:
            return AskAgain(attempt.outcome.delay, wait_of(attempt.outcome))
        await self._settle(attempt, envelope, compose)
        return SETTLED

    async def first(self, composed: Composed, envelope: Envelope, unit_end: UnitEnd | None = None) -> str:
        """The first attempt, in the slot of its unit. A further one becomes a message of its own. Returns its id.
        ``unit_end`` is recorded with it where that takes no further step.
        """
        if replays := envelope.state.replays:
            composed = replace(composed, notification=composed.notification.replayed(replays))
        if unit_end is not None:
            unit_end.notification_id = composed.notification.notification_id
        await self._settle(await self._attempts.make(composed, envelope), envelope, composed.seconds, unit_end)
        return composed.notification.notification_id

    async def _settle(
        self,
        attempt: AttemptResult,
        envelope: Envelope,
        compose: float | None = None,
        unit_end: UnitEnd | None = None,
    ) -> None:
        notification = attempt.notification
        put_off = _put_off(attempt)
        if put_off or attempt.report:
            self._entrance.record_deferral(notification.organization_id, put_off=put_off)
        settlement = NotificationSettlement(
            notification=notification,
            outcome=attempt.outcome,
            clock=self._clock,
            key=key_of(notification) if attempt.claim is None else attempt.claim.key,
            claim=attempt.claim,
            state=MessageState(
                first_seen=envelope.state.first_seen,
                attempt=notification.attempt,
                misses=envelope.state.misses + _missed(attempt.outcome),
                replays=notification.replays,
                paused=envelope.state.paused,
                # Not of the unit: each notification has a span of its own, whose attempts it is the parent of.
                trace=_carried(envelope.state.trace) if envelope.state.trace is not None else None,
            ),
            stage="deliver",
            facts=_facts(notification, compose=compose, send=attempt.seconds),
            report=attempt.report,
            unit_end=unit_end,
            unit=envelope.body if envelope.lane is Lane.UNITS else None,
        )
        await self._settler.settle(settlement, attempt.outcome, reported=notification.accepted is not None)


def _carried(came: TraceContext) -> TraceContext:
    """What a copy of the notification carries whose attempt this task has made: ``came`` where traces are off here."""
    trace = current().trace
    return came if trace is None else trace.carried_by_notification()


def _read(envelope: Envelope) -> Notification:
    return envelope.read(decode).replayed(envelope.state.replays)


def _put_off(attempt: AttemptResult) -> float:
    """Seconds until the limit of its organization and channel lets it out, 0.0 where that did not hold it up."""
    match attempt.outcome:
        case Deferred(delay, "throttled", limit) if limit == attempt.notification.destination.channel:
            return delay
    return 0.0


def _missed(outcome: Outcome) -> bool:
    match outcome:
        case Deferred(reason="subject_not_found"):
            return True
    return False


def _facts(notification: Notification, *, compose: float | None, send: float | None) -> AttemptFacts:
    """``compose``, ``send``: the time that each took, s."""
    destination = notification.destination
    return AttemptFacts(
        organization_id=notification.organization_id,
        work_unit_id=notification.work_unit_id,
        notification_id=notification.notification_id,
        destination_id=destination.destination_id,
        channel=destination.channel,
        kind=notification.kind,
        event=notification.event,
        replays=notification.replays,
        attempt=notification.attempt,
        try_=len(notification.tries) + 1,
        template=destination.template or notification.kind,
        template_version=notification.template_version,
        sources=notification.sources,
        degraded=notification.degraded,
        compose_ms=milliseconds(compose),
        send_ms=milliseconds(send),
    )
