"""The ledger and the rollcall on Redis: each verb is one script, one round trip, one atomic step."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from notification_sender.adapters.redis import Store
from notification_sender.adapters.scripts import load
from notification_sender.policy.limits import SECOND
from notification_sender.ports import (
    AdmitReply,
    Ask,
    Busy,
    Claim,
    ClaimReply,
    Crashed,
    Disabled,
    Final,
    Key,
    Mine,
    Settled,
    Stale,
    Throttled,
)

DISABLED = 7 * 86_400
"""Seconds that a destination stays off after its recipient asked for it."""

AT_ONCE = 500
"""Units that the audit looks up together."""

SIZE = b"size"
OVER = {b"delivered", b"suppressed", b"dead", b"done"}

CLAIM = load("record", "claim")
ADMIT = load("record", "admit")
SETTLE = load("record", "settle")
RENEW = load("record", "renew")
ENROLL = load("enroll")


class RedisLedger:
    """Ledger and Rollcall. ``lease``, ``ledger_ttl`` and ``horizon`` in seconds.

    Keys: ``<prefix>:1:{organization}:<kind>:<id>``; one organization is one slot of a cluster.
    """

    def __init__(
        self,
        *,
        redis: Store,
        prefix: str,
        lease: float,
        ledger_ttl: float,
        horizon: float,
        takeover_limit: int = 5,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._lease = round(lease * SECOND)
        self._ttl = round(ledger_ttl * 1000)
        self._horizon = round(horizon * SECOND)
        self._takeover_limit = takeover_limit

    async def claim(self, key: Key, token: str, attempt: int, *, replayed: bool) -> ClaimReply:
        arguments = (token, attempt, int(replayed), self._lease, self._ttl)
        return self._told(key, token, await self._redis.run(CLAIM, (self._at(key),), arguments))

    async def admit(self, ask: Ask) -> AdmitReply:
        keys = [self._at(ask.key), self._at(ask.destination)]
        arguments = [ask.token, ask.attempt, int(ask.replayed), self._lease, self._ttl, self._horizon]
        for limit in ask.limits:
            keys.append(f"{self._prefix}:1:{{{ask.key.organization_id}}}:limit:{limit.name}")
            arguments += (limit.name, limit.interval, limit.tolerance, limit.grace)
        match await self._redis.run(ADMIT, keys, arguments):
            case [b"throttled", delay, name]:
                return Throttled(delay / SECOND, name.decode())
            case [b"disabled"]:
                return Disabled()
            case told:
                return self._told(ask.key, ask.token, told)

    async def finish(self, claim: Claim, final: Final, *, disable: Key | None = None) -> bool:
        return await self._settle(claim, final=final, disable=disable)

    async def release(self, claim: Claim, attempt: int) -> bool:
        return await self._settle(claim, attempt=attempt)

    async def note(self, key: Key, final: Final) -> None:
        await self._settle(Claim(key, "", 0), final=final)

    async def renew(self, claim: Claim) -> bool:
        arguments = (claim.token, claim.fence, self._lease, self._ttl)
        return cast("int", await self._redis.run(RENEW, (self._at(claim.key),), arguments)) == 1

    async def enroll(self, batch_id: str, size: int, key: Key) -> None:
        await self._redis.run(ENROLL, (self._batch(batch_id),), (_name(key), size, self._ttl))

    async def expected(self, batch_id: str) -> int | None:
        size = await self._redis.execute("HGET", self._batch(batch_id), SIZE)
        return None if size is None else int(size)

    async def fates(self, batch_id: str) -> Mapping[str, Sequence[str]]:
        """By the names of the units' records, without the prefix."""
        members = cast("list[bytes]", await self._redis.execute("HKEYS", self._batch(batch_id)))
        names = [member.decode() for member in members if member != SIZE]
        fates: dict[str, Sequence[str]] = {}
        for start in range(0, len(names), AT_ONCE):
            some = names[start : start + AT_ONCE]
            fates |= zip(some, await asyncio.gather(*map(self._fate, some)), strict=True)
        return fates

    async def enable(self, organization_id: str, destination_id: str) -> int:
        """Switch a destination on again at every address; at how many it was off. Looks through all keys."""
        pattern = self._at(Key(organization_id, "destination", f"{destination_id}:*"))
        cursor, off = b"0", []
        while True:
            cursor, found = await self._redis.execute("SCAN", cursor, "MATCH", pattern, "COUNT", 1000)
            off += found
            if int(cursor) == 0:
                break
        return cast("int", await self._redis.execute("DEL", *off)) if off else 0

    async def _fate(self, name: str) -> Sequence[str]:
        state, ids = await self._redis.execute("HMGET", f"{self._prefix}:1:{name}", "state", "notifications")
        if state != b"done":
            return [_shown(state)]
        if not ids:
            return ["suppressed"]
        organization = name.partition("}")[0]
        keys = [f"{self._prefix}:1:{organization}}}:notification:{id_}" for id_ in ids.decode().split(" ")]
        return [_shown(it) for it in await asyncio.gather(*(self._redis.execute("HGET", key, "state") for key in keys))]

    async def _settle(
        self, claim: Claim, *, final: Final | None = None, attempt: int = 0, disable: Key | None = None
    ) -> bool:
        keys = [self._at(claim.key)]
        if disable is not None:
            keys.append(self._at(disable))
        state, text, ids = (final.state, final.text, " ".join(final.notifications)) if final else ("waiting", "", "")
        arguments = (claim.token, claim.fence, state, attempt, text, ids, self._ttl, DISABLED * 1000)
        return cast("int", await self._redis.run(SETTLE, keys, arguments)) == 1

    def _told(self, key: Key, token: str, reply: Any) -> ClaimReply:
        match reply:
            case [b"mine", fence, takeovers]:
                claim = Claim(key, token, fence)
                return Crashed(claim) if takeovers >= self._takeover_limit else Mine(claim, unknown=takeovers > 0)
            case [b"busy", delay]:
                return Busy(delay / SECOND)
            case [b"settled", state]:
                return Settled(state.decode())
            case [b"stale"]:
                return Stale()
        raise TypeError(f"the script answered {reply!r}")

    def _at(self, key: Key) -> str:
        return f"{self._prefix}:1:{_name(key)}"

    def _batch(self, batch_id: str) -> str:
        return f"{self._prefix}:1:{{batch:{batch_id}}}:units"


def _name(key: Key) -> str:
    return f"{{{key.organization_id}}}:{key.kind}:{key.id}"


def _shown(state: bytes | None) -> str:
    """A record that is gone, claimed or parked is waiting: never taken for a success."""
    return state.decode() if state in OVER else "waiting"
