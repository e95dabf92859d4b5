"""The ledger and the batch tracker on Redis: each operation is one script, one round trip and one atomic step."""

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from typing import Any, cast

from notification_sender.adapters.redis.client import Store
from notification_sender.adapters.redis.constants import DISABLED_SECONDS, TAKEOVER_LIMIT
from notification_sender.adapters.redis.keys import SCAN_COUNT
from notification_sender.adapters.redis.scripts import Script, load
from notification_sender.adapters.redis.unit_parts import decoded, is_slice, outcomes_of, own_parts
from notification_sender.policy.audit import RecordedOutcome, recorded_outcome
from notification_sender.policy.limits import LATE, SECOND
from notification_sender.ports.ledger import (
    PAUSED,
    SUSPECT,
    AdmissionRequest,
    AdmitReply,
    AttemptReport,
    Busy,
    Claim,
    Claimed,
    ClaimReply,
    Crashed,
    Key,
    Paused,
    Settled,
    Stale,
    Suspect,
    TerminalState,
    Throttled,
    Transition,
    UnitEnd,
    Unwanted,
    WriteResult,
)

LOOKUP_BATCH = 200
"""Records that the audit looks up at once."""

MATCH, SIZE, _PAUSED = "MATCH", b"size", PAUSED.encode()

_TRANSITIONS: Mapping[bytes, Transition] = {b"disabled": "disabled", b"recovered": "recovered"}

CLAIM = load("record", "claim")
ADMIT = load("record", "admit")
SETTLE = load("record", "settle")
NOTE_DEFERRAL = load("record", "note_deferral")
BEGIN = load("record", "begin")
RENEW = load("record", "renew")
ENROLL = load("enroll")
KEEP_WITHHELD = load("keep_withheld")


