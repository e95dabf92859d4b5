"""The ledger in plain Python, on a clock that may jump: what the scripts are held against, and a store for tests."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from notification_sender.adapters.memory_places import Places
from notification_sender.adapters.memory_record import Number, Record
from notification_sender.policy.limits import SECOND, Arrivals, Wait, spend
from notification_sender.ports import (
    HOLD,
    SUSPECT,
    AdmitReply,
    Ask,
    Busy,
    Claim,
    ClaimReply,
    Clock,
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

LOST = Written(ours=False)


class MemoryLedger:
    """Ledger and Rollcall. ``lease``, ``ledger_ttl``, ``horizon`` and ``disable_after`` in seconds."""

    def __init__(
        self,
        *,
        clock: Clock,
        lease: float,
        ledger_ttl: float,
        horizon: float,
        disable_after: float,
        takeover_limit: int = 5,
    ) -> None:
        self._clock = clock
        self._lease = round(lease * SECOND)
        self._ttl = round(ledger_ttl * SECOND)
        self._horizon = round(horizon * SECOND)
        self._takeover_limit = takeover_limit
        self.records: dict[Key, Record] = {}
        self.arrivals: dict[tuple[str, str], Arrivals] = {}
        self.stories: dict[Key, list[str]] = defaultdict(list)
        self.places = Places(patience=round(disable_after * SECOND), horizon=self._horizon)
        self.unsubscribed: set[Key] = set()
        self._batches: dict[str, dict[Key, None]] = {}
        self._sizes: dict[str, int] = {}

    async def claim(self, key: Key, token: str, attempt: int, *, replays: int, alone: bool = True) -> ClaimReply:
        record, number = self._record(key), (replays, attempt)
        told = self._answer(key, record, token, number)
        if told is not None:
            return told
        if not alone and record.claimed and record.takeovers + 1 >= SUSPECT:
            return Suspect()
        return self._take(key, record, token, number)

    async def admit(self, ask: Ask) -> AdmitReply:
        record, number = self._record(ask.key), (ask.replays, ask.attempt)
        told = self._answer(ask.key, record, ask.token, number)
        if told is not None:
            return told
        if ask.recipient in self.unsubscribed:
            return Unwanted("unsubscribed")
        if self.places.off(ask.destination, self._now):
            return Unwanted("destination_disabled")
        hold = self.places.hold(ask.destination, self._now)
        refused = Wait(hold, HOLD, None, {}) if hold else self._spend(ask, record)
        if refused is None:
            return self._take(ask.key, record, ask.token, number)
        return self._wait(ask, record, refused)

    async def begin(self, claim: Claim) -> bool:
        record = self._record(claim.key)
        if record.held_by(claim):
            record.state = "transmitting"
        return self._renewed(claim, record)

    async def renew(self, claim: Claim) -> bool:
        return self._renewed(claim, self._record(claim.key))

    async def finish(self, claim: Claim, final: Final, tried: Tried | None = None) -> Written:
        record = self._record(claim.key)
        if not record.held_by(claim):
            return _said_before(record, claim, final.state)
        self._end(claim.key, record, final)
        return self._judge(claim.key, tried)

    async def release(self, claim: Claim, attempt: int, *, delay: float = 0.0, tried: Tried | None = None) -> Written:
        record = self._record(claim.key)
        if not record.held_by(claim):
            return _said_before(record, claim, "waiting")
        record.free()
        record.state, record.attempt, record.due = "waiting", attempt, self._now + round(delay * SECOND)
        self._keep(claim.key, record)
        return self._judge(claim.key, tried)

    async def note(self, key: Key, final: Final) -> None:
        record = self._record(key)
        if not record.over and not record.held(self._now):
            self._end(key, record, final)

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

    def _renewed(self, claim: Claim, record: Record) -> bool:
        if not record.held_by(claim):
            return False
        record.lease = self._now + self._lease
        self._keep(claim.key, record)
        return True

    def _answer(self, key: Key, record: Record, token: str, number: Number) -> ClaimReply | None:
        """What a claim is told whatever else it asks for, in this order; None: the record is free."""
        if record.over:
            if record.state != "dead" or number[0] <= record.replays:
                return Settled(record.state)
            self._open(key, record, number)
            return None
        if number < record.number:
            return Stale()
        if record.claimed and number > record.number and not record.held(self._now):
            # A later copy was parked, or buried, once its attempt had ended: the holder only could not say so.
            record.free()
            record.state = "waiting"
        if record.claimed and record.token == token:
            return self._take(key, record, token, number)
        if record.held(self._now):
            return Busy(min(record.lease - self._now, self._lease) / SECOND)
        return None

    def _open(self, key: Key, record: Record, number: Number) -> None:
        """A dead letter was moved back: it is as anything that waits, and another copy of that letter opens nothing."""
        record.state, record.number, record.text, record.notifications = "waiting", number, "", ()
        self.records[key] = record

    def _take(self, key: Key, record: Record, token: str, number: Number) -> Mine | Crashed:
        """Ours. Under the same token nothing was taken over: the reply to it was lost. One that is late and comes twice
        does not undo that its sender has begun.
        """
        if not (record.claimed and record.token == token):
            record.fence += 1
            if record.claimed:
                record.takeovers += 1
                record.doubt = record.doubt or record.state == "transmitting"
            record.state = "claimed"
        record.number, record.token = number, token
        record.lease = self._now + self._lease
        record.due, record.booking, record.text, record.notifications = 0, None, "", ()
        self._keep(key, record)
        claim = Claim(key, token, record.fence)
        return Crashed(claim) if record.takeovers >= self._takeover_limit else Mine(claim, record.doubt)

    def _wait(self, ask: Ask, record: Record, refused: Wait) -> Throttled:
        if not record.claimed:
            record.free()
            record.state = "waiting"
        record.number = ask.replays, ask.attempt
        record.booking, record.text, record.notifications = refused.booking, "", ()
        record.due = self._now + refused.delay
        self._keep(ask.key, record)
        return Throttled(refused.delay / SECOND, refused.limit)

    def _spend(self, ask: Ask, record: Record) -> Wait | None:
        """None: every limit let it pass."""
        mine = ask.key.organization_id
        known = {it.name: self.arrivals[mine, it.name] for it in ask.limits if (mine, it.name) in self.arrivals}
        verdict = spend(ask.limits, known, self._now, record.booking, self._horizon)
        self.arrivals |= {(mine, name): arrivals for name, arrivals in verdict.arrivals.items()}
        return verdict if isinstance(verdict, Wait) else None

    def _end(self, key: Key, record: Record, final: Final) -> None:
        record.free()
        record.state, record.text, record.notifications = final.state, final.text, final.notifications
        self._keep(key, record)

    def _judge(self, key: Key, tried: Tried | None) -> Written:
        if tried is None:
            return Written(ours=True)
        self.stories[key].append(tried.story)
        return Written(ours=True, turn=self.places.judge(tried, self._now))


def _said_before(record: Record, claim: Claim, state: str) -> Written:
    return Written(record.state == state and (record.token, record.fence) == (claim.token, claim.fence))
