"""What a fleet settles, in plain Python: what the script must do, and a fleet for tests."""

import math
from dataclasses import dataclass, field

from notification_sender.adapters.redis.constants import SILENT_PERIODS, UNSURE_PERIODS
from notification_sender.ports.clock import Clock
from notification_sender.ports.fleet import AllocationRequest


@dataclass(slots=True)
class _Registry:
    since: float
    allocated: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By pod: so much, until then."""


class MemoryFleet:
    """Several processes' worth, if they share it. ``period`` s between two announcements."""

    def __init__(self, *, clock: Clock, period: float) -> None:
        self._clock = clock
        self._period = period
        self._registries: dict[str, _Registry] = {}
        self._probes: dict[str, float] = {}

    async def allocate(self, api: str, pod: str, request: AllocationRequest) -> int:
        now = self._clock.now()
        registry = self._registries.setdefault(api, _Registry(now))
        allocated = {it: (count, ends) for it, (count, ends) in registry.allocated.items() if it != pod and ends > now}
        pods, free = len(allocated) + 1, request.budget - sum(count for count, _ in allocated.values())
        grant = max(min(self._fair(registry, pods, request), free), request.in_flight)
        registry.allocated = allocated | {pod: (grant, now + SILENT_PERIODS * self._period)}
        return grant

    async def try_acquire_probe(self, api: str, seconds: float) -> bool:
        now = self._clock.now()
        if self._probes.get(api, 0.0) > now:
            return False
        self._probes[api] = now + seconds
        return True

    async def release_probe(self, api: str) -> None:
        self._probes.pop(api, None)

    def forget(self) -> None:
        """As when the store is flushed."""
        self._registries.clear()
        self._probes.clear()

    def _fair(self, registry: _Registry, pods: int, request: AllocationRequest) -> int:
        if self._clock.now() - registry.since < UNSURE_PERIODS * self._period:
            return request.allocated
        if pods > request.budget and not request.wanted:
            return 0
        return math.ceil(request.budget / pods)
