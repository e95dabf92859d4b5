"""What an outcome means for the message: the one table. First make it durable, then the caller acks.

A crash between two steps repeats a step, and the ledger absorbs that; no order of steps loses anything.
"""

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import assert_never

import structlog

from notification_sender.model.errors import Permanent, Unready
from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed, Outcome, Suppressed
from notification_sender.ports import (
    Claim,
    DeadLetter,
    Envelope,
    Final,
    Key,
    Lane,
    Ledger,
    Outbox,
    Parked,
    Tried,
    Written,
)
from notification_sender.telemetry.journal import Facts, Journal
from notification_sender.worker.held import Held
from notification_sender.worker.readiness import LONGEST, Readiness

REMEMBERED = 10_000
"""Acceptances that could not be recorded, kept in process: about 2 MB."""

RECORDING = 2.0
"""Seconds in which an acceptance is tried to be recorded; then it is acked all the same. A second delivery would be
worse than a gap that is counted."""

_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Work:
    """What is being settled: its record, and the message that carries it on."""

    what: str
    """``unit`` or ``notification``, for the event."""
    stage: str
    """How far it came, for its dead letter."""
    key: Key
    claim: Claim | None
    lane: Lane
    first_seen: float
    same: Callable[[], bytes]
    """The body of a deferred copy and of a dead letter."""
    attempt: int
    """The number that a deferred copy carries."""
    misses: int = 0
    replays: int = 0
    """As of the message that it came by."""
    again: Callable[[Failed], bytes] | None = None
    """The body of the next attempt, for what can fail."""
    tried: Tried | None = None
    """The attempt that was made, for the ledger."""
    facts: Facts = field(default_factory=dict)
    """For the journal."""


class Settler:
    """Parks, buries and records; keeps at each of these while our broker or store is away."""

    def __init__(self, *, outbox: Outbox, ledger: Ledger, readiness: Readiness, held: Held, journal: Journal) -> None:
        self._outbox = outbox
        self._ledger = ledger
        self._readiness = readiness
        self._held = held
        self._journal = journal
        self._remembered: OrderedDict[str, None] = OrderedDict()

    def accepted_unrecorded(self, notification_id: str) -> bool:
        """Accepted in this process, though the ledger does not know."""
        return notification_id in self._remembered

    async def settle(self, work: Work, outcome: Outcome) -> None:
        """Make ``outcome`` durable, then tell of it.

        Raises:
            Unready: broker or store stayed away too long; nothing is lost, the message is still in hand.
        """
        took = self._held.take(work.claim)
        try:
            await self._make_durable(work, outcome)
        finally:
            if took:
                self._held.drop(work.claim)
        self._journal.ended(work.what, outcome, work.facts, subject=work.key.id, first_seen=work.first_seen)

    async def finish(self, work: Work, notifications: tuple[str, ...]) -> None:
        """A unit whose notifications, by id, are all settled."""
        await self._record(work, Final("done", "", notifications))
        self._journal.done(work.what, work.facts, notifications=len(notifications))

    async def hand_on(self, parked: Parked) -> None:
        """What a unit does not send itself."""
        await self._readiness.keep(lambda: self._outbox.park(parked))

    async def refuse(self, envelope: Envelope, fault: Permanent) -> None:
        """What cannot be read has no record: it goes to the dead letters as it came."""
        letter = DeadLetter(envelope.body, fault.reason, str(fault), "decode", envelope.first_seen, envelope.replays)
        await self._bury(letter)
        what, subject = envelope.lane.value.removesuffix("s"), hashlib.sha256(envelope.body).hexdigest()
        self._journal.ended(what, Dead.of(fault), {}, subject=subject, first_seen=envelope.first_seen)

    async def _make_durable(self, work: Work, outcome: Outcome) -> None:
        match outcome:
            case Delivered(receipt):
                await self._record_acceptance(work, Final("delivered", receipt.text))
            case Suppressed(reason, recorded):
                if not recorded:
                    await self._record(work, Final("suppressed", reason))
            case Deferred(delay):
                await self._park(work, delay, work.same(), work.attempt)
            case Failed(delay):
                await self._park(work, delay, _next(work, outcome), work.attempt + 1)
            case Dead(reason, detail):
                letter = DeadLetter(work.same(), reason, detail, work.stage, work.first_seen, work.replays)
                await self._bury(letter)
                await self._record(work, Final("dead", reason))
            case _:
                assert_never(outcome)

    async def _bury(self, letter: DeadLetter) -> None:
        await self._readiness.keep(lambda: self._outbox.bury(letter))

    async def _park(self, work: Work, delay: float, body: bytes, attempt: int) -> None:
        parked = Parked(work.lane, body, delay, work.first_seen, attempt, work.misses, work.replays)
        await self._readiness.keep(lambda: self._outbox.park(parked))
        claim = work.claim
        if claim is not None:
            # Only now: a ledger ahead of its message would drop the message as stale.
            release = partial(self._ledger.release, claim, attempt, delay=delay, tried=work.tried)
            self._written(work, await self._readiness.keep(release))

    async def _record(self, work: Work, final: Final, *, longest: float = LONGEST) -> bool:
        """Whether it was ours to record."""
        claim = work.claim
        if claim is None:
            await self._readiness.keep(lambda: self._ledger.note(work.key, final), longest)
            return True
        finish = partial(self._ledger.finish, claim, final, work.tried)
        return self._written(work, await self._readiness.keep(finish, longest))

    def _written(self, work: Work, written: Written) -> bool:
        if not written.ours:
            _log.warning("claim.lost", organization_id=work.key.organization_id, id=work.key.id)
        if written.turn is not None and work.tried is not None:
            self._journal.turned(written.turn, work.tried.verdict, work.facts)
        return written.ours

    async def _record_acceptance(self, work: Work, final: Final) -> None:
        recorded = False
        try:
            recorded = await self._record(work, final, longest=RECORDING)
        except Unready as fault:
            _log.error("acceptance.unrecorded", notification_id=work.key.id, error=str(fault))
        finally:
            # Also where it was cut off by the end of the process, or the store lost the claim meanwhile.
            if not recorded:
                self._remember(work.key.id)
                self._journal.unrecorded()

    def _remember(self, notification_id: str) -> None:
        self._remembered[notification_id] = None
        while len(self._remembered) > REMEMBERED:
            self._remembered.popitem(last=False)


def _next(work: Work, failed: Failed) -> bytes:
    if work.again is None:
        raise TypeError(f"a {work.what} does not fail, it is deferred")
    return work.again(failed)
