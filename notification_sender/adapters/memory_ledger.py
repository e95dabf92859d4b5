"""The ledger in plain Python, on a clock that may jump: what the scripts are held against, and a store for tests."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from notification_sender.policy.limits import SECOND, Booking, Limit, Wait, spend
from notification_sender.ports import (
    AdmitReply,
    Ask,
    Busy,
    Claim,
    ClaimReply,
    Clock,
    Crashed,
    Disabled,
    Final,
    Key,
    Mine,
    Settled,
    Stale,
    State,
    Throttled,
)

DISABLED = 7 * 86_400 * SECOND


@dataclass(slots=True)
class Record:
    """As lua/record.lua has it. Times are µs since the epoch."""

    state: Literal["waiting", "claimed"] | State = "waiting"
    attempt: int = 0
    fence: int = 0
    token: str = ""
    lease: int = 0
    takeovers: int = 0
    booking: Booking | None = None
    text: str = ""
    notifications: Sequence[str] = ()
    ends: int = 0
    """When it is forgotten."""

    @property
    def over(self) -> bool:
        return self.state not in {"waiting", "claimed"}

    def held(self, now: int) -> bool:
        """Somebody works on it, or died with it a moment ago."""
        return self.state == "claimed" and self.lease > now

    def held_by(self, claim: Claim) -> bool:
        return self.state == "claimed" and (self.token, self.fence) == (claim.token, claim.fence)


class MemoryLedger:
    """Ledger and Rollcall. ``lease``, ``ledger_ttl`` and ``horizon`` in seconds."""

    def __init__(
        self,
        *,
        clock: Clock,
        lease: float,
        ledger_ttl: float,
        horizon: float,
        takeover_limit: int = 5,
    ) -> None:
        self._clock = clock
        self._lease = round(lease * SECOND)
        self._ttl = round(ledger_ttl * SECOND)
        self._horizon = round(horizon * SECOND)
        self._takeover_limit = takeover_limit
        self.records: dict[Key, Record] = {}
        self.tats: dict[tuple[str, str], int] = {}
        self._disabled: dict[Key, int] = {}
        self._batches: dict[str, dict[Key, None]] = {}
        self._sizes: dict[str, int] = {}

    async def claim(self, key: Key, token: str, attempt: int, *, replayed: bool) -> ClaimReply:
        record = self._record(key)
        return self._answer(key, record, token, attempt, replayed=replayed) or self._take(key, record, token, attempt)

    async def admit(self, ask: Ask) -> AdmitReply:
        record = self._record(ask.key)
        told = self._answer(ask.key, record, ask.token, ask.attempt, replayed=ask.replayed)
        if told is not None:
            return told
        if self._disabled.get(ask.destination, 0) > self._now:
            return Disabled()
        refused = self._spend(ask, record)
        if refused is None:
            return self._take(ask.key, record, ask.token, ask.attempt)
        record.state = "claimed" if record.state == "claimed" else "waiting"
        record.attempt, record.booking, record.text, record.notifications = ask.attempt, refused.booking, "", ()
        self._keep(ask.key, record)
        return Throttled((refused.until - self._now) / SECOND, refused.limit)

    async def finish(self, claim: Claim, final: Final, *, disable: Key | None = None) -> bool:
        record = self._record(claim.key)
        if not record.held_by(claim):
            return _said_before(record, claim, final.state)
        self._end(claim.key, record, final)
        if disable is not None:
            self._disabled[disable] = self._now + DISABLED
        return True

    async def release(self, claim: Claim, attempt: int) -> bool:
        record = self._record(claim.key)
        if not record.held_by(claim):
            return _said_before(record, claim, "waiting")
        record.state, record.attempt = "waiting", attempt
        record.lease, record.takeovers, record.booking = 0, 0, None
        self._keep(claim.key, record)
        return True

    async def note(self, key: Key, final: Final) -> None:
        record = self._record(key)
        if not record.over and not record.held(self._now):
            self._end(key, record, final)

    async def renew(self, claim: Claim) -> bool:
        record = self._record(claim.key)
        if not record.held_by(claim):
            return False
        record.lease = self._now + self._lease
        self._keep(claim.key, record)
        return True

    async def enroll(self, batch_id: str, size: int, key: Key) -> None:
        self._batches.setdefault(batch_id, {})[key] = None
        self._sizes[batch_id] = size

    async def expected(self, batch_id: str) -> int | None:
        return self._sizes.get(batch_id)

    async def fates(self, batch_id: str) -> Mapping[str, Sequence[str]]:
        units = self._batches.get(batch_id, {})
        return {f"{{{key.organization_id}}}:{key.kind}:{key.id}": self._fate(key) for key in units}

    def _fate(self, key: Key) -> Sequence[str]:
        record = self._record(key)
        if record.state != "done":
            return [self._shown(key)]
        if not record.notifications:
            return ["suppressed"]
        return [self._shown(Key(key.organization_id, "notification", id_)) for id_ in record.notifications]

    def _shown(self, key: Key) -> str:
        record = self._record(key)
        return record.state if record.over else "waiting"

    @property
    def _now(self) -> int:
        return round(self._clock.now() * SECOND)

    def _record(self, key: Key) -> Record:
        record = self.records.get(key)
        return replace(record) if record is not None and record.ends > self._now else Record()

    def _keep(self, key: Key, record: Record) -> None:
        record.ends = self._now + self._ttl
        self.records[key] = record

    def _answer(self, key: Key, record: Record, token: str, attempt: int, *, replayed: bool) -> ClaimReply | None:
        """What a claim is told whatever else it asks for, in this order; None: the record is free."""
        if record.over:
            return None if replayed and record.state == "dead" else Settled(record.state)
        if attempt < record.attempt:
            return Stale()
        if record.state == "claimed" and attempt > record.attempt:
            # A copy with a higher number was parked once its attempt had ended: the holder only could not say so.
            record.state, record.lease, record.takeovers = "waiting", 0, 0
        if record.state == "claimed" and record.token == token:
            return self._take(key, record, token, attempt)
        if record.held(self._now):
            return Busy((record.lease - self._now) / SECOND)
        return None

    def _take(self, key: Key, record: Record, token: str, attempt: int) -> Mine | Crashed:
        """Ours. Under the same token nothing was taken over: the reply to it was lost."""
        if record.state != "claimed":
            record.fence += 1
        elif record.token != token:
            record.fence += 1
            record.takeovers += 1
        record.state, record.attempt, record.token = "claimed", attempt, token
        record.lease = self._now + self._lease
        record.booking, record.text, record.notifications = None, "", ()
        self._keep(key, record)
        claim = Claim(key, token, record.fence)
        return Crashed(claim) if record.takeovers >= self._takeover_limit else Mine(claim, record.takeovers > 0)

    def _spend(self, ask: Ask, record: Record) -> Wait | None:
        """None: every limit let it pass."""
        now = self._now
        tats = {limit.name: self._tat(ask, limit, now) for limit in ask.limits}
        booking = record.booking
        if booking is not None and booking.due > now + self._horizon:
            # Further ahead than anything is booked: the clock was set back since. It is asked for anew.
            booking = None
        verdict = spend(ask.limits, tats, now, booking, self._horizon)
        if not isinstance(verdict, Wait):
            self._move(ask, verdict.tats)
            return None
        if verdict.tat is not None:
            self._move(ask, {verdict.limit: verdict.tat})
        return verdict

    def _tat(self, ask: Ask, limit: Limit, now: int) -> int:
        tat = self.tats.get((ask.key.organization_id, limit.name), now)
        spent = now + limit.tolerance + limit.interval
        return tat if tat <= spent + self._horizon else spent

    def _move(self, ask: Ask, tats: Mapping[str, int]) -> None:
        for name, tat in tats.items():
            self.tats[ask.key.organization_id, name] = tat

    def _end(self, key: Key, record: Record, final: Final) -> None:
        record.state, record.text, record.notifications = final.state, final.text, final.notifications
        record.lease, record.takeovers, record.booking = 0, 0, None
        self._keep(key, record)


def _said_before(record: Record, claim: Claim, state: str) -> bool:
    return record.state == state and (record.token, record.fence) == (claim.token, claim.fence)
