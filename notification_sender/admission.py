"""May this unit or notification be worked on now? The ledger answers; here is what each answer means."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from typing import assert_never

from notification_sender.model.destination import recipient_hash
from notification_sender.model.errors import ClaimLost
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Dead, Deferred, Outcome, Suppressed
from notification_sender.policy.limits import Limit
from notification_sender.policy.pauses import SHORTEST
from notification_sender.policy.retry import JITTER
from notification_sender.ports.channels import Begin
from notification_sender.ports.clock import Clock, Dice
from notification_sender.ports.ledger import (
    HOLD,
    PAUSED,
    AdmissionRequest,
    AdmitReply,
    Busy,
    Claim,
    Claimed,
    ClaimReply,
    Crashed,
    Key,
    Ledger,
    Paused,
    Settled,
    Stale,
    Suspect,
    Throttled,
    Unwanted,
)
from notification_sender.telemetry.steps import ADMIT, current

FRESH = 0.1
"""Share of a lease for which a claim that begins the send is not checked again. A dial that takes longer, or a process
that was stopped meanwhile, has to ask."""


def key_of(notification: Notification) -> Key:
    """Its record in the ledger."""
    return Key(notification.organization_id, "notification", notification.notification_id)


class Admissions:
    """Asks the ledger for a notification: its claim, its limits, and the last look before the first byte."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        limits: Callable[[Notification], list[Limit]],
        count: Callable[[AdmitReply], None],
        lease: float,
        clock: Clock,
        dice: Dice,
    ) -> None:
        """``count`` is called with every reply to ``admit``. ``lease``: seconds that a claim lasts."""
        self._ledger = ledger
        self._limits = limits
        self._count = count
        self._fresh = FRESH * lease
        self._clock = clock
        self._dice = dice

    def request(
        self, notification: Notification, address: str, *, token: str, at_once: bool = False
    ) -> AdmissionRequest:
        """The request for a send to ``address``. ``at_once``: the first byte will follow without a wait."""
        address_hash, recipient = _hashes(address)
        organization = notification.organization_id
        return AdmissionRequest(
            key=key_of(notification),
            token=token,
            replays=notification.replays,
            attempt=notification.attempt,
            # A new address under the same id starts without a history.
            destination=Key(organization, "destination", f"{notification.destination.destination_id}:{address_hash}"),
            recipient=Key(organization, "recipient", recipient),
            limits=self._limits(notification),
            work_unit_id=notification.work_unit_id,
            channel=notification.destination.channel,
            destination_id=notification.destination.destination_id,
            begun=self._clock.monotonic() if at_once else None,
        )

    async def admit(self, request: AdmissionRequest) -> AdmitReply:
        """The claim and all limits in one step."""
        reply = await self._ledger.admit(request)
        self._count(reply)
        if isinstance(reply, Throttled) and reply.limit == HOLD:
            # A destination that asked for time must not get all that waited for it at once; nor one by one, because
            # each of them may get the same answer.
            return replace(reply, delay=reply.delay + JITTER * self._dice())
        return reply

    async def claim(self, notification: Notification, *, token: str) -> ClaimReply:
        """The claim alone, for a notification that is not sent."""
        return await self._ledger.claim(key_of(notification), token, notification.attempt, replays=notification.replays)

    def begin(self, claim: Claim, begun: float | None) -> Begin:
        """The last check: the channel awaits it right before the first byte. ``begun``: of the claim's request."""

        async def begin() -> None:
            if begun is not None and self._clock.monotonic() - begun < self._fresh:
                return
            steps = current()
            sending = steps.step
            steps.enter(ADMIT)
            if not await self._ledger.begin(claim):
                raise ClaimLost
            steps.enter(sending)

        return begin


def unclaimed(reply: AdmitReply, key: Key) -> Outcome:
    """The outcome of a unit or a notification whose claim on ``key`` was refused.

    Raises:
        TypeError: the claim was given, or may be asked for once more.
    """
    match reply:
        case Crashed():
            return Dead("crashed", "its workers died with it, five in a row")
        case Busy() | Throttled() | Paused():
            return _deferred(reply, key)
        case Unwanted(reason):
            return Suppressed(reason)
        case Settled(state):
            return Suppressed(f"already_{state}", recorded=True)
        case Stale():
            return Suppressed("stale", recorded=True)
        case Claimed() | Suspect():
            raise TypeError("it is ours, or may be asked for once more")
        case _:
            assert_never(reply)


def _deferred(reply: Busy | Throttled | Paused, key: Key) -> Deferred:
    match reply:
        case Busy(delay):
            # It is parked at least until the claim runs out, because its holder may die with it.
            return Deferred(delay, "claimed_elsewhere", f"{key.kind} {key.id}", recorded=True)
        case Throttled(delay, limit):
            return Deferred(delay, "throttled", limit, recorded=True)
        case Paused(delay):
            # The script knows of the pause, and this process does not yet.
            return Deferred(min(delay, SHORTEST), PAUSED, key.organization_id, recorded=True)


@lru_cache(maxsize=4096)
def _hashes(address: str) -> tuple[str, str]:
    """Of the address and of its recipient. A webhook's URL is often a secret itself, so no key contains it."""
    return hashlib.sha256(address.encode()).hexdigest()[:16], recipient_hash(address)
