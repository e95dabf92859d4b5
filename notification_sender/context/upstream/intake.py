"""Which APIs are out that units cannot do without, and whether a unit may be started all the same."""

import asyncio

from notification_sender.context.upstream.guards import Guards
from notification_sender.model.errors import Outage
from notification_sender.ports.clock import Clock

BETWEEN_PROBES = 1.0
"""Seconds between two units that may find out: one may need another API first, and never call this one."""


class UpstreamIntakeGate:
    """As ``ports.IntakeGate``. An API counts once it made a unit wait. A source that is optional, or old but good
    enough, or in the cache, stops no unit.
    """

    def __init__(self, guards: Guards, *, clock: Clock) -> None:
        self._guards = guards.by_api
        self._clock = clock
        self._blamed: set[str] = set()
        self._next_probe = 0.0
        self._moved = asyncio.Event()
        for guard in self._guards.values():
            guard.changes.append(self._moved.set)

    def admits(self) -> bool:
        if not self._blamed:
            return True
        self._blamed = {api for api in self._blamed if self._guards[api].out}
        return not self._blamed or self._probe_in() <= 0

    def unit_started(self) -> None:
        if self._blamed:
            self._next_probe = self._clock.monotonic() + BETWEEN_PROBES

    def record_failure(self, error: BaseException) -> None:
        cause: BaseException | None = error
        while cause is not None:
            if isinstance(cause, Outage) and cause.api in self._guards:
                self._blamed.add(cause.api)
                self._moved.set()
            cause = cause.__cause__

    async def changed(self) -> None:
        """Return also when a probe is due, and then once a second as long as no unit came to be one."""
        wait = self._probe_in() if self._blamed else None
        try:
            async with asyncio.timeout(BETWEEN_PROBES if wait is not None and wait <= 0 else wait):
                await self._moved.wait()
        except TimeoutError:
            return
        self._moved.clear()

    def _probe_in(self) -> float:
        """Seconds until a unit may find out."""
        due = max(self._guards[api].probe_in for api in self._blamed)
        return max(due, self._next_probe - self._clock.monotonic())
