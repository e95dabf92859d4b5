"""The pauses that this process knows of. Nothing of what they cover is begun; ``admit.lua`` has the last word."""

from collections.abc import Mapping, Sequence

from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Deferred
from notification_sender.model.override import Override
from notification_sender.policy.pauses import by_subject, covering, look_again
from notification_sender.ports.clock import Clock, Dice
from notification_sender.ports.ledger import PAUSED


class Pauses:
    """Asked for every unit and every attempt, so callers look first whether anything is ``active``."""

    def __init__(self, *, clock: Clock, dice: Dice) -> None:
        self._clock = clock
        self._dice = dice
        self.active: Mapping[str, Override] = {}
        """By subject."""

    def replace(self, overrides: Sequence[Override]) -> None:
        """Know these from now on, and no others."""
        self.active = by_subject(overrides)

    def of_unit(self, organization_id: str) -> Deferred | None:
        """The deferral of a unit of this organization; None: it may begin."""
        return self._deferral(organization_id)

    def of(self, notification: Notification) -> Deferred | None:
        """The deferral of a notification; None: it may be sent."""
        own = notification.destination
        return self._deferral(notification.organization_id, own.channel, own.destination_id)

    def _deferral(self, *about: str) -> Deferred | None:
        now = self._clock.now()
        pause = covering(self.active, now, *about)
        return None if pause is None else Deferred(look_again(pause, now, self._dice()), PAUSED, pause.subject)
