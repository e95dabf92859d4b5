"""All guards of a process: what they hear from the fleet, and what they announce to it."""

import asyncio
import secrets
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import structlog

from notification_sender.context.upstream.guard import TOPIC, Guard
from notification_sender.fleet.background import run_forever
from notification_sender.fleet.circuit import Change
from notification_sender.model.errors import Unready
from notification_sender.model.override import Override
from notification_sender.ports.fleet import Fleet, OpenCircuit, PubSub

PERIOD = 1.0
"""Seconds between two announcements of a process."""

HOLDS = 2 * PERIOD
"""Seconds from an announcement for which its answer holds: less than until a silent pod's part is reallocated."""

_log = structlog.get_logger()


class Guards:
    """The guards, by API."""

    def __init__(self, guards: Iterable[Guard], *, fleet: Fleet, pubsub: PubSub) -> None:
        self.by_api: Mapping[str, Guard] = MappingProxyType({guard.api: guard for guard in guards})
        self._fleet = fleet
        self._pod = secrets.token_hex(8)
        self._watching: asyncio.Task[None] | None = None
        pubsub.subscribe(TOPIC, self._on_message)

    def start(self) -> None:
        """From now on announce the calls of each API with a budget, and check each API for silence."""
        self._watching = run_forever(self._watch, "guards")

    async def stop(self) -> None:
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.wait([self._watching])

    def summary(self) -> dict[str, Any]:
        """For people."""
        return {api: guard.summary() for api, guard in self.by_api.items()}

    def force(self, overrides: Sequence[Override]) -> None:
        """Keep the circuits open or closed as these overrides say, and no others."""
        forced = {it.subject: it for it in overrides if it.kind == "circuit"}
        for api, guard in self.by_api.items():
            guard.force(forced.get(f"api/{api}"))

    def open_circuits(self) -> list[OpenCircuit]:
        """The circuits that opened by themselves."""
        open_ = ((api, it, it.open_since) for api, it in self.by_api.items())
        return [OpenCircuit(f"api/{api}", since, it.probe_in) for api, it, since in open_ if since is not None]

    async def announce(self) -> None:
        """Announce the calls of all APIs with a budget, once."""
        requests = {guard: request for guard in self.by_api.values() if (request := guard.allocation_request())}
        try:
            allotted = await asyncio.gather(*(self._fleet.allocate(it.api, self._pod, requests[it]) for it in requests))
        except Unready as fault:
            # Whether the store got it is not known. It leaves us the calls under way, as long as our part lasts.
            _log.warning("budget.not_announced", error=str(fault))
            return
        for guard, allocated in zip(requests, allotted, strict=True):
            guard.allow(allocated, HOLDS)

    async def _watch(self) -> None:
        while True:
            await self.announce()
            for guard in self.by_api.values():
                await guard.check_silence()
            await asyncio.sleep(PERIOD)

    def _on_message(self, text: str) -> None:
        match text.split():
            case [api, "out" | "asked" | "well" as state, seconds] if api in self.by_api:
                self.by_api[api].apply(Change(state, float(seconds)))
