"""Explains what became of one unit or notification."""

import asyncio
from dataclasses import replace

from notification_sender.adapters.redis.stories import RedisStories
from notification_sender.app.admin import connected_store
from notification_sender.app.asking import ANSWER_SECONDS
from notification_sender.app.dead_letters import LetterFilter, connected_queue, read_letters
from notification_sender.model.errors import NotificationSenderError
from notification_sender.policy.story import Chapter, Story, story
from notification_sender.settings import Settings


class Ambiguous(NotificationSenderError):
    """Several organizations have a unit of that id."""


async def explain(settings: Settings, id_: str, organization_id: str | None) -> Story | None:
    """The story of a unit or a notification, and of a dead one whether its letter is there; None: nothing is known.

    Raises:
        Ambiguous: several organizations have a unit of that id.
        Unready: Redis is away.
    """
    async with connected_store(settings) as opened:
        stories = RedisStories(redis=opened.redis, prefix=settings.keys_prefix)
        found = await stories.find(id_, organization_id)
        if len(owners := sorted({it.organization_id for it in found})) > 1:
            raise Ambiguous(f"{len(owners)} organizations have {id_}; add --organization: {', '.join(owners)}")
        if not found:
            return None
        if found[0].kind == "notification":
            whole = story(id_, [found[0], *await _units_of(stories, found[0])])
        else:
            whole = story(id_, [*found, *await stories.notifications(found)])
    return replace(whole, letter=await _letter(settings, found[0])) if whole.end == "dead" else whole


async def _letter(settings: Settings, of: Chapter) -> bool | None:
    """Whether its dead letter is there: an operator may have dropped it. None: RabbitMQ did not say."""
    wanted = LetterFilter(id=of.work_unit_id if of.kind == "unit" else of.name)
    try:
        async with asyncio.timeout(ANSWER_SECONDS), connected_queue(settings) as queue:
            async for _ in read_letters(queue, wanted):
                return True
    except (TimeoutError, NotificationSenderError):
        return None
    return False


async def _units_of(stories: RedisStories, notification: Chapter) -> list[Chapter]:
    """The unit of a notification: each version that names it, or all while none does."""
    if notification.work_unit_id is None:
        return []
    units = await stories.find(notification.work_unit_id, notification.organization_id)
    return [it for it in units if notification.name in it.notifications] or units
