"""All guards of a process: what they hear from the fleet, and what they tell it."""

import asyncio
import secrets
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any

import structlog

from notification_sender.context.guard import TOPIC, Guard
from notification_sender.model.errors import Unready
from notification_sender.ports import Fleet, News

PERIOD = 1.0
"""Seconds between two announcements of a process."""

HOLDS = 2 * PERIOD
"""Seconds from an announcement for which its answer holds: less than others need to take over what is silent."""

_log = structlog.get_logger()


class Guards:
    """By API."""

    def __init__(self, guards: Iterable[Guard], *, fleet: Fleet, news: News) -> None:
        self.by_api: Mapping[str, Guard] = MappingProxyType({guard.api: guard for guard in guards})
        self._fleet = fleet
        self._pod = secrets.token_hex(8)
        self._announcing: asyncio.Task[None] | None = None
        news.hear(TOPIC, self._hear)

    def start(self) -> None:
        """Announce what is held, and go on doing so, where there is a budget."""
        if any(guard.share() for guard in self.by_api.values()):
            self._announcing = asyncio.create_task(self._announce_for_ever(), name="announcements")

    async def stop(self) -> None:
        if self._announcing is not None:
            self._announcing.cancel()
            await asyncio.wait([self._announcing])

    def summary(self) -> dict[str, Any]:
        """For people."""
        return {api: guard.summary() for api, guard in self.by_api.items()}

    async def announce(self) -> None:
        """Once, for all APIs with a budget."""
        shares = {guard: share for guard in self.by_api.values() if (share := guard.share())}
        try:
            allotted = await asyncio.gather(*(self._fleet.allot(it.api, self._pod, shares[it]) for it in shares))
        except Unready as fault:
            # What became of it is not known: it left us what is under way at least, as long as we have that anyway.
            _log.warning("budget.not_announced", error=str(fault))
            return
        for guard, held in zip(shares, allotted, strict=True):
            guard.allow(held, HOLDS)

    async def _announce_for_ever(self) -> None:
        while True:
            await self.announce()
            await asyncio.sleep(PERIOD)

    def _hear(self, text: str) -> None:
        match text.split():
            case [api, "out" | "well" as state, seconds] if api in self.by_api:
                self.by_api[api].heard(state, float(seconds))
