"""The reports of a fleet, on Redis. Nothing is scanned: an index has the processes.

==========================================  ==========================================================
``<prefix>:1:{fleet}:reports``              sorted set: processes by the time of their last report, µs
``<prefix>:1:{fleet}:report:<process>``     hash: the report and a ring of samples (``lua/report.lua``)
``<prefix>:1:{fleet}:queues``               list of JSON: the latest depths of the queues, newest first
``<prefix>:1:{fleet}:leader``               string: which process asks for the depths of the queues
``<prefix>:1:{fleet}:objectives:<period>``  hash: what was observed of each step, of a day or an hour
``<prefix>:1:{fleet}:summary``              string, JSON: what that process made of all reports
==========================================  ==========================================================
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import orjson

from notification_sender.adapters.redis.client import Store
from notification_sender.adapters.redis.constants import RING_SAMPLES, SECOND
from notification_sender.adapters.redis.scripts import load
from notification_sender.model.process_report import FORM, ProcessReport, report_of
from notification_sender.policy.fleet_view import FleetView, Received, Sample
from notification_sender.policy.objectives import BUDGET_DAYS, Tallies, Tally

REPORT = load("report")

KEPT_MS = 3_600_000
"""Milliseconds for which a silent process is remembered: longer than anybody needs to see that it is frozen."""

SAMPLES = 24
"""Samples of the queues: two minutes."""

MOST_PROCESSES = 1000
"""Processes that are read: those that reported last."""

DAY, HOUR = 86_400, 3600
DAYS_KEPT = (BUDGET_DAYS + 1) * DAY
"""Seconds that the counts of a day are kept."""


class RedisReports:
    """See the module for the keys."""

    def __init__(self, *, redis: Store, prefix: str) -> None:
        self._redis = redis
        self._prefix = f"{prefix}:1:{{fleet}}:"

    async def write(self, report: ProcessReport, sample: str) -> float:
        data = orjson.dumps({"form": FORM, **asdict(report)})
        keys = (self._key("report", report.process), self._key("reports"))
        reply = await self._redis.run(REPORT, keys, (report.process, data, sample, KEPT_MS))
        return int(reply) / SECOND

    async def remove(self, process: str) -> None:
        await self._redis.execute("ZREM", self._key("reports"), process)
        await self._redis.execute("DEL", self._key("report", process))

    async def lead(self, process: str, seconds: float) -> bool:
        reply = await self._redis.execute("SET", self._key("leader"), process, "NX", "PX", round(1000 * seconds))
        return reply is not None

    async def add_sample(self, units: int, notifications: int, dead: int, ladder: Sequence[int]) -> Sequence[Sample]:
        key, now = self._key("queues"), await self._now()
        text = orjson.dumps({"at": now, "units": units, "notifications": notifications, "dead": dead, "ladder": ladder})
        await self._redis.execute("LPUSH", key, text)
        await self._redis.execute("LTRIM", key, 0, SAMPLES - 1)
        await self._redis.execute("PEXPIRE", key, KEPT_MS)
        return await self._samples()

    async def read(self) -> FleetView:
        found = await self._redis.execute("ZREVRANGE", self._key("reports"), 0, MOST_PROCESSES - 1, "WITHSCORES")
        known = [(bytes(name).decode(), float(at) / SECOND) for name, at in zip(found[::2], found[1::2], strict=True)]
        received = await asyncio.gather(*(self._read(name, at) for name, at in sorted(known)))
        samples = await self._samples()
        return FleetView(now=await self._now(), received=received, samples=samples)

    async def count(self, observed: Tallies) -> None:
        day, hour = await self._periods()
        for key, kept in (
            (self._key("objectives", f"day-{day}"), DAYS_KEPT),
            (self._key("objectives", f"hour-{hour}"), 3 * HOUR),
        ):
            fields = {f"{step} {name}": it for step, tally in observed.items() for name, it in tally._asdict().items()}
            await asyncio.gather(*(self._redis.execute("HINCRBY", key, name, it) for name, it in fields.items() if it))
            await self._redis.execute("EXPIRE", key, kept)

    async def objectives(self) -> tuple[Tallies, Tallies]:
        day, hour = await self._periods()
        hours = [self._key("objectives", f"hour-{it}") for it in (hour - 1, hour)]
        days = [self._key("objectives", f"day-{it}") for it in range(day - BUDGET_DAYS + 1, day + 1)]
        return await self._observed(hours), await self._observed(days)

    async def _periods(self) -> tuple[int, int]:
        """The numbers of this day and this hour since 1970."""
        now = await self._now()
        return int(now // DAY), int(now // HOUR)

    async def _observed(self, keys: Sequence[str]) -> Tallies:
        found: dict[str, Tally] = {}
        for flat in await asyncio.gather(*(self._redis.execute("HGETALL", key) for key in keys)):
            fields = iter(flat or ())
            for name, number in zip(fields, fields, strict=True):
                step, _, what = bytes(name).decode().rpartition(" ")
                found[step] = found.get(step, Tally()).plus(Tally(**{what: int(number)}))
        return found

    async def announce(self, summary: Mapping[str, Any], seconds: float) -> None:
        text = orjson.dumps(summary)
        await self._redis.execute("SET", self._key("summary"), text, "PX", round(1000 * seconds))

    async def announced(self) -> Mapping[str, Any] | None:
        text = await self._redis.execute("GET", self._key("summary"))
        return None if text is None else dict(orjson.loads(text))

    async def ring(self, process: str) -> list[str]:
        """The samples of a process, oldest first: the time in µs, and what the process wrote."""
        key = self._key("report", process)
        found = await self._redis.execute("HMGET", key, *map(str, range(RING_SAMPLES)))
        return sorted(bytes(it).decode() for it in found if it is not None)

    async def _read(self, process: str, at: float) -> Received:
        data = await self._redis.execute("HGET", self._key("report", process), "data")
        try:
            return Received(process, at, report_of(orjson.loads(data or b"null")))
        except (ValueError, TypeError, AttributeError):
            return Received(process, at, None)  # of another version, or written by somebody else

    async def _samples(self) -> list[Sample]:
        found = await self._redis.execute("LRANGE", self._key("queues"), 0, SAMPLES - 1)
        return [_sample(orjson.loads(it)) for it in reversed(found)]

    async def _now(self) -> float:
        seconds, microseconds = await self._redis.execute("TIME")
        return int(seconds) + int(microseconds) / SECOND

    def _key(self, *names: str) -> str:
        return self._prefix + ":".join(names)


def _sample(known: Mapping[str, Any]) -> Sample:
    return Sample(
        at=float(known["at"]),
        units=int(known["units"]),
        notifications=int(known["notifications"]),
        dead=int(known["dead"]),
        ladder=tuple(known["ladder"]),
    )
