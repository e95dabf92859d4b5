"""One work unit: claim it before any work, compose, send each notification, record what became of it."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace

from notification_sender.compose import Composed, Composer
from notification_sender.model.errors import ContextUnavailable, Permanent, SubjectNotFound
from notification_sender.model.outcome import Dead, Deferred, Outcome, Suppressed
from notification_sender.model.unit import WorkUnit, decode
from notification_sender.policy.deferral import Deferral
from notification_sender.ports import (
    Claim,
    ClaimReply,
    Clock,
    Crashed,
    Dice,
    Envelope,
    Lane,
    Mine,
    Parked,
    Platform,
    Suspect,
)
from notification_sender.refusal import unclaimed
from notification_sender.telemetry.journal import Journal
from notification_sender.worker.claims import Claims, key_of
from notification_sender.worker.drain import Draining
from notification_sender.worker.held import Held
from notification_sender.worker.notifications import SHORT, Notifications
from notification_sender.worker.quarantine import Quarantine
from notification_sender.worker.settle import Settler, Work
from notification_sender.worker.slots import Portions

AT_ONCE = 8
"""Notifications that one unit sends side by side, within its one slot."""

OWN = 32
"""Notifications that a unit sends itself; the rest is published, so that one unit cannot hold a slot for minutes."""


class Units:
    """What the units lane does."""

    def __init__(
        self,
        *,
        composer: Composer,
        notifications: Notifications,
        claims: Claims,
        settler: Settler,
        held: Held,
        organizations: Portions,
        deferral: Deferral,
        platform: Platform,
        journal: Journal,
        clock: Clock,
        dice: Dice,
    ) -> None:
        self._composer = composer
        self._notifications = notifications
        self._claims = claims
        self._settler = settler
        self._held = held
        self._organizations = organizations
        self._deferral = deferral
        self._platform = platform
        self._journal = journal
        self._clock = clock
        self._dice = dice
        self._quarantine = Quarantine(dice=dice)

    async def handle(self, envelope: Envelope) -> float | None:
        """Take a unit as far as it goes now. Seconds to wait before asking again, or None: it may be acked."""
        try:
            unit = decode(envelope.body)
        except Permanent as fault:
            await self._settler.refuse(envelope, fault)
            return None
        await self._claims.enroll(unit)
        if outcome := self._premature(unit):
            return await self._end(_work(unit, envelope, stage="decode"), outcome)
        with self._organizations.held(unit.organization_id):
            return await self._claim(unit, envelope)

    async def _end(self, work: Work, outcome: Outcome) -> float | None:
        """Of what was not begun. A short wait is not parked: a pod whose clock is ahead would get it at once, again
        and again, as fast as the broker can.
        """
        if isinstance(outcome, Deferred) and outcome.delay < SHORT:
            return outcome.delay
        await self._settler.settle(work, outcome)
        return None

    def _premature(self, unit: WorkUnit) -> Outcome | None:
        """What is over before anybody need be asked whether it was done already."""
        try:
            self._composer.check(unit)
        except Permanent as fault:
            return Dead.of(fault)
        early = unit.not_before.timestamp() - self._clock.now() if unit.not_before is not None else 0.0
        if early > 0:
            return Deferred(early, "not_yet_due")
        away = self._organizations.away(unit.organization_id)
        return Deferred(away, "organization_full") if away else None

    async def _claim(self, unit: WorkUnit, envelope: Envelope) -> float | None:
        if unit.not_before is not None:
            # Its age, and that of its notifications, counts from when it was due.
            envelope = replace(envelope, first_seen=max(envelope.first_seen, unit.not_before.timestamp()))
        reply = await self._claims.claim(unit, envelope)
        if isinstance(reply, Suspect):
            return await self._claim_alone(unit, envelope)
        return await self._told(unit, envelope, reply)

    async def _claim_alone(self, unit: WorkUnit, envelope: Envelope) -> float | None:
        with self._quarantine.room() as away:
            if away:
                return await self._end(_work(unit, envelope), Deferred(away, "quarantined"))
            return await self._told(unit, envelope, await self._claims.claim(unit, envelope, alone=True))

    async def _told(self, unit: WorkUnit, envelope: Envelope, reply: ClaimReply) -> float | None:
        if isinstance(reply, Mine):
            await self._work_on(unit, envelope, reply.claim)
            return None
        claim = reply.claim if isinstance(reply, Crashed) else None
        return await self._end(_work(unit, envelope, claim), unclaimed(reply))

    async def _work_on(self, unit: WorkUnit, envelope: Envelope, claim: Claim) -> None:
        work = _work(unit, envelope, claim)
        self._held.take(claim)
        began = self._clock.monotonic()
        try:
            if unit.expires_at is not None and unit.expires_at.timestamp() <= self._clock.now():
                await self._settler.settle(work, _expired(envelope))
            else:
                await self._compose(unit, envelope, work)
        except (asyncio.CancelledError, Draining):
            await self._claims.give_up(claim, envelope.attempt)
            raise
        finally:
            self._held.drop(claim)
            self._journal.took("unit", self._clock.monotonic() - began)

    async def _compose(self, unit: WorkUnit, envelope: Envelope, work: Work) -> None:
        # A deferred copy has the next number: other copies of this unit, parked or waiting, are stale from then on.
        again = envelope.attempt + 1
        began = self._clock.monotonic()
        try:
            composed = await self._composer.compose(unit)
            self._journal.took("compose", self._clock.monotonic() - began)
        except ContextUnavailable as fault:
            self._platform.blame(fault)
            await self._settler.settle(replace(work, attempt=again), self._unavailable(unit, envelope, str(fault)))
        except SubjectNotFound as fault:
            outcome = self._deferral.not_found(str(fault), misses=envelope.misses)
            await self._settler.settle(replace(work, attempt=again, misses=envelope.misses + 1), outcome)
        except Permanent as fault:
            await self._settler.settle(work, Dead.of(fault))
        else:
            await self._send(composed, envelope, work)

    def _unavailable(self, unit: WorkUnit, envelope: Envelope, cause: str) -> Deferred | Dead:
        now = self._clock.now()
        return self._deferral.unavailable(
            cause,
            attempt=envelope.attempt,
            age=now - envelope.first_seen,
            expires_in=None if unit.expires_at is None else unit.expires_at.timestamp() - now,
            dice=self._dice(),
        )

    async def _send(self, composed: Sequence[Composed], envelope: Envelope, work: Work) -> None:
        if not composed:
            await self._settler.settle(work, Suppressed("no_destinations"))
            return
        # What is dead before it was sent has nothing to hand on: it is buried here.
        own = [one for place, one in enumerate(composed) if place < OWN or one.end]
        for later in composed[OWN:]:
            if later.end is None:
                body, replays = later.notification.encode(), envelope.replays
                await self._settler.hand_on(Parked(Lane.NOTIFICATIONS, body, 0.0, envelope.first_seen, replays=replays))
        await self._send_own(own, envelope)
        await self._settler.finish(work, tuple(one.notification.notification_id for one in composed))

    async def _send_own(self, composed: Sequence[Composed], envelope: Envelope) -> None:
        if len(composed) == 1:
            await self._notifications.first(composed[0], envelope)
            return
        left = iter(composed)

        async def send() -> None:
            for one in left:
                await self._notifications.first(one, envelope)

        # A fault of one must not cut off the sends of its siblings: their outcomes would be unknown.
        ends = await asyncio.gather(*(send() for _ in composed[:AT_ONCE]), return_exceptions=True)
        for end in ends:
            if end is not None:
                raise end


def _expired(envelope: Envelope) -> Outcome:
    if envelope.attempt > 1:
        return Dead("context_unavailable", "expired while our own APIs were unwell")
    return Suppressed("expired")


def _work(unit: WorkUnit, envelope: Envelope, claim: Claim | None = None, *, stage: str = "compose") -> Work:
    facts = {
        "organization_id": unit.organization_id,
        "work_unit_id": unit.work_unit_id,
        "kind": unit.kind,
        "event": unit.event,
        "replays": envelope.replays,
        "attempt": envelope.attempt,
    }
    return Work(
        what="unit",
        stage=stage,
        key=key_of(unit) if claim is None else claim.key,
        claim=claim,
        lane=Lane.UNITS,
        first_seen=envelope.first_seen,
        same=lambda: envelope.body,
        attempt=envelope.attempt,
        misses=envelope.misses,
        replays=envelope.replays,
        facts=facts,
    )
