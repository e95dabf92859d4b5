"""The ledger in plain Python, on a clock that may jump: what the scripts are held against, and a store for tests."""

import json
from collections import defaultdict, deque
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from notification_sender.adapters.redis.constants import LONGEST_OVERRIDE, TAKEOVER_LIMIT, WITHHELD_KEPT
from notification_sender.policy.audit import WITHHELD, RecordedOutcome, recorded_outcome
from notification_sender.policy.limits import SECOND, Arrivals, Wait, spend
from notification_sender.ports.clock import Clock
from notification_sender.ports.ledger import (
    HOLD,
    PAUSED,
    SLICE,
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
    UnitEnd,
    Unwanted,
    WriteResult,
)
from tests.oracles.places import Places
from tests.oracles.record import Number, Record
from tests.oracles.story import Stories

LOST = WriteResult(ours=False)


class MemoryLedger:
    """Ledger and BatchTracker. All times in seconds."""

    def __init__(
        self,
        *,
        clock: Clock,
        lease: float,
        ledger_ttl: float,
        story_ttl: float,
        horizon: float,
        disable_after: float,
        process: str = "",
    ) -> None:
        self._clock = clock
        self._lease = round(lease * SECOND)
        self._ttl = round(ledger_ttl * SECOND)
        self._horizon = round(horizon * SECOND)
        self.records: dict[Key, Record] = {}
        self.arrivals: dict[tuple[str, str], Arrivals] = {}
        self.stories = Stories(process, round(story_ttl * SECOND))
        self.places = Places(disable_after=round(disable_after * SECOND), horizon=self._horizon)
        self.unsubscribed: set[Key] = set()
        self.withheld: dict[tuple[str, str], deque[bytes]] = {}
        """By organization and destination."""
        self.pauses: dict[tuple[str, str], int] = {}
        """By organization and field of ``admit.lua``: the end, µs since the epoch."""
        self._batches: dict[str, dict[Key, None]] = defaultdict(dict)
        self._sizes: dict[tuple[str, str], int] = {}

    async def claim(self, key: Key, token: str, attempt: int, *, replays: int, alone: bool = True) -> ClaimReply:
        record, number = self._record(key), (replays, attempt)
        reply = self._answer(key, record, token, number)
        if reply is not None:
            return self._refuse(key, reply)
        if not alone and record.claimed and record.takeovers + 1 >= SUSPECT:
            return Suspect()
        if not record.ends:
            record.first = f"{self._now} {self.stories.process}"
        elif not record.claimed:
            self._append(key, {"step": "claim", "outcome": "claimed", "attempt": attempt})
        return self._take(key, record, token, number)

    async def admit(self, ask: AdmissionRequest) -> AdmitReply:
        record, number = self._record(ask.key), (ask.replays, ask.attempt)
        reply = self._answer(ask.key, record, ask.token, number, begun=ask.begun is not None)
        if reply is not None:
            return self._refuse(ask.key, reply)
        if ask.recipient in self.unsubscribed:
            return Unwanted("unsubscribed")
        if self.places.off(ask.destination, self._now) or self._left(ask, f"off/{ask.destination_id}"):
            return Unwanted("destination_disabled")
        paused, hold = self._paused(ask), self.places.hold(ask.destination, self._now)
        if paused or hold:
            refused: Wait | None = Wait(paused or hold, PAUSED if paused else HOLD, None, {})
        else:
            refused = self._spend(ask, record)
        if refused is None:
            return self._take(ask.key, record, ask.token, number, begun=ask.begun is not None)
        return self._wait(ask, record, refused)

    async def begin(self, claim: Claim) -> bool:
        record = self._record(claim.key)
        if record.held_by(claim):
            record.state = "transmitting"
        return self._renewed(claim, record)

    async def renew(self, claim: Claim) -> bool:
        return self._renewed(claim, self._record(claim.key))

    async def finish(
        self, claim: Claim, final: TerminalState, report: AttemptReport | None = None, unit: UnitEnd | None = None
    ) -> WriteResult:
        record = self._record(claim.key)
        if not record.held_by(claim):
            return self._with_unit(_said_before(record, claim, final.state), unit)
        self._end(claim.key, record, final)
        self._append_end(claim.key, final.entry, report)
        return self._with_unit(self._judge(report), unit)

    async def release(
        self,
        claim: Claim,
        attempt: int,
        *,
        delay: float = 0.0,
        report: AttemptReport | None = None,
        unit: UnitEnd | None = None,
        entry: str = "",
    ) -> WriteResult:
        record = self._record(claim.key)
        if not record.held_by(claim):
            return self._with_unit(_said_before(record, claim, "waiting"), unit)
        record.free()
        record.state, record.attempt, record.due = "waiting", attempt, self._now + round(delay * SECOND)
        self._keep(claim.key, record)
        self._append_end(claim.key, entry, report, until=record.due)
        return self._with_unit(self._judge(report), unit)

    async def note_deferral(self, key: Key, entry: str, *, delay: float) -> None:
        self._append(key, json.loads(entry), until=self._now + round(delay * SECOND), counted=True)

    def _with_unit(self, written: WriteResult, unit: UnitEnd | None) -> WriteResult:
        """The unit ends with its only notification, in the same step."""
        if unit is None or not written.ours:
            return written
        record, done = self._record(unit.claim.key), TerminalState("done", "", (unit.notification_id,))
        if record.held_by(unit.claim):
            self._end(unit.claim.key, record, done)
            return replace(written, unit_ended=True)
        return replace(written, unit_ended=_said_before(record, unit.claim, done.state).ours)

    async def keep_withheld(self, key: Key, destination_id: str, message: bytes) -> None:
        kept = self.withheld.setdefault((key.organization_id, destination_id), deque(maxlen=WITHHELD_KEPT))
        kept.append(message)

    async def note(self, key: Key, final: TerminalState) -> None:
        record = self._record(key)
        if not record.over and not record.held(self._now):
            record.noted = record.noted if record.ends else self._now
            self._end(key, record, final)
            self._append_end(key, final.entry, None)

    async def register(self, batch_id: str, size: int, key: Key) -> None:
        self._batches[batch_id][key] = None
        self._sizes[batch_id, key.organization_id] = size

    async def batches(self, batch_id: str, organization_id: str | None = None) -> Mapping[str, int]:
        sizes = {owner: size for (id_, owner), size in sorted(self._sizes.items()) if id_ == batch_id}
        return {owner: size for owner, size in sizes.items() if organization_id in (None, owner)}

    async def unit_states(self, batch_id: str, organization_id: str) -> Mapping[str, Sequence[RecordedOutcome]]:
        units = [it for it in self._batches[batch_id] if it.organization_id == organization_id]
        return {key.id: self._outcomes(key) for key in units}

    async def unseen(self, batch_id: str, organization_id: str) -> int:
        seen = [it for it in self._batches[batch_id] if it.organization_id == organization_id]
        return max(0, self._sizes.get((batch_id, organization_id), 0) - len(seen))

    def _outcomes(self, key: Key) -> Sequence[RecordedOutcome]:
        record = self._record(key)
        if record.state != "done" or not record.notifications:
            return [recorded_outcome(record.state, record.text)]
        outcomes: list[RecordedOutcome] = []
        for part in record.notifications:
            if part.startswith(SLICE):
                outcomes += self._outcomes(replace(key, id=f"{key.id}{part}"))
            else:
                reply = self._record(Key(key.organization_id, "notification", part))
                outcomes.append(recorded_outcome(reply.state, reply.text, part))
        return outcomes

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

    def _answer(
        self, key: Key, record: Record, token: str, number: Number, *, begun: bool = False
    ) -> ClaimReply | None:
        """What a claim is told whatever else it asks for, in this order; None: the record is free."""
        if record.over:
            withheld = record.state == "suppressed" and record.text.startswith(WITHHELD)
            if number[0] <= record.replays or not (withheld or record.state == "dead"):
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
            return self._take(key, record, token, number, begun=begun)
        if record.held(self._now):
            return Busy(min(record.lease - self._now, self._lease) / SECOND)
        return None

    def _open(self, key: Key, record: Record, number: Number) -> None:
        """A dead letter was moved back: it is as anything that waits, and another copy of that letter opens nothing."""
        record.state, record.number, record.text, record.notifications = "waiting", number, "", ()
        self.records[key] = record
        self._append(key, {"step": "replay", "outcome": "reopened", "replays": number[0]})

    def _take(self, key: Key, record: Record, token: str, number: Number, *, begun: bool = False) -> Claimed | Crashed:
        """Ours. Under the same token nothing was taken over: the reply to it was lost. One that is late and comes twice
        does not undo that its sender has begun.
        """
        if not (record.claimed and record.token == token):
            record.fence += 1
            if record.claimed:
                record.takeovers += 1
                record.doubt = record.doubt or record.state == "transmitting"
                event = {"step": "claim", "outcome": "taken_over", "attempt": number[1], "from": record.holder}
                self._append(key, event)
            record.state = "claimed"
        if begun:
            record.state = "transmitting"
        record.number, record.token, record.holder = number, token, self.stories.process
        record.lease = self._now + self._lease
        record.due, record.booking, record.text, record.notifications = 0, None, "", ()
        self._keep(key, record)
        claim = Claim(key, token, record.fence)
        return Crashed(claim) if record.takeovers >= TAKEOVER_LIMIT else Claimed(claim, record.doubt)

    def _paused(self, ask: AdmissionRequest) -> int:
        """µs for which an operator holds it back, 0 where none does."""
        names = ("organization", f"channel/{ask.channel}", f"destination/{ask.destination_id}")
        return max(self._left(ask, it) for it in names)

    def _left(self, ask: AdmissionRequest, name: str) -> int:
        left = self.pauses.get((ask.key.organization_id, name), 0) - self._now
        return left if 0 < left <= LONGEST_OVERRIDE * SECOND else 0

    def _wait(self, ask: AdmissionRequest, record: Record, refused: Wait) -> Throttled | Paused:
        if not record.claimed:
            record.free()
            record.state = "waiting"
        record.number = ask.replays, ask.attempt
        record.booking, record.text, record.notifications = refused.booking, "", ()
        record.due = self._now + refused.delay
        self._keep(ask.key, record)
        reason = "paused" if refused.limit == PAUSED else "throttled"
        why = {"outcome": "deferred", "reason": reason, "limit": refused.limit, "attempt": ask.attempt}
        self._append(
            ask.key, {"step": "admit"} | why | {"work_unit_id": ask.work_unit_id}, until=record.due, counted=True
        )
        delay = refused.delay / SECOND
        return Paused(delay) if refused.limit == PAUSED else Throttled(delay, refused.limit)

    def _spend(self, ask: AdmissionRequest, record: Record) -> Wait | None:
        """None: every limit let it pass."""
        mine = ask.key.organization_id
        known = {it.key: self.arrivals[mine, it.key] for it in ask.limits if (mine, it.key) in self.arrivals}
        verdict = spend(ask.limits, known, self._now, record.booking, self._horizon)
        self.arrivals |= {(mine, key): arrivals for key, arrivals in verdict.arrivals.items()}
        return verdict if isinstance(verdict, Wait) else None

    def _end(self, key: Key, record: Record, final: TerminalState) -> None:
        record.free()
        record.state, record.text, record.notifications = final.state, final.text, final.parts
        self._keep(key, record)

    def _judge(self, report: AttemptReport | None) -> WriteResult:
        transition = None if report is None else self.places.judge(report, self._now)
        return WriteResult(ours=True, transition=transition)

    def _refuse(self, key: Key, reply: ClaimReply) -> ClaimReply:
        until = self._now + round(reply.delay * SECOND) if isinstance(reply, Busy) else 0
        self.stories.refuse(key, self._now, reply, until)
        return reply

    def _append_end(self, key: Key, entry: str, report: AttemptReport | None, until: int | None = None) -> None:
        entry = entry if report is None else report.history_entry
        if entry:
            self._append(key, json.loads(entry), until=until, counted=report is None and until is not None)

    def _append(self, key: Key, event: dict[str, Any], *, until: int | None = None, counted: bool = False) -> None:
        self.stories.append(key, self._now, event, until=until, counted=counted)


def _said_before(record: Record, claim: Claim, state: str) -> WriteResult:
    return WriteResult(record.state == state and (record.token, record.fence) == (claim.token, claim.fence))
