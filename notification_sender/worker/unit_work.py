"""One claimed unit: compose it, send its notifications or hand them on as slices, and record its end."""

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from typing import Any

import orjson

from notification_sender.checkpoint import Checkpoint
from notification_sender.compose import Composed, Composer, Composition
from notification_sender.model.errors import (
    ContextUnavailable,
    ForbiddenAddress,
    Permanent,
    SchemaViolation,
    SubjectNotFound,
    TooLarge,
)
from notification_sender.model.outcome import Dead, Deferred, Suppressed
from notification_sender.model.records import dataclass
from notification_sender.model.unit import WorkUnit, identity
from notification_sender.policy.retry import RetryPolicy, expired_unit, has_expired
from notification_sender.ports.broker import Envelope, Lane, Parked
from notification_sender.ports.clock import Clock, Dice
from notification_sender.ports.fleet import IntakeGate
from notification_sender.ports.ledger import Claim, Key, UnitEnd
from notification_sender.slices import cut
from notification_sender.targets import Target
from notification_sender.telemetry.attempt_record import AttemptFacts
from notification_sender.telemetry.steps import QUEUE_WAIT, RECORD, RENDER, SEND, SideBySide, current
from notification_sender.worker.bulkheads import BACKED_UP, ChannelBulkhead
from notification_sender.worker.notifications import Notifications
from notification_sender.worker.settle import Settlement, Settler

AT_ONCE = 8
"""Notifications that one unit sends at the same time, within its one slot."""

