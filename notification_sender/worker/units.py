"""The units lane: read a unit, claim it before any work, and keep the claim while it is worked on."""

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

from notification_sender.admission import unclaimed
from notification_sender.fleet.pauses import Pauses
from notification_sender.model.errors import Permanent
from notification_sender.model.outcome import Dead, Deferred, Outcome
from notification_sender.model.unit import WorkUnit, decode, only_destination
from notification_sender.ports.broker import Envelope
from notification_sender.ports.clock import Clock, Dice
from notification_sender.ports.ledger import Claim, Claimed, ClaimReply, Crashed, Suspect
from notification_sender.telemetry.steps import wait_of
from notification_sender.worker.bulkheads import Quarantine, SliceBulkhead
from notification_sender.worker.drain import Draining
from notification_sender.worker.entrance import Entrance, Inside
from notification_sender.worker.handled import SETTLED, SHORT_WAIT, AskAgain, Settled
from notification_sender.worker.leases import LeaseKeeper
from notification_sender.worker.retry_unready import RetryingLedger
from notification_sender.worker.settle import Settler
from notification_sender.worker.unit_work import UnitSettlement, UnitWork, key_of
from notification_sender.worker.waiting import Waiting


class Units:
    """The handler of the units lane."""

    def __init__(
        self,
        *,
        ledger: RetryingLedger,
        settler: Settler,
        leases: LeaseKeeper,
        entrance: Entrance,
        work: UnitWork,
        pauses: Pauses,
        clock: Clock,
        dice: Dice,
    ) -> None:
        self._ledger = ledger
        self._settler = settler
        self._leases = leases
        self._entrance = entrance
        self._work = work
        self._pauses = pauses
        self._clock = clock
        self._quarantine = Quarantine(dice=dice)
        self._slices = SliceBulkhead(clock=clock, dice=dice)

    async def handle(self, envelope: Envelope) -> Settled | AskAgain | Waiting:
        """Take a unit as far as it goes now."""
        try:
            unit = envelope.read(decode)
        except Permanent as fault:
            await self._settler.refuse(envelope, fault)
            return SETTLED
        if unit.batch is not None and envelope.waiting_since is None:
            # Before anything else: from now on the audit of its batch counts it, however it ends.
            await self._ledger.register(unit.batch.id, unit.batch.size, key_of(unit))
        organization, destination = unit.organization_id, only_destination(unit)
        carried = unit.destinations[0] if unit.destinations is not None and len(unit.destinations) == 1 else None
        place = self._premature(unit) or self._entrance.ask(envelope, organization, destination, carried)
        if not isinstance(place, Inside):
            if isinstance(place, Waiting | AskAgain):
                return place
            return await self._end(UnitSettlement.of(unit, envelope, stage="decode"), place)
        if unit.slice:
            return await self._claim_slice(unit, envelope, place)
        with place:
            return await self._claim(unit, envelope)

    async def _claim_slice(self, unit: WorkUnit, envelope: Envelope, inside: Inside) -> Settled | AskAgain:
        organization = unit.organization_id
        with self._slices.place(organization) as away:
            if away:
                return await self._put_off(unit, envelope, away, "organization_full", organization)
            with inside:
                return await self._claim(unit, envelope)

    async def _put_off(
        self, unit: WorkUnit, envelope: Envelope, seconds: float, reason: str, subject: str
    ) -> Settled | AskAgain:
        return await self._end(UnitSettlement.of(unit, envelope), Deferred(seconds, reason, subject))

    async def _end(self, work: UnitSettlement, outcome: Outcome) -> Settled | AskAgain:
        """Settle a unit that was not begun. A short wait is not parked: a pod whose clock is ahead would get it back
        at once, again and again, as fast as the broker can.
        """
        if isinstance(outcome, Deferred) and outcome.delay < SHORT_WAIT:
            return AskAgain(outcome.delay, wait_of(outcome))
        await self._settler.settle(work, outcome)
        return SETTLED

    def _premature(self, unit: WorkUnit) -> Outcome | None:
        """The outcome of a unit that need not be claimed: it is invalid, not due yet, or its organization is paused."""
        try:
            self._work.composer.check(unit)
        except Permanent as fault:
            return Dead.of(fault)
        if unit.not_before is not None and (early := unit.not_before.timestamp() - self._clock.now()) > 0:
            return Deferred(early, "not_yet_due", unit.not_before.isoformat())
        if self._pauses.active and (paused := self._pauses.of_unit(unit.organization_id)):
            return paused
        return None

    async def _claim(self, unit: WorkUnit, envelope: Envelope) -> Settled | AskAgain:
        if unit.not_before is not None:
            # The age of the unit, and of its notifications, counts from when it was due.
            first_seen = max(envelope.state.first_seen, unit.not_before.timestamp())
            envelope = replace(envelope, state=replace(envelope.state, first_seen=first_seen))
        reply = await self._ask(unit, envelope, alone=False)
        if isinstance(reply, Claimed):
            return await self._work_on(unit, envelope, reply.claim)
        if isinstance(reply, Suspect):
            return await self._claim_alone(unit, envelope)
        return await self._unclaimed(unit, envelope, reply)

    async def _claim_alone(self, unit: WorkUnit, envelope: Envelope) -> Settled | AskAgain:
        with self._quarantine.place() as away:
            if away:
                return await self._put_off(unit, envelope, away, "quarantined", unit.work_unit_id)
            reply = await self._ask(unit, envelope, alone=True)
            if isinstance(reply, Claimed):
                return await self._work_on(unit, envelope, reply.claim)
            return await self._unclaimed(unit, envelope, reply)

    def _ask(self, unit: WorkUnit, envelope: Envelope, *, alone: bool) -> Coroutine[Any, Any, ClaimReply]:
        """Of all copies of one unit that are delivered, one gets the claim."""
        state = envelope.state
        return self._ledger.claim(key_of(unit), envelope.token, state.attempt, replays=state.replays, alone=alone)

    async def _unclaimed(self, unit: WorkUnit, envelope: Envelope, reply: ClaimReply) -> Settled | AskAgain:
        claim = reply.claim if isinstance(reply, Crashed) else None
        return await self._end(UnitSettlement.of(unit, envelope, claim), unclaimed(reply, key_of(unit)))

    async def _work_on(self, unit: WorkUnit, envelope: Envelope, claim: Claim) -> Settled:
        self._leases.take(claim)
        try:
            await self._work.run(unit, envelope, claim)
        except (asyncio.CancelledError, Draining):
            await self._leases.give_up(claim, envelope.state.attempt)
            raise
        finally:
            self._leases.drop(claim)
        return SETTLED
