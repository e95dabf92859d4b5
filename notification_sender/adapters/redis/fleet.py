"""Shares call budgets and circuit-breaker probes between the processes of a fleet, on Redis."""

from typing import cast

from notification_sender.adapters.redis.client import Store
from notification_sender.adapters.redis.constants import SECOND
from notification_sender.adapters.redis.scripts import load
from notification_sender.ports.fleet import AllocationRequest

ALLOCATE = load("allocate")


class RedisFleet:
    """Keys: ``<prefix>:1:{api:<api>}:…``. ``period``: seconds between two announcements of a process."""

    def __init__(self, *, redis: Store, prefix: str, period: float) -> None:
        self._redis = redis
        self._prefix = prefix
        self._period = round(period * SECOND)

    async def allocate(self, api: str, pod: str, request: AllocationRequest) -> int:
        arguments = (pod, request.budget, request.in_flight, request.allocated, request.wanted, self._period)
        return cast("int", await self._redis.run(ALLOCATE, (self._key(api, "pods"),), arguments))

    async def try_acquire_probe(self, api: str, seconds: float) -> bool:
        reply = await self._redis.execute("SET", self._key(api, "probe"), 1, "NX", "PX", max(1, round(seconds * 1000)))
        return reply is not None

    async def release_probe(self, api: str) -> None:
        await self._redis.execute("DEL", self._key(api, "probe"))

    def _key(self, api: str, name: str) -> str:
        return f"{self._prefix}:1:{{api:{api}}}:{name}"
