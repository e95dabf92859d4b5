"""Sends a real unit through the real queue, and follows its story to the end."""

import asyncio
import secrets
import time
from dataclasses import dataclass

import orjson

from notification_sender.adapters.redis.records import RedisRecords
from notification_sender.adapters.redis.stories import RedisStories
from notification_sender.app.admin import connected_store, publish
from notification_sender.model.timestamps import format_rfc3339
from notification_sender.policy.canary import Steps, steps
from notification_sender.policy.story import Story, story
from notification_sender.settings import Settings

PERIOD = 0.2
"""Seconds between two looks at the story."""

ENDS = ("delivered", "dead", "suppressed")


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """How the canary ended, and how long each step took. ``end`` is ``waiting`` if it has not ended in time."""

    work_unit_id: str
    end: str
    reason: str
    steps: Steps


async def canary(
    settings: Settings, organization_id: str, incident_id: str, url: str, *, within: float
) -> CanaryResult:
    """Publish a unit about this incident for this URL alone, and wait until it has ended.

    Raises:
        Unready: RabbitMQ or Redis is away.
    """
    name = f"canary-{secrets.token_hex(8)}"
    unit = {
        "work_unit_id": name,
        "organization_id": organization_id,
        "incident_id": incident_id,
        "event": "canary",
        # Nobody waits for a canary that is late.
        "expires_at": format_rfc3339(time.time() + within, "seconds"),
        "destinations": [{"destination_id": "canary", "channel": "webhook", "url": url}],
    }
    async with connected_store(settings) as opened:
        published = await RedisRecords(redis=opened.redis, prefix=settings.keys_prefix).now()
        await publish(settings, [orjson.dumps(unit)], lambda: None)
        stories = RedisStories(redis=opened.redis, prefix=settings.keys_prefix)
        until, known = time.monotonic() + within, None
        while time.monotonic() < until:
            known = await _story(stories, name, organization_id)
            if known is not None and known.end in ENDS:
                return CanaryResult(name, known.end, known.reason, steps(known, published))
            await asyncio.sleep(PERIOD)
    return CanaryResult(name, "waiting", "", steps(known, published))


async def _story(stories: RedisStories, name: str, organization_id: str) -> Story | None:
    unit = await stories.read(organization_id, "unit", name)
    return story(name, [unit, *await stories.notifications([unit])]) if unit.record else None
