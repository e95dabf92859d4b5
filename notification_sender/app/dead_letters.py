"""The operators' commands for dead letters: list them, and replay those that can be sent."""

from collections import Counter
from collections.abc import AsyncIterator, Collection
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.dead_letters import DeadQueue, Letter, dead_queue
from notification_sender.admission import key_of
from notification_sender.app.admin import connected_store
from notification_sender.app.backends import Store, topology
from notification_sender.app.reach import Place
from notification_sender.model.destination import recipient_hash
from notification_sender.model.errors import ConfigurationFault, Permanent, Unready
from notification_sender.model.notification import Notification, decode
from notification_sender.model.strict_json import read_json
from notification_sender.ports.broker import Lane
from notification_sender.settings import Settings
from notification_sender.telemetry import log

DELIVER = "deliver"
"""The ``x-stage`` of a dead notification."""


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """A filter of letters. None matches every letter."""

    reason: str | None = None
    organization_id: str | None = None
    destination_id: str | None = None


@dataclass(slots=True)
class LetterGroup:
    """The letters with the same reason and destination."""

    reason: str
    organization_id: str | None
    """None: the letter's content does not tell it."""
    destination_id: str | None
    """None: the letter is a work unit."""
    count: int = 0
    oldest: float = 0.0
    """The earliest ``x-first-seen``, in epoch seconds."""
    detail: str = ""
    """The ``x-detail`` of that oldest letter."""


@dataclass(slots=True)
class ReplayResult:
    """The result of a replay. Each letter counts once."""

    matched: int = 0
    would_send: int = 0
    """Letters moved back, or to be moved back. Includes work units: their notifications are unknown until composed."""
    skipped_delivered: int = 0
    """Letters of delivered notifications: the letter is removed, and nothing is sent."""
    skipped_unwanted: Counter[str] = field(default_factory=Counter)
    """Letters that stay, by reason: their notification would be suppressed, and the letter lost."""


@dataclass(frozen=True, slots=True)
class Read:
    """A letter with its parsed content."""

    letter: Letter
    notification: Notification | None
    organization_id: str | None

    @property
    def destination_id(self) -> str | None:
        return None if self.notification is None else self.notification.destination.destination_id

    @property
    def lane(self) -> Lane:
        """The lane it came from. For unreadable content the stage decides."""
        of_a_notification = self.notification is not None or self.letter.stage == DELIVER
        return Lane.NOTIFICATIONS if of_a_notification else Lane.UNITS

    def is_wanted(self, wanted: LetterFilter) -> bool:
        asked = (wanted.reason, wanted.organization_id, wanted.destination_id)
        own = (self.letter.reason, self.organization_id, self.destination_id)
        return all(it is None or it == mine for it, mine in zip(asked, own, strict=True))


async def list_dead(settings: Settings, wanted: LetterFilter) -> list[LetterGroup]:
    """Count the dead letters, the largest group first. Every letter stays.

    Raises:
        Unready: the broker is away.
    """
    groups: dict[tuple[str | None, ...], LetterGroup] = {}
    async with _connected_queue(settings) as queue:
        async for it in _read(queue, wanted):
            about = (it.letter.reason, it.organization_id, it.destination_id)
            group = groups.setdefault(about, LetterGroup(*about))
            if not group.count or it.letter.first_seen < group.oldest:
                group.oldest, group.detail = it.letter.first_seen, it.letter.detail
            group.count += 1
    return sorted(groups.values(), key=lambda group: -group.count)


async def replay(settings: Settings, wanted: LetterFilter, *, dry_run: bool) -> ReplayResult:
    """Move back the letters that would be sent; with ``dry_run`` only count them.

    Raises:
        Unready: RabbitMQ or Redis is away. Some letters may be moved already, and a repetition does no harm.
    """
    counted = ReplayResult()
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(connected_store(settings))
        queue = await opened.enter_async_context(_connected_queue(settings))
        judge = await Judge.of(store, SystemClock().now())
        async for it in _read(queue, wanted):
            counted.matched += 1
            if await judge.is_delivered(it):
                counted.skipped_delivered += 1
                if not dry_run:
                    await queue.take_away(it.letter)
            elif why := await judge.unwanted(it):
                counted.skipped_unwanted[why] += 1
            else:
                counted.would_send += 1
                if not dry_run:
                    await queue.move(it.letter, it.lane)
    return counted


@dataclass(frozen=True, slots=True)
class Judge:
    """Predicts what a worker would do with a replayed letter. For a work unit that is unknown before composition."""

    store: Store
    now: float
    off: Collection[tuple[str, str]]
    """Pairs of organization and destination that are off at any address."""

    @classmethod
    async def of(cls, store: Store, now: float) -> "Judge":
        troubled = await store.destinations.troubled()
        return cls(store, now, {(it.organization_id, it.destination_id) for it in troubled if it.until > now})

    async def is_delivered(self, read: Read) -> bool:
        return read.notification is not None and await self.store.ledger.is_delivered(key_of(read.notification))

    async def unwanted(self, read: Read) -> str:
        """The reason for which it would be suppressed; empty: it would be sent."""
        it = read.notification
        if it is None:
            return ""
        if it.expires_at is not None and it.expires_at.timestamp() <= self.now:
            return "expired"
        destination, to = it.destination.destination_id, it.destination.extra.get("to")
        if (it.organization_id, destination) in self.off:
            return f"its destination is off; run: notification-sender destinations enable {_options(it)}"
        if isinstance(to, str) and await self.store.suppressions.is_suppressed(it.organization_id, recipient_hash(to)):
            return "unsubscribed"
        return ""


def _options(notification: Notification) -> str:
    return f"--organization {notification.organization_id} --destination {notification.destination.destination_id}"


async def _read(queue: DeadQueue, wanted: LetterFilter) -> AsyncIterator[Read]:
    async for letter in queue.letters():
        read = _about(letter)
        if read.is_wanted(wanted):
            yield read


def _about(letter: Letter) -> Read:
    try:
        notification = decode(letter.body)
    except Permanent:
        return Read(letter, None, _organization(letter.body))
    return Read(letter, notification, notification.organization_id)


def _organization(body: bytes) -> str | None:
    try:
        unit: Any = read_json(body)
    except Permanent:
        return None
    named = unit.get("organization_id") if isinstance(unit, dict) else None
    return named if isinstance(named, str) else None


@asynccontextmanager
async def _connected_queue(settings: Settings) -> AsyncIterator[DeadQueue]:
    log.to_people()
    url = settings.amqp_url.get_secret_value()
    if settings.amqp_url.scheme == "memory":
        raise ConfigurationFault("NS_AMQP_URL: memory:// keeps dead letters in the worker's memory; use amqp://")
    place = Place.of("NS_AMQP_URL", url)
    await place.reach()
    try:
        async with dead_queue(url, topology(settings), SystemClock()) as queue:
            yield queue
    except Unready as fault:
        raise Unready(f"{place}: {fault}") from fault
