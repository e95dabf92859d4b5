"""One notification through one attempt: deliver, then settle."""

from dataclasses import replace
from itertools import count

from notification_sender.compose import Composed
from notification_sender.deliver import Attempt, Deliverer, key_of
from notification_sender.model.errors import Permanent, SendFailed
from notification_sender.model.notification import Notification, Try, decode
from notification_sender.model.outcome import Dead, Deferred, Outcome, Suppressed
from notification_sender.ports import Clock, Envelope, Lane
from notification_sender.relevance import Relevance
from notification_sender.telemetry.journal import Journal, timings
from notification_sender.worker.drain import Drain
from notification_sender.worker.readiness import Readiness
from notification_sender.worker.settle import Settler, Work
from notification_sender.worker.slots import Portions

SHORT = 1.0
"""Seconds: a wait below this keeps its delivery and gives its slot back; a longer one is parked."""


class Notifications:
    """What the notifications lane does, and what a unit does with each of its own."""

    def __init__(
        self,
        *,
        deliverer: Deliverer,
        relevance: Relevance,
        settler: Settler,
        readiness: Readiness,
        organizations: Portions,
        destinations: Portions,
        drain: Drain,
        journal: Journal,
        clock: Clock,
    ) -> None:
        self._deliverer = deliverer
        self._relevance = relevance
        self._settler = settler
        self._readiness = readiness
        self._organizations = organizations
        self._destinations = destinations
        self._drain = drain
        self._journal = journal
        self._clock = clock

    async def handle(self, envelope: Envelope) -> float | None:
        """A notification come due. Seconds to wait before asking again, or None: settled, to be acked."""
        try:
            notification = decode(envelope.body).afresh(envelope.replays)
        except Permanent as fault:
            await self._settler.refuse(envelope, fault)
            return None
        if end := self._deliverer.given_up(notification, self._age(envelope)):
            return await self._end(await self._attempt(Composed(notification, end), envelope), envelope)
        if away := self._organizations.away(notification.organization_id):
            return await self._end(Attempt(notification, Deferred(away, "organization_full")), envelope)
        with self._organizations.held(notification.organization_id):
            composed = Composed(notification, await self._relevance.outdated(notification))
            return await self._end(await self._attempt(composed, envelope), envelope)

    async def _end(self, attempt: Attempt, envelope: Envelope) -> float | None:
        if isinstance(attempt.outcome, Deferred) and attempt.claim is None and attempt.outcome.delay < SHORT:
            return attempt.outcome.delay
        await self._settle(attempt, envelope)
        return None

    async def first(self, composed: Composed, envelope: Envelope) -> None:
        """The first attempt, in the slot of its unit: whatever is left of it becomes a message of its own."""
        composed = replace(composed, notification=composed.notification.afresh(envelope.replays))
        await self._settle(await self._attempt(composed, envelope), envelope, composed.seconds)

    async def _attempt(self, composed: Composed, envelope: Envelope) -> Attempt:
        began = self._clock.monotonic()
        tries = count()
        attempt = await self._readiness.keep(lambda: self._deliver(composed, envelope, again=next(tries) > 0))
        self._journal.took("deliver", self._clock.monotonic() - began)
        return attempt

    async def _deliver(self, composed: Composed, envelope: Envelope, *, again: bool) -> Attempt:
        """``again``: the store was away meanwhile. It may hold a claim of ours, so nobody is sent away any more."""
        # At each try: what waits for the store may get it back when there is no time left to send.
        self._drain.check()
        notification = composed.notification
        end = composed.end
        if self._settler.accepted_unrecorded(notification.notification_id):
            # Another copy of it: by now, perhaps, the ledger can be told.
            end = Suppressed("already_delivered")
        elif not (notification.content or end):
            # Its rendering failed, and it was parked or is moved back: there is nothing to send.
            end = Dead("render", "it was never rendered; publish its work unit again")
        if end is not None:
            return await self._deliverer.refuse(notification, end, token=envelope.token)
        destination = f"{notification.organization_id}/{notification.destination.destination_id}"
        if not again and (away := self._destinations.away(destination)):
            return Attempt(notification, Deferred(away, "destination_full"))
        with self._destinations.held(destination):
            return await self._deliverer.deliver(
                notification, token=envelope.token, age=self._age(envelope), again=again
            )

    def _age(self, envelope: Envelope) -> float:
        return self._clock.now() - envelope.first_seen

    async def _settle(self, attempt: Attempt, envelope: Envelope, compose: float | None = None) -> None:
        notification = attempt.notification
        put_off = _put_off(attempt)
        if put_off or attempt.tried:
            self._organizations.went(notification.organization_id, put_off=put_off)
        work = Work(
            what="notification",
            stage="deliver",
            key=key_of(notification),
            claim=attempt.claim,
            lane=Lane.NOTIFICATIONS,
            first_seen=envelope.first_seen,
            same=lambda: self._told(notification, attempt.outcome).encode(),
            attempt=notification.attempt,
            replays=notification.replays,
            again=lambda failed: notification.again(self._try(notification, failed.error)).encode(),
            tried=attempt.tried,
            facts=_facts(notification) | timings(compose=compose, send=attempt.seconds),
        )
        await self._settler.settle(work, attempt.outcome)

    def _told(self, notification: Notification, outcome: Outcome) -> Notification:
        """With its last try in its story, where it was given up after one."""
        if isinstance(outcome, Dead) and isinstance(outcome.error, SendFailed):
            return notification.tried(self._try(notification, outcome.error))
        return notification

    def _try(self, notification: Notification, error: SendFailed) -> Try:
        return Try(attempt=notification.attempt, at=self._clock.now(), error=str(error)[:500], sent=error.sent)


def _put_off(attempt: Attempt) -> float:
    """Seconds until the limit of its organization lets it out: one that holds for all that it sends on this channel."""
    match attempt.outcome:
        case Deferred(delay, reason) if reason == f"throttled:{attempt.notification.destination.channel}":
            return delay
    return 0.0


def _facts(notification: Notification) -> dict[str, object]:
    return {
        "organization_id": notification.organization_id,
        "work_unit_id": notification.work_unit_id,
        "notification_id": notification.notification_id,
        "destination_id": notification.destination.destination_id,
        "channel": notification.destination.channel,
        "kind": notification.kind,
        "event": notification.event,
        "replays": notification.replays,
        "attempt": notification.attempt,
        "try": len(notification.tries) + 1,
        "template": notification.destination.template or notification.kind,
        "template_version": notification.template_version,
        "sources": notification.sources,
        "degraded": notification.degraded,
    }
