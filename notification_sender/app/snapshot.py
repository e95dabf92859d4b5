"""Collects the state of a fleet in one redacted object, for the report after an incident."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import orjson

from notification_sender.adapters.clock import SystemClock
from notification_sender.app.admin import connected_store
from notification_sender.app.check import run_checks
from notification_sender.app.circuits import circuits
from notification_sender.app.dead_letters import LetterFilter, list_dead
from notification_sender.app.destinations import troubled
from notification_sender.app.diagnosis import fleet_view
from notification_sender.app.records import cache_use, organizations
from notification_sender.channels.redaction import excerpt
from notification_sender.model.errors import NotificationSenderError, Unready
from notification_sender.model.timestamps import format_rfc3339
from notification_sender.policy.summary import processes_of, state_of, summary
from notification_sender.policy.verdict import verdict
from notification_sender.settings import Settings

Part = Callable[[Settings], Awaitable[Any]]


async def snapshot(settings: Settings) -> dict[str, Any]:
    """Collect everything at once. A part that cannot be read is its fault: an incident often has one."""
    found = await asyncio.gather(*(_part(part, settings) for part in PARTS.values()))
    return {
        "at": format_rfc3339(SystemClock().now(), "seconds"),
        "version": version("notification-sender"),
        "host": os.uname().nodename,
        "settings": settings.effective(),
        **_clean(orjson.loads(orjson.dumps(dict(zip(PARTS, found, strict=True))))),
    }


async def _checks(settings: Settings) -> list[Any]:
    return [asdict(it) for it in await run_checks(settings)]


async def _why(settings: Settings) -> dict[str, Any]:
    view = await fleet_view(settings)
    return summary(verdict(view)) | {"state": state_of(view)}


async def _processes(settings: Settings) -> list[Any]:
    view = await fleet_view(settings)
    if view.redis_fault:
        raise Unready(view.redis_fault)
    return processes_of(view)


async def _organizations(settings: Settings) -> list[Any]:
    return [it.known() for it in await organizations(settings, None)]


async def _destinations(settings: Settings) -> list[Any]:
    return [it.known() for it in await troubled(settings, None)]


async def _circuits(settings: Settings) -> list[Any]:
    found = (await circuits(settings)).open
    return [asdict(it) | {"since": format_rfc3339(it.since, "seconds")} for it in found]


async def _overrides(settings: Settings) -> list[Any]:
    async with connected_store(settings) as opened:
        return [it.known() for it in await opened.overrides.active()]


async def _dead(settings: Settings) -> list[Any]:
    groups = await list_dead(settings, LetterFilter())
    return [asdict(it) | {"oldest": format_rfc3339(it.oldest, "seconds")} for it in groups]


async def _cache(settings: Settings) -> list[Any]:
    return [asdict(it) for it in await cache_use(settings, None)]


PARTS: Mapping[str, Part] = {
    "checks": _checks,
    "why": _why,
    "processes": _processes,
    "organizations": _organizations,
    "destinations": _destinations,
    "circuits": _circuits,
    "overrides": _overrides,
    "dead": _dead,
    "cache": _cache,
}


async def _part(part: Part, settings: Settings) -> Any:
    try:
        return await part(settings)
    except (NotificationSenderError, OSError) as fault:
        return {"fault": str(fault)}


def _clean(value: Any) -> Any:
    """Every text without what looks like a key, a token, a login or a mail address."""
    if isinstance(value, dict):
        return {name: _clean(it) for name, it in value.items()}
    if isinstance(value, list):
        return [_clean(it) for it in value]
    return excerpt(value.encode()) if isinstance(value, str) else value
