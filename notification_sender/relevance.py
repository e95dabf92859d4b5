"""A notification that comes back → whether it is still to be told: to this destination, and as its recipe sees it."""

from collections.abc import Mapping

import structlog

from notification_sender.context.gather import Gatherer
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Suppressed
from notification_sender.model.unit import WorkUnit
from notification_sender.policy.destinations import ORGANIZATION, keeps
from notification_sender.ports import Clock
from notification_sender.telemetry.metrics import Metrics

REMOVED_AFTER = 60.0
"""Seconds after which it is looked up whether an organization still has a destination: first retries cost nothing."""

_log = structlog.get_logger()


class Relevance:
    """Stale news is held back on evidence alone: where nobody can tell, it is sent."""

    def __init__(self, *, gatherers: Mapping[str, Gatherer], clock: Clock, metrics: Metrics) -> None:
        """``gatherers`` by kind of unit."""
        self._gatherers = gatherers
        self._clock = clock
        self._unasked = metrics.unasked

    async def outdated(self, notification: Notification) -> Suppressed | None:
        """Why it is not to be sent any more, None where it is."""
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
            self._unasked.labels(notification.kind).inc()
            _log.warning("relevance.unknown", notification_id=notification.notification_id, error=type(fault).__name__)
            return None
        return Suppressed(f"no_longer_relevant:{reason}") if reason else None


async def _removed(gatherer: Gatherer, unit: WorkUnit, notification: Notification) -> bool:
    async with gatherer.begin(unit) as session:
        organization = await session.fact(ORGANIZATION)
    return not keeps(organization or {}, notification.destination.destination_id)
