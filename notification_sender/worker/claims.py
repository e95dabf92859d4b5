"""Claiming a unit before any work is done for it."""

import structlog

from notification_sender.model.errors import Unready
from notification_sender.model.unit import WorkUnit, identity
from notification_sender.ports import Claim, ClaimReply, Envelope, Key, Ledger, Mine, Rollcall
from notification_sender.worker.readiness import Readiness

_log = structlog.get_logger()


def key_of(unit: WorkUnit) -> Key:
    """Its record in the ledger."""
    return Key(unit.organization_id, "unit", identity(unit))


class Claims:
    """The ledger's side of a unit's beginning."""

    def __init__(self, *, ledger: Ledger, rollcall: Rollcall, readiness: Readiness) -> None:
        self._ledger = ledger
        self._rollcall = rollcall
        self._readiness = readiness

    async def claim(self, unit: WorkUnit, envelope: Envelope) -> ClaimReply:
        """Seventy-five copies of one unit: one of them is ours."""
        return await self._readiness.keep(lambda: self._claim(unit, envelope))

    async def _claim(self, unit: WorkUnit, envelope: Envelope) -> ClaimReply:
        key = key_of(unit)
        reply = await self._ledger.claim(key, envelope.token, envelope.attempt, replayed=envelope.replayed)
        if unit.batch is not None and isinstance(reply, Mine):
            await self._rollcall.enroll(unit.batch.id, unit.batch.size, key)
        return reply

    async def give_up(self, claim: Claim, attempt: int) -> None:
        """Cut short by the end of the process: somebody else may begin at once."""
        try:
            await self._ledger.release(claim, attempt)
        except Unready as fault:
            # Then its lease runs out, and somebody else begins after that.
            _log.warning("claim.not_given_up", id=claim.key.id, error=str(fault))
