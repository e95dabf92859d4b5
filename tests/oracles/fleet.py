"""What a fleet settles, in plain Python: what the script must do, and a fleet for tests."""

import math
from dataclasses import dataclass, field

from notification_sender.ports.clock import Clock
from notification_sender.ports.fleet import Share


@dataclass(slots=True)
class _Registry:
    since: float
    held: dict[str, tuple[int, float]] = field(default_factory=dict)
    """By pod: so much, until then."""


class MemoryFleet:
    """Several processes' worth, if they share it. ``period`` s between two announcements."""

    def __init__(self, *, clock: Clock, period: float) -> None:
        self._clock = clock
        self._period = period
        self._registries: dict[str, _Registry] = {}
        self._probes: dict[str, float] = {}

    async def allocate(self, api: str, pod: str, share: Share) -> int:
        now = self._clock.now()
        registry = self._registries.setdefault(api, _Registry(now))
        held = {it: (count, ends) for it, (count, ends) in registry.held.items() if it != pod and ends > now}
        pods, free = len(held) + 1, share.budget - sum(count for count, _ in held.values())
        grant = max(min(self._fair(registry, pods, share), free), share.under_way)
        registry.held = held | {pod: (grant, now + 3 * self._period)}
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

    def _fair(self, registry: _Registry, pods: int, share: Share) -> int:
        if self._clock.now() - registry.since < 2 * self._period:
            return share.held
        if pods > share.budget and not share.wanted:
            return 0
        return math.ceil(share.budget / pods)
