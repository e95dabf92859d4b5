"""The operators' commands for what waits: move chosen messages of the delay ladder to their lanes now."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.waiting import (
    Moved,
    Step,
    Waiting,
    WaitingMessages,
    no_step,
    waiting_messages,
)
from notification_sender.app.asking import opened
from notification_sender.app.backends import topology
from notification_sender.app.changes import Change, announce
from notification_sender.app.reach import Place
from notification_sender.app.tls import broker_address
from notification_sender.model.errors import ConfigurationFault, Permanent, Unready
from notification_sender.model.notification import MAX_READ
from notification_sender.model.override import PauseScope
from notification_sender.model.strict_json import read_json
from notification_sender.settings import Settings
from notification_sender.telemetry import log

Wanted = Callable[[Waiting], bool]


@dataclass(frozen=True, slots=True)
class WaitingFilter:
    """A filter of waiting messages. None matches every message."""

    id: str | None = None
    """Of a notification or of a work unit."""
    organization_id: str | None = None
    destination_id: str | None = None
    reason: str | None = None

    def change(self, *, by: str, count: int) -> Change:
        """The event of a retry."""
        return Change(
            change="retried",
            by=by,
            subject=f"message/{self.id}" if self.id else "messages",
            organization_id=self.organization_id,
            destination_id=self.destination_id,
            reason=self.reason,
            count=count,
        )

    def __call__(self, waiting: Waiting) -> bool:
        if self.reason is not None and self.reason != waiting.because:
            return False
        about = About.of(waiting.body)
        return (
            self.id in {None, about.notification_id, about.work_unit_id}
            and self.organization_id in {None, about.organization_id}
            and self.destination_id in {None, about.destination_id}
        )


@dataclass(frozen=True, slots=True)
class About:
    """What the body of a message says of itself. Of a work unit the destination is unknown."""

    organization_id: str = ""
    work_unit_id: str = ""
    notification_id: str = ""
    destination_id: str = ""
    channel: str = ""

    @classmethod
    def of(cls, body: bytes) -> "About":
        fields = fields_of(body)
        destination = fields.get("destination")
        named = fields | (destination if isinstance(destination, dict) else {})
        return cls(**{name: it for name in cls.__slots__ if isinstance(it := named.get(name), str)})

    def is_held_by(self, scope: PauseScope) -> bool:
        """Whether a pause of ``scope`` holds it. A unit is held by a pause of its organization alone."""
        if not self.notification_id:
            return scope in {PauseScope(), PauseScope(self.organization_id)}
        return scope.covers(self.organization_id, self.destination_id, self.channel)


def fields_of(body: bytes) -> dict[str, Any]:
    """The fields of a body that is a JSON object; none of one that is not."""
    try:
        read: Any = read_json(body, limit=MAX_READ)
    except Permanent:
        return {}
    return read if isinstance(read, dict) else {}


@dataclass(frozen=True, slots=True)
class RetryResult:
    """How many messages wait, and how many of them are tried now."""

    waiting: int
    matched: int
    unannounced: str


async def retry(
    settings: Settings, wanted: WaitingFilter, *, by: str, dry_run: bool, step: Step = no_step
) -> RetryResult:
    """Move what waits to its lane now; with ``dry_run`` only count it. Raises as ``move_waiting``."""
    moved = await move_waiting(settings, wanted, dry_run=dry_run, step=step)
    unannounced = ""
    if moved.matched and not dry_run:
        unannounced = await announce(settings, wanted.change(by=by, count=moved.matched))
    return RetryResult(moved.read, moved.matched, unannounced)


async def move_waiting(settings: Settings, wanted: Wanted, *, dry_run: bool, step: Step = no_step) -> Moved:
    """Move every wanted message to its lane; with ``dry_run`` only count them. ``step`` is called after each message.

    Raises:
        ConfigurationFault: the broker keeps its messages in a worker's memory.
        Unready: the broker is away. Some messages may be moved already, and a repetition does no harm.
    """
    async with _connected(settings) as messages:
        return await messages.move(wanted, dry_run=dry_run, step=step)


async def bring_back(settings: Settings, wanted: Wanted, *, done: str, again: str, step: Step = no_step) -> int:
    """Move every wanted message after a change that is made already: ``done``. ``again``: the command that moves them
    later. Returns their number.

    Raises:
        Unready: the broker is away. The text says that the change is made, and what to do.
    """
    try:
        moved = await move_waiting(settings, wanted, dry_run=False, step=step)
    except Unready as fault:
        raise Unready(
            f"{done}, but what waits was not moved: {fault}; then run: notification-sender {again}"
        ) from fault
    return moved.matched


@asynccontextmanager
async def _connected(settings: Settings) -> AsyncIterator[WaitingMessages]:
    log.to_people()
    url = settings.amqp_url.get_secret_value()
    if settings.amqp_url.scheme == "memory":
        raise ConfigurationFault("NS_AMQP_URL: memory:// keeps messages in the worker's memory; use amqp://")
    manager = waiting_messages(broker_address(settings), topology(settings), SystemClock())
    async with opened(Place.of("NS_AMQP_URL", url), manager) as messages:
        yield messages
