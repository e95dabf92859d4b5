"""Claiming a unit before any work is done for it."""

import structlog

from notification_sender.model.errors import Unready
from notification_sender.model.unit import WorkUnit, identity
from notification_sender.ports import Claim, ClaimReply, Envelope, Key, Ledger, Rollcall
from notification_sender.worker.drain import Drain
from notification_sender.worker.readiness import Readiness

_log = structlog.get_logger()


def key_of(unit: WorkUnit) -> Key:
    """Its record in the ledger."""
    return Key(unit.organization_id, "unit", identity(unit))


class Claims:
    """The ledger's side of a unit's beginning."""

    def __init__(self, *, ledger: Ledger, rollcall: Rollcall, readiness: Readiness, drain: Drain) -> None:
        self._ledger = ledger
        self._rollcall = rollcall
        self._readiness = readiness
        self._drain = drain

    async def enroll(self, unit: WorkUnit) -> None:
        """Seen, whatever becomes of it: the audit of its batch counts it from now on."""
        batch = unit.batch
        if batch is not None:
            await self._readiness.keep(lambda: self._rollcall.enroll(batch.id, batch.size, key_of(unit)))

    async def claim(self, unit: WorkUnit, envelope: Envelope, *, alone: bool = False) -> ClaimReply:
        """Seventy-five copies of one unit: one of them is ours. ``alone``: even if it is a suspect."""
        return await self._readiness.keep(lambda: self._claim(key_of(unit), envelope, alone=alone))

    async def _claim(self, key: Key, envelope: Envelope, *, alone: bool) -> ClaimReply:
        self._drain.check()
        return await self._ledger.claim(key, envelope.token, envelope.attempt, replays=envelope.replays, alone=alone)

    async def give_up(self, claim: Claim, attempt: int) -> None:
        """Cut short by the end of the process: somebody else may begin at once."""
        try:
            await self._ledger.release(claim, attempt)
        except Unready as fault:
            # Then its lease runs out, and somebody else begins after that.
            _log.warning("claim.not_given_up", id=claim.key.id, error=str(fault))
