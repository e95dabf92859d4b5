"""The dead letters as operators see them: counted by reason and destination, or each by itself."""

from bisect import insort
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.dead_letters import DeadQueue, Letter, dead_queue
from notification_sender.app.asking import opened
from notification_sender.app.backends import topology
from notification_sender.app.reach import Place
from notification_sender.app.tls import broker_address
from notification_sender.channels.redaction import REDACTED
from notification_sender.model.errors import ConfigurationFault, Permanent
from notification_sender.model.notification import Notification, decode
from notification_sender.model.strict_json import read_json
from notification_sender.model.timestamps import format_rfc3339
from notification_sender.policy.recipients import recipients_of
from notification_sender.policy.unknown import unknown
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
    id: str | None = None
    """Of a notification, or of a work unit: that matches the letters of its notifications, too."""
    recipient: str | None = None
    """The hash of a mail address: the letters to it, and the units that name it."""


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


@dataclass(frozen=True, slots=True)
class Read:
    """A letter with its parsed content."""

    letter: Letter
    notification: Notification | None
    unit: Mapping[str, Any]
    """The fields of a work unit, as far as they could be read."""

    @property
    def organization_id(self) -> str | None:
        return self._text("organization_id") if self.notification is None else self.notification.organization_id

    @property
    def work_unit_id(self) -> str | None:
        return self._text("work_unit_id") if self.notification is None else self.notification.work_unit_id

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
        ids = (self.work_unit_id, None if self.notification is None else self.notification.notification_id)
        if wanted.recipient is not None and wanted.recipient not in recipients_of(self.letter.body):
            return False
        return (wanted.id is None or wanted.id in ids) and all(
            it is None or it == mine for it, mine in zip(asked, own, strict=True)
        )

    def _text(self, field: str) -> str | None:
        value = self.unit.get(field)
        return value if isinstance(value, str) else None


async def list_dead(settings: Settings, wanted: LetterFilter) -> list[LetterGroup]:
    """Count the dead letters, the largest group first. Every letter stays.

    Raises:
        Unready: the broker is away.
    """
    groups: dict[tuple[str | None, ...], LetterGroup] = {}
    async with connected_queue(settings) as queue:
        async for it in read_letters(queue, wanted):
            about = (it.letter.reason, it.organization_id, it.destination_id)
            group = groups.setdefault(about, LetterGroup(*about))
            if not group.count or it.letter.first_seen < group.oldest:
                group.oldest, group.detail = it.letter.first_seen, it.letter.detail
            group.count += 1
    return sorted(groups.values(), key=lambda group: -group.count)


@dataclass(frozen=True, slots=True)
class ShownLetters:
    """The oldest letters that match, each with all that it says; and how many match."""

    letters: list[dict[str, Any]]
    matched: int


async def show_dead(settings: Settings, wanted: LetterFilter, *, most: int, content: bool) -> ShownLetters:
    """The ``most`` oldest letters; with ``content`` also what each would send.

    Raises:
        Unready: the broker is away.
    """
    oldest: list[tuple[float, int, Read]] = []
    matched = 0
    async with connected_queue(settings) as queue:
        async for it in read_letters(queue, wanted):
            matched += 1
            insort(oldest, (it.letter.first_seen, matched, it))
            del oldest[most:]
    return ShownLetters([_described(it) | (_content(it) if content else {}) for _, _, it in oldest], matched)


def unmatched(wanted: LetterFilter, groups: Sequence[LetterGroup]) -> str:
    """Why no letter matches ``wanted``, where ``groups`` are all of them: a name that no letter has, or empty."""
    fields = {
        "reason": wanted.reason,
        "organization_id": wanted.organization_id,
        "destination_id": wanted.destination_id,
    }
    for field, asked in fields.items():
        known = {name for it in groups if (name := getattr(it, field))}
        if asked is not None and asked not in known:
            return unknown(f"{field.removesuffix('_id')} of a dead letter", asked, known)
    return ""


def _described(read: Read) -> dict[str, Any]:
    letter = read.letter
    known = {
        "reason": letter.reason,
        "detail": letter.detail,
        "stage": letter.stage,
        "first_seen": format_rfc3339(letter.first_seen, "seconds"),
        "organization_id": read.organization_id,
        "work_unit_id": read.work_unit_id,
        "bytes": len(letter.body),
    }
    if (it := read.notification) is None:
        return known
    return known | {
        "notification_id": it.notification_id,
        "destination_id": it.destination.destination_id,
        "channel": it.destination.channel,
        "address": _address(it.destination.extra),
        "template": it.destination.template or it.kind,
        "template_version": it.template_version,
        "replays": it.replays,
        "attempts": [
            {"attempt": one.attempt, "at": format_rfc3339(one.at, "seconds"), "sent": one.sent, "error": one.error}
            for one in sorted(it.tries, key=lambda one: one.at)
        ]
        + _last_attempt(letter, it),
    }


def _last_attempt(letter: Letter, it: Notification) -> list[dict[str, Any]]:
    """The attempt of which it died, where the history ends before it: an answer that is final is no failed attempt."""
    if letter.stage != DELIVER or (it.tries and it.tries[-1].attempt >= it.attempt):
        return []
    return [{"attempt": it.attempt, "at": None, "sent": None, "error": letter.detail}]


def _address(destination: Mapping[str, Any]) -> str:
    """Host of a webhook, domain of an email: the rest may be a secret, or names a person."""
    url, to = destination.get("url"), destination.get("to")
    if isinstance(to, str):
        return f"{REDACTED}@{to.rpartition('@')[2]}"
    try:
        return urlsplit(url).hostname or "" if isinstance(url, str) else ""
    except ValueError:
        return ""


def _content(read: Read) -> dict[str, Any]:
    if read.notification is not None:
        return {"content": read.notification.content}
    return {"content": read.letter.body.decode(errors="replace")}


async def read_letters(queue: DeadQueue, wanted: LetterFilter) -> AsyncIterator[Read]:
    """The wanted letters, the oldest first."""
    async for letter in queue.letters():
        read = _about(letter)
        if read.is_wanted(wanted):
            yield read


def _about(letter: Letter) -> Read:
    try:
        return Read(letter, decode(letter.body), {})
    except Permanent:
        return Read(letter, None, _unit(letter.body))


def _unit(body: bytes) -> Mapping[str, Any]:
    try:
        unit: Any = read_json(body)
    except Permanent:
        return {}
    return unit if isinstance(unit, dict) else {}


@asynccontextmanager
async def connected_queue(settings: Settings) -> AsyncIterator[DeadQueue]:
    """Connect to RabbitMQ for one command.

    Raises:
        Unready: the broker is away, or has no such queue.
    """
    log.to_people()
    url = settings.amqp_url.get_secret_value()
    if settings.amqp_url.scheme == "memory":
        raise ConfigurationFault("NS_AMQP_URL: memory:// keeps dead letters in the worker's memory; use amqp://")
    manager = dead_queue(broker_address(settings), topology(settings), SystemClock())
    async with opened(Place.of("NS_AMQP_URL", url), manager) as queue:
        yield queue
