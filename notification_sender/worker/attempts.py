"""One attempt of a notification: repeated as a whole while Redis is away, within the share of its destination."""

from functools import partial

from notification_sender.compose import Composed
from notification_sender.deliver import AttemptResult, Deliverer
from notification_sender.fleet.pauses import Pauses
from notification_sender.model.errors import Unready
from notification_sender.model.outcome import Dead, Deferred, Delivered, Suppressed
from notification_sender.policy.retry import Age
from notification_sender.ports.broker import Envelope
from notification_sender.ports.clock import Clock
from notification_sender.telemetry.steps import ADMIT, current
from notification_sender.worker.bulkheads import Bulkhead, share_of
from notification_sender.worker.drain import Drain
from notification_sender.worker.retry_unready import UnreadyRetry
from notification_sender.worker.settle import Settler


class Attempts:
    """Makes attempts; settles none."""

    def __init__(
        self,
        *,
        deliverer: Deliverer,
        settler: Settler,
        destinations: Bulkhead,
        retry: UnreadyRetry,
        drain: Drain,
        pauses: Pauses,
        clock: Clock,
    ) -> None:
        """``settler`` knows which acceptances of this process could not be recorded."""
        self._deliverer = deliverer
        self._settler = settler
        self._destinations = destinations
        self._retry = retry
        self._drain = drain
        self._pauses = pauses
        self._clock = clock

    async def make(self, composed: Composed, envelope: Envelope) -> AttemptResult:
        """One attempt.

        Raises:
            Draining: the process stops too soon for it.
            Unready: Redis stayed away too long; nothing was sent.
        """
        try:
            return await self._make(composed, envelope, again=False)
        except Unready as fault:
            current().enter(ADMIT)
            # As a whole: a claim whose lease ran out while Redis was away has to be asked for again.
            return await self._retry.repeat(partial(self._make, composed, envelope, again=True), fault)

    async def _make(self, composed: Composed, envelope: Envelope, *, again: bool) -> AttemptResult:
        """``again``: Redis was away meanwhile. It may hold a claim of ours, so the attempt is not put off any more."""
        current().enter(ADMIT)
        # At each try: when Redis is back there may be no time left to send.
        self._drain.check()
        notification = composed.notification
        end = self._end(composed)
        if isinstance(end, Deferred):
            return AttemptResult(notification, end)
        if end is not None:
            return await self._deliverer.refuse(notification, end, token=envelope.token)
        if self._pauses.active and not again and (paused := self._pauses.of(notification)):
            return AttemptResult(notification, paused)
        destination = share_of(notification.organization_id, notification.destination.destination_id)
        if not again and (away := self._destinations.delay_for(destination, begun=True)):
            full = Deferred(away, "destination_full", notification.destination.destination_id)
            return AttemptResult(notification, full)
        ticket = self._destinations.take(destination)
        try:
            age = Age(envelope.state.age(self._clock.now()), envelope.state.paused)
            return await self._deliverer.deliver(notification, token=envelope.token, age=age, again=again)
        finally:
            self._destinations.give(destination, ticket)

    def _end(self, composed: Composed) -> Dead | Suppressed | Deferred | Delivered | None:
        """The outcome of a notification that is not sent now, None where it is."""
        notification, end = composed.notification, composed.end
        if notification.accepted is None and self._settler.accepted_unrecorded(notification.notification_id):
            # Another copy of it: by now the acceptance can perhaps be recorded.
            return Suppressed("already_delivered")
        if not (notification.content or end):
            # Its rendering failed, and it was moved back without its unit: there is nothing to send.
            return Dead(
                "render", "it was never rendered, and does not carry its work unit: publish that under a new id"
            )
        return end