class RedisLedger:
    """Ledger and BatchTracker. ``lease``, ``ledger_ttl``, ``story_ttl``, ``horizon``, ``disable_after`` in seconds.

    Keys: ``<prefix>:1:{organization}:<kind>:<id>``. All keys of an organization are in one slot of a cluster.
    """

    def __init__(
        self,
        *,
        redis: Store,
        prefix: str,
        lease: float,
        ledger_ttl: float,
        story_ttl: float,
        horizon: float,
        disable_after: float,
        process: str = "",
    ) -> None:
        self._redis = redis
        self._start = f"{prefix}:1:"
        self._lease = round(lease * SECOND)
        self._ttl = round(ledger_ttl * 1000)
        self._horizon = round(horizon * SECOND)
        self._disabling = (round(disable_after * SECOND), DISABLED_SECONDS * SECOND)
        self._author = (process, round(story_ttl * 1000))

    async def claim(self, key: Key, token: str, attempt: int, *, replays: int, alone: bool = True) -> ClaimReply:
        arguments = (token, replays, attempt, self._lease, self._ttl, 0 if alone else SUSPECT, *self._author)
        return self._parse_claim_reply(key, token, await self._redis.run(CLAIM, (self._at(key),), arguments))

    async def admit(self, ask: AdmissionRequest) -> AdmitReply:
        mine = f"{self._start}{{{ask.key.organization_id}}}:"
        keys = [self._at(ask.key), self._at(ask.destination), self._at(ask.recipient), f"{mine}pauses"]
        arguments = [
            ask.token,
            ask.replays,
            ask.attempt,
            self._lease,
            self._ttl,
            0 if ask.begun is None else 1,
            self._horizon,
            LATE,
            ask.channel,
            ask.destination_id,
        ]
        for limit in ask.limits:
            keys.append(f"{mine}limit:{(key := limit.key)}")
            arguments += (key, limit.interval, limit.tolerance)
        arguments += (ask.work_unit_id, *self._author)
        match await self._redis.run(ADMIT, keys, arguments):
            case [b"throttled", delay, name]:
                return Paused(delay / SECOND) if name == _PAUSED else Throttled(delay / SECOND, name.decode())
            case [b"disabled"]:
                return Unwanted("destination_disabled")
            case [b"unsubscribed"]:
                return Unwanted("unsubscribed")
            case reply:
                return self._parse_claim_reply(ask.key, ask.token, reply)

    async def begin(self, claim: Claim) -> bool:
        return await self._hold_claim(BEGIN, claim)

    async def renew(self, claim: Claim) -> bool:
        return await self._hold_claim(RENEW, claim)

    def finish(
        self, claim: Claim, final: TerminalState, report: AttemptReport | None = None, unit: UnitEnd | None = None
    ) -> Coroutine[Any, Any, WriteResult]:
        parts = " ".join(final.parts) if final.notifications or final.slices else ""
        return self._settle(claim, (final.state, 0, 0, final.text, parts), report, unit, final.entry)

    def release(
        self,
        claim: Claim,
        attempt: int,
        *,
        delay: float = 0.0,
        report: AttemptReport | None = None,
        unit: UnitEnd | None = None,
        entry: str = "",
    ) -> Coroutine[Any, Any, WriteResult]:
        return self._settle(claim, ("waiting", attempt, round(delay * SECOND), "", ""), report, unit, entry)

    async def note_deferral(self, key: Key, entry: str, *, delay: float) -> None:
        await self._redis.run(NOTE_DEFERRAL, (self._at(key),), (entry, round(delay * SECOND), *self._author))

    async def note(self, key: Key, final: TerminalState) -> None:
        await self.finish(Claim(key, "", 0), final)

    async def keep_withheld(self, key: Key, destination_id: str, message: bytes) -> None:
        kept = f"{self._start}{{{key.organization_id}}}:withheld:{destination_id}"
        await self._redis.run(KEEP_WITHHELD, (kept,), (message, self._ttl))

    async def state(self, key: Key) -> str | None:
        """The state of a record; None: there is none."""
        return decoded(await self._redis.execute("HGET", self._at(key), "state"))

    async def register(self, batch_id: str, size: int, key: Key) -> None:
        await self._redis.run(ENROLL, (self._batch(key.organization_id, batch_id),), (_name(key), size, self._ttl))

    async def batches(self, batch_id: str, organization_id: str | None = None) -> Mapping[str, int]:
        owners = [organization_id] if organization_id else await self._owners(batch_id)
        sizes = {it: (await self._enrolled(batch_id, it)).get(SIZE) for it in owners}
        return {owner: int(size) for owner, size in sorted(sizes.items()) if size is not None}

    async def unit_states(self, batch_id: str, organization_id: str) -> Mapping[str, Sequence[RecordedOutcome]]:
        enrolled = await self._enrolled(batch_id, organization_id)
        return await self.outcomes(organization_id, [it.decode() for it in enrolled if it != SIZE])

    async def outcomes(self, organization_id: str, names: Sequence[str]) -> dict[str, Sequence[RecordedOutcome]]:
        """By the ledger id of each unit of an organization, as ``unit_states``. ``names``: as in the tracker."""
        parts = await self._parts(names)
        # A unit that was sliced names its slices, and a slice names its own slices.
        slices = [f"{name}{it}" for name in names for it in parts[name] if is_slice(it)]
        parts |= await self._parts(slices)
        notifications = (it for its in parts.values() for it in its if isinstance(it, str) and not is_slice(it))
        outcomes = await self._notification_outcomes(organization_id, list(dict.fromkeys(notifications)))
        return {_id(name): outcomes_of(name, parts, outcomes) for name in names}

    async def unseen(self, batch_id: str, organization_id: str) -> int:
        key = self._batch(organization_id, batch_id)
        size, fields = await asyncio.gather(self._redis.execute("HGET", key, SIZE), self._redis.execute("HLEN", key))
        return 0 if size is None else max(0, int(size) - (int(fields) - 1))  # one field is the size itself

    async def _parts(self, names: Sequence[str]) -> dict[str, list[str | RecordedOutcome]]:
        """For each unit or slice: the ids of its notifications and its slices, or its own outcome."""
        keys = [f"{self._start}{name}" for name in names]
        ended = await self._each("HMGET", keys, "state", "text", "notifications")
        return {name: own_parts(*it) for name, it in zip(names, ended, strict=True)}

    async def _notification_outcomes(self, organization_id: str, ids: Sequence[str]) -> dict[str, RecordedOutcome]:
        """The outcomes of notifications, by id."""
        keys = [self._at(Key(organization_id, "notification", it)) for it in ids]
        ended = await self._each("HMGET", keys, "state", "text")
        return {
            id_: recorded_outcome(decoded(state), decoded(text), id_)
            for id_, (state, text) in zip(ids, ended, strict=True)
        }

    async def _each(self, command: str, keys: Sequence[str], *fields: str) -> list[Any]:
        """Run the command on each key, ``LOOKUP_BATCH`` keys at once; the replies in the keys' order."""
        replies: list[Any] = []
        for start in range(0, len(keys), LOOKUP_BATCH):
            batch = keys[start : start + LOOKUP_BATCH]
            replies += await asyncio.gather(*(self._redis.execute(command, key, *fields) for key in batch))
        return replies

    async def _owners(self, batch_id: str) -> set[str]:
        """The organizations that have a batch of this id. Scans all keys, in steps that do not block Redis."""
        shared = await self._hash(self._shared_batch(batch_id))
        found = {_owner(name) for name in shared if name != SIZE}
        async for key in self._members("SCAN", MATCH, self._batch("*", batch_id)):
            owner = _owner(key.removeprefix(self._start.encode()))
            if key == self._batch(owner, batch_id).encode():
                found.add(owner)
        return found

    async def _enrolled(self, batch_id: str, organization_id: str) -> dict[bytes, bytes]:
        """The units of an organization's batch, and the batch's size."""
        own = await self._hash(self._batch(organization_id, batch_id))
        shared = await self._hash(self._shared_batch(batch_id))
        ours = {name: it for name, it in shared.items() if name != SIZE and _owner(name) == organization_id}
        size = {SIZE: shared[SIZE]} if ours else {}
        return size | ours | own

    async def _hash(self, key: str) -> dict[bytes, bytes]:
        parts = [part async for part in self._members("HSCAN", key)]
        return dict(zip(parts[::2], parts[1::2], strict=True))

    async def _members(self, command: str, *of: str) -> AsyncIterator[bytes]:
        """What a scan finds, some items twice. A batch may have a million units: one step would block Redis."""
        key, rest = (of[:1], of[1:]) if command == "HSCAN" else ((), of)
        cursor = b"0"
        while True:
            cursor, found = await self._redis.execute(command, *key, cursor, *rest, "COUNT", SCAN_COUNT)
            for it in found:
                yield it
            if int(cursor) == 0:
                return

    async def _hold_claim(self, script: Script, claim: Claim) -> bool:
        arguments = (claim.token, claim.fence, self._lease, self._ttl)
        return cast("int", await self._redis.run(script, (self._at(claim.key),), arguments)) == 1

    async def _settle(
        self,
        claim: Claim,
        end: tuple[str, int, int, str, str],
        report: AttemptReport | None,
        unit: UnitEnd | None,
        entry: str,
    ) -> WriteResult:
        keys = [self._at(claim.key)]
        arguments = [claim.token, claim.fence, *end, self._ttl]
        arguments += ("", "", "") if unit is None else (unit.claim.token, unit.claim.fence, unit.notification_id)
        if report is None:
            arguments += (entry, "", 0, 0, 0, *self._author)
        else:
            keys.append(self._at(report.destination))
            hold = min(round(report.hold * SECOND), self._horizon)
            arguments += (report.history_entry, report.verdict, hold, *self._disabling, *self._author)
        if unit is not None:
            keys.append(self._at(unit.claim.key))
        said, unit_ended = await self._redis.run(SETTLE, keys, arguments)
        return WriteResult(said != b"lost", _TRANSITIONS.get(said), unit_ended == 1)

    def _parse_claim_reply(self, key: Key, token: str, reply: Any) -> ClaimReply:
        match reply:
            case [b"mine", fence, takeovers, doubt]:
                claim = Claim(key, token, fence)
                return Crashed(claim) if takeovers >= TAKEOVER_LIMIT else Claimed(claim, unknown=doubt == 1)
            case [b"busy", delay]:
                return Busy(delay / SECOND)
            case [b"settled", state]:
                return Settled(state.decode())
            case [b"stale"]:
                return Stale()
            case [b"suspect"]:
                return Suspect()
        raise TypeError(f"the script returned an unknown reply: {reply!r}")

    def _at(self, key: Key) -> str:
        # As ``_name``, without its call: a message has eight keys.
        return f"{self._start}{{{key.organization_id}}}:{key.kind}:{key.id}"

    def _batch(self, organization_id: str, batch_id: str) -> str:
        return f"{self._start}{{{organization_id}}}:batch:{batch_id}"

    def _shared_batch(self, batch_id: str) -> str:
        """The key of earlier versions, shared by all organizations with this id. Read until such records expire."""
        return f"{self._start}{{batch:{batch_id}}}:units"


def _owner(name: bytes) -> str:
    return name.partition(b"}")[0].removeprefix(b"{").decode()


def _name(key: Key) -> str:
    return f"{{{key.organization_id}}}:{key.kind}:{key.id}"


def _id(name: str) -> str:
    return name.partition("}:")[2].partition(":")[2]
