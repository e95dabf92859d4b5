"""Collects the state of a fleet in one redacted object, for the report after an incident."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import orjson

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.redis.operators import Trouble
from notification_sender.app.check import run_checks
from notification_sender.app.dead_letters import LetterFilter, list_dead
from notification_sender.app.destinations import troubled
from notification_sender.app.records import cache_use, organizations
from notification_sender.channels.redaction import excerpt
from notification_sender.model.errors import NotificationSenderError
from notification_sender.model.timestamps import format_rfc3339
from notification_sender.settings import Settings

Part = Callable[[Settings], Awaitable[Any]]


async def snapshot(settings: Settings) -> dict[str, Any]:
    """Collect everything at once. A part that cannot be read is its fault: an incident often has one."""
    parts: Mapping[str, Part] = {
        "checks": run_checks,
        "organizations": lambda it: organizations(it, None),
        "destinations": _destinations,
        "dead": lambda it: list_dead(it, LetterFilter()),
        "cache": lambda it: cache_use(it, None),
    }
    found = await asyncio.gather(*(_part(part, settings) for part in parts.values()))
    return {
        "at": format_rfc3339(SystemClock().now(), "seconds"),
        "version": version("notification-sender"),
        "host": os.uname().nodename,
        "settings": settings.effective(),
        **_clean(orjson.loads(orjson.dumps(dict(zip(parts, found, strict=True))))),
    }


async def _destinations(settings: Settings) -> list[Trouble]:
    return await troubled(settings, None)


async def _part(part: Part, settings: Settings) -> Any:
    try:
        found = await part(settings)
    except (NotificationSenderError, OSError) as fault:
        return {"fault": str(fault)}
    return [asdict(it) for it in found]


def _clean(value: Any) -> Any:
    """Every text without what looks like a key, a token, a login or a mail address."""
    if isinstance(value, dict):
        return {name: _clean(it) for name, it in value.items()}
    if isinstance(value, list):
        return [_clean(it) for it in value]
    return excerpt(value.encode()) if isinstance(value, str) else value