OWN = 32
"""Notifications that a unit sends itself, and each of its slices. More would hold its slot for minutes, and the memory
for all rendered bodies.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitSettlement(Settlement):
    """A unit is suppressed, deferred or dead; its notifications are settled each by itself."""

    what = "unit"
    lane = Lane.UNITS
    unit: WorkUnit
    body: bytes
    """As it came."""

    @classmethod
    def of(
        cls, unit: WorkUnit, envelope: Envelope, claim: Claim | None = None, *, stage: str = "compose"
    ) -> "UnitSettlement":
        """The settlement of the unit that came in ``envelope``."""
        state = envelope.state
        return cls(
            unit=unit,
            body=envelope.body,
            key=key_of(unit) if claim is None else claim.key,
            claim=claim,
            # This time it was handled: earlier bugs do not count any more.
            state=replace(state, bugs=0) if state.bugs else state,
            stage=stage,
            facts=AttemptFacts(
                organization_id=unit.organization_id,
                work_unit_id=unit.work_unit_id,
                kind=unit.kind,
                event=unit.event,
                replays=state.replays,
                attempt=state.attempt,
            ),
        )

    def deferred(self, *, missed: bool = False) -> "UnitSettlement":
        """With the next attempt: other copies of this unit, parked or waiting, are stale from then on."""
        state = self.state.next_attempt
        return replace(self, state=replace(state, misses=state.misses + missed))

    def same(self) -> bytes:
        return self.body

    def stub(self) -> bytes:
        return orjson.dumps({"organization_id": self.unit.organization_id, "work_unit_id": self.unit.work_unit_id})


class FanOut:
    """Sends the notifications of a unit, and hands on as slices those that one slot must not hold."""

    def __init__(
        self, *, notifications: Notifications, settler: Settler, bulkheads: Mapping[str, ChannelBulkhead], clock: Clock
    ) -> None:
        """``bulkheads``: by channel, where a server on the way takes only so many notifications at a time."""
        self._notifications = notifications
        self._settler = settler
        self._bulkheads = bulkheads
        self._clock = clock

    async def send(self, unit: WorkUnit, composition: Composition, envelope: Envelope, work: UnitSettlement) -> None:
        """Send to every target of ``composition``, then record the end of the unit."""
        targets = composition.targets
        if not targets:
            await self._settler.settle(work, Suppressed("no_destinations"))
            return
        # A slice is not cut again, whatever size the worker that cut it used.
        own = targets if unit.slice else targets[:OWN]
        # The slices first: a worker that dies after this sends its own again, and each slice has a name of its own.
        try:
            slices = await self._hand_on(unit, targets[len(own) :], envelope)
        except TooLarge as fault:
            await self._settler.settle(work, Dead.of(fault))
            return
        # One notification and its unit end in one step of the ledger: nearly all units have one.
        unit_end = UnitEnd(work.claim) if work.claim is not None and len(own) == 1 and not slices else None
        if len(own) == 1:
            ids: tuple[str, ...] = (await self._first(unit, own[0], composition, envelope, unit_end),)
        else:
            ids = await self._side_by_side(unit, own, composition, envelope)
        await self._settler.finish(work, ids, slices, unit_end)

    async def _hand_on(self, unit: WorkUnit, targets: Sequence[Target], envelope: Envelope) -> tuple[str, ...]:
        if not targets:
            return ()
        names = []
        checkpoint, steps = Checkpoint(self._clock), current()
        steps.enter(RECORD)
        state = replace(envelope.state, attempt=1, misses=0, bugs=0)
        for name, body in cut(unit, targets, size=OWN, replays=state.replays):
            await self._settler.hand_on(Parked(Lane.UNITS, body, 0.0, state, steps.unreported(QUEUE_WAIT)))
            names.append(name)
            await checkpoint()
        return tuple(names)

    async def _side_by_side(
        self, unit: WorkUnit, targets: Sequence[Target], composition: Composition, envelope: Envelope
    ) -> tuple[str, ...]:
        """The ids of the notifications, in the order of ``targets``."""
        ids, left = [""] * len(targets), iter(enumerate(targets))
        side_by_side = SideBySide(self._clock)

        async def send() -> None:
            checkpoint = Checkpoint(self._clock)
            for place, target in left:
                await checkpoint()
                with side_by_side.notification():
                    ids[place] = await self._first(unit, target, composition, envelope)

        # A fault of one must not cut off the sends of the others: their outcomes would be unknown.
        ends = await asyncio.gather(*(send() for _ in targets[:AT_ONCE]), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end
        return tuple(ids)

    def _first(
        self,
        unit: WorkUnit,
        target: Target,
        composition: Composition,
        envelope: Envelope,
        unit_end: UnitEnd | None = None,
    ) -> Coroutine[Any, Any, str]:
        """Render one notification right before it is sent, because bodies are large. Its id."""
        bulkhead = self._bulkheads.get(target.channel)
        if bulkhead is None:
            return self._notifications.first(composition.compose(target), envelope, unit_end)
        return self._first_in(bulkhead.place(unit.organization_id), target, composition, envelope, unit_end)

    async def _first_in(
        self,
        place: AbstractAsyncContextManager[float],
        target: Target,
        composition: Composition,
        envelope: Envelope,
        unit_end: UnitEnd | None,
    ) -> str:
        steps = current()
        steps.enter(SEND + target.channel)
        async with place as away:
            steps.enter(RENDER)
            composed = _deferred(composition.compose(target), away)
            return await self._notifications.first(composed, envelope, unit_end)


class UnitWork:
    """Works on a unit whose claim is held."""

    def __init__(
        self,
        *,
        composer: Composer,
        fan_out: FanOut,
        settler: Settler,
        retry_policy: RetryPolicy,
        intake_gate: IntakeGate,
        clock: Clock,
        dice: Dice,
    ) -> None:
        self.composer = composer
        self._fan_out = fan_out
        self._settler = settler
        self._retry_policy = retry_policy
        self._intake_gate = intake_gate
        self._clock = clock
        self._dice = dice

    async def run(self, unit: WorkUnit, envelope: Envelope, claim: Claim) -> None:
        """Settle the unit and every notification of it."""
        work = UnitSettlement.of(unit, envelope, claim)
        if unit.expires_at is not None and has_expired(unit.expires_at, self._clock.now()):
            await self._settler.settle(work, expired_unit(envelope.state.attempt))
            return
        current().enter(RENDER)
        try:
            composition = await self.composer.compose(unit)
        except ContextUnavailable as fault:
            self._intake_gate.record_failure(fault)
            await self._settler.settle(work.deferred(), self._unavailable(unit, envelope, fault))
        except SubjectNotFound as fault:
            outcome = self._retry_policy.not_found(fault, misses=work.state.misses)
            await self._settler.settle(work.deferred(missed=True), outcome)
        except Permanent as fault:
            await self._settler.settle(replace(work, stage=_stage(unit, fault)), Dead.of(fault))
        else:
            await self._fan_out.send(unit, composition, envelope, work)

    def _unavailable(self, unit: WorkUnit, envelope: Envelope, fault: ContextUnavailable) -> Deferred | Dead:
        now = self._clock.now()
        return self._retry_policy.unavailable(
            fault,
            attempt=envelope.state.attempt,
            age=envelope.state.age(now),
            expires_in=None if unit.expires_at is None else unit.expires_at.timestamp() - now,
            dice=self._dice(),
        )


def key_of(unit: WorkUnit) -> Key:
    """Its record in the ledger."""
    return Key(unit.organization_id, "unit", identity(unit))


def _deferred(composed: Composed, delay: float) -> Composed:
    """Deferred by ``delay`` s where there was no place for it, unless it has ended already."""
    if not delay or composed.end is not None:
        return composed
    return replace(composed, end=Deferred(delay, BACKED_UP, composed.notification.destination.channel))


def _stage(unit: WorkUnit, fault: Permanent) -> str:
    """A destination that the unit brought along is a part of the message, so its fault is one of decoding."""
    own = unit.destinations is not None and isinstance(fault, SchemaViolation | ForbiddenAddress)
    return "decode" if own else "compose"
