"""The overrides of operators, as every process follows them."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import structlog

from notification_sender.model.errors import Unready
from notification_sender.model.override import Override
from notification_sender.model.timestamps import format_rfc3339
from notification_sender.ports.clock import Clock
from notification_sender.ports.fleet import PubSub
from notification_sender.ports.overrides import TOPIC, Overrides

PERIOD = 1.0
"""Seconds between two looks at the overrides: a message of pub/sub may be lost."""

_log = structlog.get_logger()

Listener = Callable[[Sequence[Override]], None]


class OverrideWatch:
    """Reads the overrides again when one changes, and every second; gives them to its listeners."""

    def __init__(
        self,
        *,
        overrides: Overrides,
        pubsub: PubSub,
        clock: Clock,
        listeners: Sequence[Listener],
        period: float = PERIOD,
    ) -> None:
        """``listeners``: each is given all overrides in force, whenever these are others than before."""
        self._overrides = overrides
        self._clock = clock
        self._listeners = listeners
        self._period = period
        self._known: list[Override] = []
        self._changed = asyncio.Event()
        pubsub.subscribe(TOPIC, lambda _: self._changed.set())

    def summary(self) -> list[dict[str, str]]:
        """The overrides in force, for people."""
        return [
            {"kind": it.kind, "subject": it.subject, "value": it.value, "until": format_rfc3339(it.until, "seconds")}
            for it in self._known
        ]

    async def follow(self) -> None:
        """Follow the overrides until it is cancelled. While Redis is away the known ones hold: nothing is sent."""
        while True:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), self._period)
            self._changed.clear()
            try:
                await self.refresh()
            except (Unready, RuntimeError) as fault:
                if isinstance(fault, RuntimeError):  # the key is no hash: another program wrote it
                    _log.error("override.unreadable", error=str(fault))
                await self._clock.sleep(self._period)

    async def refresh(self) -> None:
        """Read the overrides once. Raises Unready."""
        found = await self._overrides.active()
        if found == self._known:
            return
        for listener in self._listeners:
            try:
                listener(found)
            except (ValueError, LookupError) as fault:
                # One of another version must keep nobody from the others.
                _log.error("override.unreadable", error=str(fault))
        self._known = found
