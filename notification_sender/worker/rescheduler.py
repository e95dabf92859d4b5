"""Parks deliveries that this process cannot settle, and buries those that fail for a bug again and again."""

import traceback
from dataclasses import replace

import structlog

from notification_sender.model.errors import TooLarge, Unready
from notification_sender.policy.retry import MAX_BUGS
from notification_sender.ports.broker import DeadLetter, Envelope, Intake, MessageState, Outbox, Parked, Wait

RESCHEDULE_SECONDS = 30.0
"""Delay of a delivery that this process could not settle: Redis was away too long, or there is a bug."""

_log = structlog.get_logger()


class Rescheduler:
    """Puts deliveries off. None of them is lost: each is parked, buried, or requeued."""

    def __init__(self, intake: Intake, outbox: Outbox) -> None:
        self._intake = intake
        self._outbox = outbox

    async def put_off(self, envelope: Envelope, why: str, state: MessageState, wait: Wait) -> None:
        """Park the same message, or bury it; then ack. If even that fails it is requeued, and delivered again."""
        try:
            if state.bugs >= MAX_BUGS:
                await self._outbox.bury(_letter(envelope, why))
            else:
                await self.park(envelope, state, wait, RESCHEDULE_SECONDS)
        except Unready as fault:
            _log.warning("delivery.requeued", lane=envelope.lane.value, error=str(fault))
            await self._intake.give_back(envelope)
        else:
            _log.warning("delivery.put_off", lane=envelope.lane.value, why=why, bugs=state.bugs)
            await self._intake.ack(envelope)

    async def put_off_for_bug(self, envelope: Envelope, fault: Exception, wait: Wait) -> None:
        """Put it off, count the bug in its state, and log where it is."""
        # Without its message, which may contain content of the notification.
        where, error = "".join(traceback.format_tb(fault.__traceback__)), type(fault).__name__
        _log.error("delivery.unexpected", lane=envelope.lane.value, error=error, where=where)
        state = replace(envelope.state, bugs=envelope.state.bugs + 1)
        await self.put_off(envelope, f"unexpected: {error}", state, wait)

    async def park(self, envelope: Envelope, state: MessageState, wait: Wait, seconds: float) -> None:
        try:
            await self._outbox.park(Parked(envelope.lane, envelope.body, seconds, state, wait))
        except TooLarge as fault:
            # The broker took it once; its limit is lower by now.
            await self._outbox.bury(_letter(envelope, str(fault)))


def _letter(envelope: Envelope, why: str) -> DeadLetter:
    return DeadLetter(envelope.body, "crashed", why, envelope.lane.value, envelope.state)
