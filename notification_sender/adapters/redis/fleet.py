"""Shares call budgets and circuit-breaker probes between the processes of a fleet, on Redis."""

import json
from collections.abc import Sequence
from typing import cast

from notification_sender.adapters.redis.client import Store
from notification_sender.adapters.redis.constants import SECOND
from notification_sender.adapters.redis.scripts import load
from notification_sender.ports.fleet import AllocationRequest, OpenCircuit

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

    async def report_circuits(self, circuits: Sequence[OpenCircuit], seconds: float) -> None:
        """Report the open circuits of this process, for operators. A report is forgotten after ``seconds``."""
        key = f"{self._prefix}:1:{{circuits}}:open"
        for it in circuits:
            now = await self._now()
            facts = {"since": it.since, "probe_at": now + it.probe_in, "until": now + seconds}
            await self._redis.execute("HSET", key, it.subject, json.dumps(facts))
        if circuits:
            await self._redis.execute("PEXPIRE", key, round(1000 * seconds))

    async def reported_circuits(self) -> list[OpenCircuit]:
        """The circuits that any process reported lately, by subject."""
        stored = await self._redis.execute("HGETALL", f"{self._prefix}:1:{{circuits}}:open")
        if not stored:
            return []
        now, flat = await self._now(), iter(stored)
        found = [(name.decode(), json.loads(facts)) for name, facts in zip(flat, flat, strict=True)]
        return [
            OpenCircuit(name, it["since"], max(0.0, it["probe_at"] - now))
            for name, it in sorted(found)
            if it["until"] > now
        ]

    async def _now(self) -> float:
        seconds, microseconds = await self._redis.execute("TIME")
        return int(seconds) + int(microseconds) / SECOND

    def _key(self, api: str, name: str) -> str:
        return f"{self._prefix}:1:{{api:{api}}}:{name}"
