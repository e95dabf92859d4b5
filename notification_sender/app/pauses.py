"""The operators' commands that pause and resume, and list what is paused."""

import asyncio
from dataclasses import dataclass

from notification_sender.adapters.rabbitmq.waiting import Step, Waiting, no_step
from notification_sender.app.admin import connected_store
from notification_sender.app.changes import Change, announce
from notification_sender.app.waiting import About, bring_back
from notification_sender.fleet.overrides import PERIOD
from notification_sender.model.override import Override, PauseScope
from notification_sender.ports.ledger import PAUSED
from notification_sender.settings import Settings

KNOWN_AFTER = 1.5 * PERIOD
"""Seconds after which every process knows that a pause has ended, also where a message of pub/sub was lost."""


@dataclass(frozen=True, slots=True)
class PauseResult:
    """A pause that began."""

    pause: Override
    unannounced: str
    """Why no event was published; empty if one was."""


@dataclass(frozen=True, slots=True)
class ResumeResult:
    """A pause that ended."""

    pause: Override | None
    """None: nothing was paused."""
    moved: int
    """Messages that waited for its end, and are in their queues now."""
    unannounced: str


async def paused(settings: Settings) -> list[Override]:
    """The pauses that have not ended.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        return await opened.overrides.active_pauses()


async def pause(settings: Settings, scope: PauseScope, *, seconds: float, by: str, note: str) -> PauseResult:
    """Hold back what ``scope`` covers.

    Raises:
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        made = await opened.overrides.pause(scope, seconds=seconds, by=by, note=note)
    change = _change("paused", scope, by=by, until=made.until, note=note or None)
    return PauseResult(made, await announce(settings, change))


async def resume(settings: Settings, scope: PauseScope, *, by: str, step: Step = no_step) -> ResumeResult:
    """End a pause, and move what waited for its end to its queue. A repetition moves what an earlier one did not.

    Raises:
        Unready: Redis is away, or RabbitMQ: then the pause has ended, and what waits comes back by itself later.
    """
    async with connected_store(settings) as opened:
        ended = await opened.overrides.resume(scope)
        others = await opened.overrides.active_pauses()
    unannounced = ""
    if ended is not None:
        unannounced = await announce(settings, _change("resumed", scope, by=by))
        await asyncio.sleep(KNOWN_AFTER)
    held = [PauseScope.of(it.subject) for it in others]

    def is_free(waiting: Waiting) -> bool:
        """Whether it waits for this pause, and no other one holds it."""
        about = About.of(waiting.body) if waiting.because == PAUSED else None
        return about is not None and about.is_held_by(scope) and not any(about.is_held_by(it) for it in held)

    again = "resume, with the same options"
    moved = await bring_back(settings, is_free, done="the pause has ended", again=again, step=step)
    return ResumeResult(ended, moved, unannounced)


def _change(change: str, scope: PauseScope, *, by: str, until: float | None = None, note: str | None = None) -> Change:
    return Change(
        change=change,
        by=by,
        subject=scope.subject,
        until=until,
        organization_id=scope.organization_id or None,
        destination_id=scope.destination_id or None,
        channel=scope.channel or None,
        note=note,
    )
