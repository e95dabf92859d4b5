"""The operators' command that sends what was withheld from a destination while it was off."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.dead_letters import DeadQueue
from notification_sender.adapters.redis.withheld import RedisWithheld
from notification_sender.app.admin import connected_store
from notification_sender.app.dead_letters import connected_queue
from notification_sender.app.dead_replay import Judge
from notification_sender.model.errors import Permanent
from notification_sender.model.notification import Notification, decode
from notification_sender.policy.audit import WITHHELD
from notification_sender.ports.broker import Lane
from notification_sender.settings import Settings

OPEN = (None, "withheld")
"""States of a notification that is sent: it is still withheld, or its record has expired."""


@dataclass(slots=True)
class Resent:
    """The result so far. Each notification counts once."""

    matched: int = 0
    """Notifications that were withheld and are kept."""
    would_send: int = 0
    skipped_delivered: int = 0
    skipped_unwanted: Counter[str] = field(default_factory=Counter)
    """Those that are not sent, by reason."""
    not_kept: int = 0
    """Those that the ledger knows and nobody kept: they were too large, or too many."""
    seen: set[str] = field(default_factory=set)
    """Their ids."""


async def resend(
    settings: Settings,
    organization_id: str,
    destination_id: str,
    *,
    dry_run: bool,
    step: Callable[[], None] = lambda: None,
) -> Resent:
    """Send what was withheld, each notification once; with ``dry_run`` only count it. It is composed anew.

    Raises:
        Unready: RabbitMQ or Redis is away. Some may be sent already, and a repetition does no harm.
    """
    counted = Resent()
    async with connected_store(settings) as store, connected_queue(settings) as queue:
        withheld = RedisWithheld(redis=store.redis, prefix=settings.topology_prefix)
        known = await withheld.count(organization_id, destination_id)
        # It is on, or will be by then.
        judge = Judge(store, SystemClock().now(), frozenset())
        async for message in withheld.messages(organization_id, destination_id):
            notification = _read(message)
            if notification is not None and notification.notification_id not in counted.seen:
                counted.seen.add(notification.notification_id)
                sends = await _judged(withheld, judge, notification, counted)
                if sends and not dry_run:
                    await _send(queue, notification, message)
            if not dry_run:
                await withheld.remove(organization_id, destination_id, message)
            step()
        counted.not_kept = max(0, known - counted.would_send - counted.skipped_unwanted.total())
    return counted


def _read(message: bytes) -> Notification | None:
    try:
        return decode(message)
    except Permanent:
        return None


async def _judged(withheld: RedisWithheld, judge: Judge, notification: Notification, counted: Resent) -> bool:
    """Whether it is to be sent."""
    counted.matched += 1
    state = await withheld.state(notification.organization_id, notification.notification_id)
    if state == "delivered":
        counted.skipped_delivered += 1
        return False
    why = await judge.unwanted_notification(notification) if state in OPEN else f"its record is {state}"
    if why:
        counted.skipped_unwanted[why] += 1
        return False
    counted.would_send += 1
    return True


async def _send(queue: DeadQueue, notification: Notification, message: bytes) -> None:
    """As a dead letter that is moved back: its record opens for one copy."""
    await queue.send(message, Lane.NOTIFICATIONS, reason=WITHHELD, replays=notification.replays)
