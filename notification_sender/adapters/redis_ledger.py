"""The ledger and the rollcall on Redis: each verb is one script, one round trip, one atomic step."""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any, cast

from notification_sender.adapters.redis import Store
from notification_sender.adapters.scripts import Script, load
from notification_sender.policy.limits import LATE, SECOND
from notification_sender.ports import (
    SUSPECT,
    AdmitReply,
    Ask,
    Busy,
    Claim,
    ClaimReply,
    Crashed,
    Final,
    Key,
    Mine,
    Settled,
    Stale,
    Suspect,
    Throttled,
    Tried,
    Unwanted,
    Written,
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
BEGIN = load("record", "begin")
RENEW = load("record", "renew")
ENROLL = load("enroll")


class RedisLedger:
    """Ledger and Rollcall. ``lease``, ``ledger_ttl``, ``horizon`` and ``disable_after`` in seconds.

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
        disable_after: float,
        takeover_limit: int = 5,
    ) -> None:
        self._redis = redis
        self._prefix = prefix
        self._lease = round(lease * SECOND)
        self._ttl = round(ledger_ttl * 1000)
        self._horizon = round(horizon * SECOND)
        self._disabling = (round(disable_after * SECOND), DISABLED * SECOND)
        self._takeover_limit = takeover_limit

    async def claim(self, key: Key, token: str, attempt: int, *, replays: int, alone: bool = True) -> ClaimReply:
        arguments = (token, replays, attempt, self._lease, self._ttl, 0 if alone else SUSPECT)
        return self._told(key, token, await self._redis.run(CLAIM, (self._at(key),), arguments))

    async def admit(self, ask: Ask) -> AdmitReply:
        keys = [self._at(ask.key), self._at(ask.destination), self._at(ask.recipient)]
        arguments = [ask.token, ask.replays, ask.attempt, self._lease, self._ttl, self._horizon, LATE]
        for limit in ask.limits:
            keys.append(f"{self._prefix}:1:{{{ask.key.organization_id}}}:limit:{limit.name}")
            arguments += (limit.name, limit.interval, limit.tolerance)
        match await self._redis.run(ADMIT, keys, arguments):
            case [b"throttled", delay, name]:
                return Throttled(delay / SECOND, name.decode())
            case [b"disabled"]:
                return Unwanted("destination_disabled")
            case [b"unsubscribed"]:
                return Unwanted("unsubscribed")
            case told:
                return self._told(ask.key, ask.token, told)

    async def begin(self, claim: Claim) -> bool:
        return await self._prolong(BEGIN, claim)

    async def renew(self, claim: Claim) -> bool:
        return await self._prolong(RENEW, claim)

    async def finish(self, claim: Claim, final: Final, tried: Tried | None = None) -> Written:
        end = (final.state, 0, 0, final.text, " ".join(final.notifications))
        return await self._settle(claim, end, tried)

    async def release(self, claim: Claim, attempt: int, *, delay: float = 0.0, tried: Tried | None = None) -> Written:
        return await self._settle(claim, ("waiting", attempt, round(delay * SECOND), "", ""), tried)

    async def note(self, key: Key, final: Final) -> None:
        await self.finish(Claim(key, "", 0), final)

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

    async def _fate(self, name: str) -> Sequence[str]:
        state, ids = await self._redis.execute("HMGET", f"{self._prefix}:1:{name}", "state", "notifications")
        if state != b"done":
            return [_shown(state)]
        if not ids:
            return ["suppressed"]
        organization = name.partition("}")[0]
        keys = [f"{self._prefix}:1:{organization}}}:notification:{id_}" for id_ in ids.decode().split(" ")]
        return [_shown(it) for it in await asyncio.gather(*(self._redis.execute("HGET", key, "state") for key in keys))]

    async def _prolong(self, script: Script, claim: Claim) -> bool:
        arguments = (claim.token, claim.fence, self._lease, self._ttl)
        return cast("int", await self._redis.run(script, (self._at(claim.key),), arguments)) == 1

    async def _settle(self, claim: Claim, end: tuple[str, int, int, str, str], tried: Tried | None) -> Written:
        keys = [self._at(claim.key)]
        arguments = [claim.token, claim.fence, *end, self._ttl]
        if tried is not None:
            keys += (self._at(tried.destination), f"{keys[0]}:story")
            arguments += (tried.verdict, min(round(tried.hold * SECOND), self._horizon), tried.story, *self._disabling)
        match await self._redis.run(SETTLE, keys, arguments):
            case b"lost":
                return Written(ours=False)
            case b"disabled":
                return Written(ours=True, turn="disabled")
            case b"recovered":
                return Written(ours=True, turn="recovered")
        return Written(ours=True)

    def _told(self, key: Key, token: str, reply: Any) -> ClaimReply:
        match reply:
            case [b"mine", fence, takeovers, doubt]:
                claim = Claim(key, token, fence)
                return Crashed(claim) if takeovers >= self._takeover_limit else Mine(claim, unknown=doubt == 1)
            case [b"busy", delay]:
                return Busy(delay / SECOND)
            case [b"settled", state]:
                return Settled(state.decode())
            case [b"stale"]:
                return Stale()
            case [b"suspect"]:
                return Suspect()
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
