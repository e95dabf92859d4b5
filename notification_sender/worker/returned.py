"""A notification that comes back → its content: as it was rendered, or composed anew if it never was."""

from notification_sender.compose import FAILING, Composed, Composer
from notification_sender.model.errors import ContextUnavailable, Permanent, SubjectNotFound
from notification_sender.model.notification import Notification, notification_id
from notification_sender.model.outcome import Dead, Deferred, Suppressed
from notification_sender.model.unit import WorkUnit
from notification_sender.policy.retry import RetryPolicy, has_expired
from notification_sender.ports.broker import Envelope
from notification_sender.ports.clock import Clock, Dice
from notification_sender.relevance import Relevance


class Returned:
    """Checks whether a notification is still worth sending, and composes it where it has no content."""

    def __init__(
        self, *, relevance: Relevance, composer: Composer, retry_policy: RetryPolicy, clock: Clock, dice: Dice
    ) -> None:
        self._relevance = relevance
        self._composer = composer
        self._retry_policy = retry_policy
        self._clock = clock
        self._dice = dice

    async def composed(self, notification: Notification, envelope: Envelope) -> Composed:
        """With its content, or with its outcome if it is not sent now. Nothing is claimed yet."""
        unit = None if notification.content else _whole(notification)
        if unit is None:
            return Composed(notification, await self._relevance.outdated(notification))
        expires_at = notification.expires_at
        if expires_at is not None and has_expired(expires_at, self._clock.now()):
            return Composed(notification, Suppressed("expired"))
        if away := self._composer.away(notification):
            own = notification.destination
            return Composed(notification, Deferred(away, FAILING, f"{own.template or notification.kind}/{own.channel}"))
        if outdated := await self._relevance.outdated(notification):
            return Composed(notification, outdated)
        return await self._anew(notification, unit, envelope)

    async def _anew(self, notification: Notification, unit: WorkUnit, envelope: Envelope) -> Composed:
        try:
            return await self._composer.compose_again(notification, unit)
        except ContextUnavailable as fault:
            return Composed(notification, self._unavailable(notification, fault, envelope))
        except SubjectNotFound as fault:
            return Composed(notification, self._retry_policy.not_found(fault, misses=envelope.state.misses))
        except Permanent as fault:
            return Composed(notification, Dead.of(fault))

    def _unavailable(
        self, notification: Notification, fault: ContextUnavailable, envelope: Envelope
    ) -> Deferred | Dead:
        now, expires = self._clock.now(), notification.expires_at
        return self._retry_policy.unavailable_anew(
            fault,
            age=envelope.state.age(now),
            replayed=envelope.state.replays > 0,
            expires_in=None if expires is None else expires.timestamp() - now,
            dice=self._dice(),
        )


def _whole(notification: Notification) -> WorkUnit | None:
    """The unit of a notification that was never rendered, for its destination alone. None: it does not carry one."""
    destination_id = notification.destination.destination_id
    if notification.unit is None or not (notification.listed or notification.unit.get("destinations")):
        return None
    try:
        unit = WorkUnit.model_validate(notification.unit | {"destination_ids": [destination_id]})
    except ValueError:
        return None
    # Edited by hand it could be sent under another id, or for another organization.
    same = notification_id(unit, destination_id) == notification.notification_id
    return unit if same and unit.kind == notification.kind else None
