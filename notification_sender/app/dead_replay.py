"""Moves dead letters back to their queues where a worker would send them, or drops them."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import AsyncExitStack
from dataclasses import dataclass, field

from pydantic import ValidationError

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.dead_letters import DeadQueue
from notification_sender.admission import key_of
from notification_sender.app.admin import connected_store
from notification_sender.app.backends import Store
from notification_sender.app.dead_letters import LetterFilter, Read, connected_queue, read_letters
from notification_sender.model.destination import Destination, recipient_hash
from notification_sender.model.errors import Permanent
from notification_sender.model.notification import Notification, notification_id
from notification_sender.model.unit import WorkUnit, decode, identity
from notification_sender.policy.destinations import matching_destinations
from notification_sender.policy.limits import SECOND, Limit
from notification_sender.policy.recipients import without_recipient
from notification_sender.ports.ledger import Key
from notification_sender.settings import Settings


@dataclass(slots=True)
class ReplayResult:
    """The result of a replay or a drop, so far. Each letter counts once."""

    matched: int = 0
    would_send: int = 0
    """Letters moved back, or to be moved back. Includes work units: a worker composes them again."""
    skipped_delivered: int = 0
    """Letters of which everything was delivered: the letter is removed, and nothing is sent."""
    skipped_unwanted: Counter[str] = field(default_factory=Counter)
    """Letters that stay, by reason: their notification would be suppressed, and the letter lost."""
    delivered: Counter[str] = field(default_factory=Counter)
    """Notifications that were delivered already and are not sent again, by channel. A work unit may have several."""
    in_queue: int = 0
    """Letters of the queue when it began, the others included."""
    looked_at: int = 0
    dropped: int = 0
    ids: list[str] = field(default_factory=list)
    """Of the notifications whose letters were dropped."""


@dataclass(frozen=True, slots=True)
class Already:
    """The notifications of a letter that were delivered, by channel."""

    channels: Counter[str]
    everything: bool = False
    """Nothing is left to be sent."""


async def replay(
    settings: Settings,
    wanted: LetterFilter,
    counted: ReplayResult,
    *,
    dry_run: bool,
    rate: Limit | None = None,
    step: Callable[[], None] = lambda: None,
) -> None:
    """Move back the letters that would be sent; with ``dry_run`` only count them. ``counted`` is kept up to date.
    ``step`` is called after each letter. ``rate``: so many are moved at most. No letter is held for longer than the
    broker allows.

    Raises:
        Unready: RabbitMQ or Redis is away. Some letters may be moved already, and a repetition does no harm.
    """
    async with AsyncExitStack() as opened:
        store = await opened.enter_async_context(connected_store(settings))
        queue = await opened.enter_async_context(connected_queue(settings))
        judge = await Judge.of(store, SystemClock().now())
        async for it in _counted(queue, wanted, counted, step):
            moves = await _judged(judge, it, counted)
            if moves and not dry_run:
                await queue.move(it.letter, it.lane)
                if rate is not None:
                    queue.rest(rate.interval / SECOND)
            elif moves is None and not dry_run:
                await queue.take_away(it.letter)
            counted.would_send += bool(moves)


async def drop(
    settings: Settings, wanted: LetterFilter, counted: ReplayResult, *, most: int | None, step: Callable[[], None]
) -> None:
    """Remove ``most`` letters for good, the oldest (None: all): others came after the operator was asked. ``counted``
    and ``step`` as for ``replay``.

    Raises:
        Unready: RabbitMQ is away. Some letters may be removed already.
    """
    async with connected_queue(settings) as queue:
        async for it in _counted(queue, wanted, counted, step):
            await _remove(queue, it, wanted.recipient)
            counted.dropped += 1
            if it.notification is not None:
                counted.ids.append(it.notification.notification_id)
            if counted.dropped == most:
                return


async def _remove(queue: DeadQueue, it: Read, recipient: str | None) -> None:
    """A unit that has other recipients as well stays for those."""
    left = without_recipient(it.letter.body, recipient) if recipient and it.notification is None else None
    if left is None:
        await queue.take_away(it.letter)
    else:
        await queue.replace(it.letter, left)


async def _counted(
    queue: DeadQueue, wanted: LetterFilter, counted: ReplayResult, step: Callable[[], None]
) -> AsyncIterator[Read]:
    counted.in_queue = await queue.count()
    async for it in read_letters(queue, LetterFilter()):
        counted.looked_at += 1
        if it.is_wanted(wanted):
            counted.matched += 1
            yield it
        step()


async def _judged(judge: "Judge", it: Read, counted: ReplayResult) -> bool | None:
    """Whether the letter is to be moved back; None: it is to be removed, because nothing is left to be sent."""
    already = await judge.already(it)
    counted.delivered.update(already.channels)
    if already.everything:
        counted.skipped_delivered += 1
        return None
    if why := await judge.unwanted(it):
        counted.skipped_unwanted[why] += 1
    return not why


@dataclass(frozen=True, slots=True)
class Judge:
    """Predicts what a worker would do with a replayed letter, as far as the ledger tells."""

    store: Store
    now: float
    off: Collection[tuple[str, str]]
    """Pairs of organization and destination that are off at any address."""

    @classmethod
    async def of(cls, store: Store, now: float) -> "Judge":
        troubled = await store.troubled()
        return cls(store, now, {(it.organization_id, it.destination_id) for it in troubled if it.until > now})

    async def already(self, read: Read) -> Already:
        """The deliveries of it. Of a work unit that is known only if it names its destinations."""
        if (it := read.notification) is not None:
            delivered = await self._state(key_of(it)) == "delivered"
            return Already(Counter([it.destination.channel] if delivered else []), delivered)
        try:
            unit = decode(read.letter.body)
        except Permanent:
            return Already(Counter())
        if await self._state(Key(unit.organization_id, "unit", identity(unit))) == "done":  # by another copy of it
            return Already(Counter(), everything=True)
        return await self._already_of(unit)

    async def _already_of(self, unit: WorkUnit) -> Already:
        try:
            own = matching_destinations(unit, map(Destination.model_validate, unit.destinations or ()))
        except ValidationError:
            return Already(Counter())
        keys = (Key(unit.organization_id, "notification", notification_id(unit, it.destination_id)) for it in own)
        states = await asyncio.gather(*map(self._state, keys))
        channels = Counter(it.channel for it, state in zip(own, states, strict=True) if state == "delivered")
        return Already(channels, everything=bool(own) and channels.total() == len(own))

    async def _state(self, key: Key) -> str | None:
        return await self.store.ledger.state(key)

    async def unwanted(self, read: Read) -> str:
        """The reason for which it would be suppressed; empty: it would be sent."""
        return "" if read.notification is None else await self.unwanted_notification(read.notification)

    async def unwanted_notification(self, it: Notification) -> str:
        """As ``unwanted``."""
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
