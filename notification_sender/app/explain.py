"""Explains what became of one unit or notification."""

from notification_sender.adapters.redis.stories import RedisStories
from notification_sender.app.admin import connected_store
from notification_sender.model.errors import NotificationSenderError
from notification_sender.policy.story import Chapter, Story, story
from notification_sender.settings import Settings


class Ambiguous(NotificationSenderError):
    """Several organizations have a unit of that id."""


async def explain(settings: Settings, id_: str, organization_id: str | None) -> Story | None:
    """The story of a unit or a notification; None: nothing is known of it.

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
            return story(id_, [found[0], *await _units_of(stories, found[0])])
        return story(id_, [*found, *await stories.notifications(found)])


async def _units_of(stories: RedisStories, notification: Chapter) -> list[Chapter]:
    """The unit of a notification: each version that names it, or all while none does."""
    if notification.work_unit_id is None:
        return []
    units = await stories.find(notification.work_unit_id, notification.organization_id)
    return [it for it in units if notification.name in it.notifications] or units
