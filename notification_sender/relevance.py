"""A notification that comes back → whether it is still worth sending, by its organization's record and its recipe."""

from collections.abc import Mapping

import structlog

from notification_sender.context.gather import Gatherer
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Suppressed
from notification_sender.model.unit import WorkUnit
from notification_sender.policy.destinations import ORGANIZATION, keeps
from notification_sender.ports.clock import Clock
from notification_sender.telemetry.metrics import Metrics

REMOVED_AFTER = 60.0
"""Age in seconds from which the destination is looked up again, so that first retries cost no call."""

_log = structlog.get_logger()


class Relevance:
    """Suppresses a stale notification on evidence alone: when no API answers, the notification is sent."""

    def __init__(self, *, gatherers: Mapping[str, Gatherer], clock: Clock, metrics: Metrics) -> None:
        """``gatherers`` by kind of unit."""
        self._gatherers = gatherers
        self._clock = clock
        self._relevance_unknown = metrics.relevance_unknown

    async def outdated(self, notification: Notification) -> Suppressed | None:
        """Why the notification is not sent any more, None if it is sent."""
        gatherer = self._gatherers.get(notification.kind)
        if gatherer is None or notification.unit is None or notification.composed_at is None:
            return None
        try:
            unit = WorkUnit.model_validate(notification.unit)
            age = self._clock.now() - notification.composed_at
            if notification.listed and age > REMOVED_AFTER and await _removed(gatherer, unit, notification):
                return Suppressed("destination_removed")
            reason = await gatherer.outdated(unit, age)
        except Exception as fault:  # noqa: BLE001 - an API that is away, a deadline, a bug: none of them holds it back
            self._relevance_unknown.labels(notification.kind).inc()
            _log.warning("relevance.unknown", notification_id=notification.notification_id, error=type(fault).__name__)
            return None
        return Suppressed("no_longer_relevant", reason) if reason else None


async def _removed(gatherer: Gatherer, unit: WorkUnit, notification: Notification) -> bool:
    async with gatherer.begin(unit) as session:
        organization = await session.fact(ORGANIZATION)
    return not keeps(organization or {}, notification.destination.destination_id)
