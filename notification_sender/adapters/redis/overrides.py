"""The overrides of operators on Redis: a hash of all of them, and for each organization its pauses.

Keys: ``<prefix>:1:{overrides}:active``, a hash. A field is the kind, a slash and the subject.
``<prefix>:1:{organization}:pauses``, a hash of its pauses and of its destinations that are off. ``admit.lua`` reads it:
nothing is sent in the moment in which a process does not know of them yet.
"""

import json
from typing import Any, get_args

from notification_sender.adapters.redis.client import Store
from notification_sender.adapters.redis.constants import SECOND
from notification_sender.model.errors import Permanent, Unready
from notification_sender.model.override import LONGEST_OVERRIDE, Kind, Override, PauseScope
from notification_sender.model.strict_json import read_json
from notification_sender.policy.overrides import check, readable
from notification_sender.ports.fleet import PubSub
from notification_sender.ports.overrides import TOPIC

PAUSE: Kind = "pause"
MAX_BYTES = 16_384
"""Of one override. All are read every second by every process."""

EXPIRY_MS = round((LONGEST_OVERRIDE + 1) * 1000)
"""Milliseconds that the hashes live after the last change: no override lasts longer."""


class RedisOverrides:
    """Implements ``Overrides``. Each change is published, so that processes read the overrides again at once."""

    def __init__(self, *, redis: Store, prefix: str, pubsub: PubSub) -> None:
        self._redis = redis
        self._prefix = prefix
        self._pubsub = pubsub
        self._key = f"{prefix}:1:{{overrides}}:active"

    async def active(self) -> list[Override]:
        stored = await self._redis.execute("HGETALL", self._key)
        if not stored:
            return []
        now, fields = await self.now(), iter(stored)
        found = [_read(name, value) for name, value in zip(fields, fields, strict=True)]
        return sorted((it for it in found if it is not None and it.until > now), key=lambda it: (it.kind, it.subject))

    async def active_pauses(self) -> list[Override]:
        return [it for it in await self.active() if it.kind == PAUSE]

    async def pause(self, scope: PauseScope, *, seconds: float, by: str, note: str = "") -> Override:
        override = await self._put(PAUSE, scope.subject, "", seconds=seconds, by=by, note=note)
        if scope.organization_id:
            await self._mark(scope.organization_id, field(scope), override.until)
        await self._pubsub.publish(TOPIC, scope.subject)
        return override

    async def resume(self, scope: PauseScope) -> Override | None:
        # First what the scripts read: a command that is cut off in between may be repeated.
        if scope.organization_id:
            await self._redis.execute("HDEL", self._pauses(scope.organization_id), field(scope))
        return await self.remove(PAUSE, scope.subject)

    async def switch_off(
        self, organization_id: str, destination_id: str, *, seconds: float, by: str, note: str = ""
    ) -> Override:
        subject = PauseScope(organization_id, destination_id).subject
        override = await self.put("off", subject, "", seconds=seconds, by=by, note=note)
        await self._mark(organization_id, f"off/{destination_id}", override.until)
        return override

    async def switch_on(self, organization_id: str, destination_id: str) -> Override | None:
        await self._redis.execute("HDEL", self._pauses(organization_id), f"off/{destination_id}")
        return await self.remove("off", PauseScope(organization_id, destination_id).subject)

    async def _mark(self, organization_id: str, name: str, until: float) -> None:
        """Write what ``admit.lua`` reads."""
        key = self._pauses(organization_id)
        await self._redis.execute("HSET", key, name, round(until * SECOND))
        await self._redis.execute("PEXPIRE", key, EXPIRY_MS)

    async def put(self, kind: Kind, subject: str, value: str, *, seconds: float, by: str, note: str = "") -> Override:
        override = await self._put(kind, subject, value, seconds=seconds, by=by, note=note)
        await self._pubsub.publish(TOPIC, subject)
        return override

    async def remove(self, kind: Kind, subject: str) -> Override | None:
        name = f"{kind}/{subject}"
        stored = await self._redis.execute("HGET", self._key, name)
        await self._redis.execute("HDEL", self._key, name)
        await self._pubsub.publish(TOPIC, subject)
        override = stored and _read(name.encode(), stored)
        return override if override and override.until > await self.now() else None

    async def _put(self, kind: Kind, subject: str, value: str, *, seconds: float, by: str, note: str) -> Override:
        now = await self.now()
        await self._forget_ended(now)
        override = Override(kind, subject, now, now + min(seconds, LONGEST_OVERRIDE), by, value, note)
        await self._redis.execute("HSET", self._key, f"{kind}/{subject}", _written(override))
        await self._redis.execute("PEXPIRE", self._key, EXPIRY_MS)
        return override

    async def _forget_ended(self, now: float) -> None:
        stored = iter(await self._redis.execute("HGETALL", self._key))
        for name, value in zip(stored, stored, strict=True):
            override = _read(name, value)
            if override is None or override.until <= now:
                await self._redis.execute("HDEL", self._key, name)

    async def now(self) -> float:
        """Epoch seconds by the clock of Redis, from which all ends count."""
        reply = await self._redis.execute("TIME")
        if not isinstance(reply, list):
            raise Unready("Redis did not say its time")
        return int(reply[0]) + int(reply[1]) / SECOND

    def _pauses(self, organization_id: str) -> str:
        return f"{self._prefix}:1:{{{organization_id}}}:pauses"


def field(scope: PauseScope) -> str:
    """Of the hash of an organization's pauses, as ``admit.lua`` names it."""
    if scope.destination_id:
        return f"destination/{scope.destination_id}"
    return f"channel/{scope.channel}" if scope.channel else "organization"


def _written(override: Override) -> bytes:
    facts = {name: getattr(override, name) for name in ("since", "until", "by", "value", "note")}
    return json.dumps(facts).encode()


def _read(name: bytes, value: bytes) -> Override | None:
    """None: a newer version wrote it, or another program."""
    kind, _, subject = name.decode(errors="replace").partition("/")
    if kind not in get_args(Kind):
        return None
    try:
        facts: Any = read_json(value, limit=MAX_BYTES)
        times = float(facts["since"]), float(facts["until"])
        words = [readable(facts[it]) for it in ("by", "value", "note")]
        override = Override(kind, subject, *times, *words)  # type: ignore[arg-type]  # one of the kinds
        check(override)
    except (Permanent, ValueError, KeyError, TypeError, OverflowError):
        return None
    return override
