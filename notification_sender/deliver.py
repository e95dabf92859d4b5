"""One notification → its outcome: may we, then send."""

import hashlib
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import assert_never

from notification_sender.model.errors import ContextUnavailable, Gone, Permanent, SchemaViolation, SendFailed, SlowDown
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed, Outcome, Suppressed
from notification_sender.policy.limits import Limit
from notification_sender.policy.retry import Schedule, backoff
from notification_sender.ports import (
    AdmitReply,
    Ask,
    Busy,
    Channel,
    Claim,
    Clock,
    Crashed,
    Dice,
    Disabled,
    Key,
    Ledger,
    Mine,
    Settled,
    Stale,
    Throttled,
)

TOKEN_TROUBLE = 4
"""As after so many tries: trouble with a token for a destination backs off by up to eight seconds from the start. That
costs the API nothing while it is out, because it is not asked then; a minute would be added to every recovery."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try ended, and the claim under which that may be recorded (None: nothing was claimed)."""

    notification: Notification
    outcome: Outcome
    claim: Claim | None = None
    destination: Key | None = None
    """Its record in the ledger, for when the recipient wants no more."""


def key_of(notification: Notification) -> Key:
    """Its record in the ledger."""
    return Key(notification.organization_id, "notification", notification.notification_id)


class Deliverer:
    """Asks the ledger, then the channel. Decides nothing about queues."""

    def __init__(
        self,
        *,
        ledger: Ledger,
        channels: Mapping[str, Channel],
        limits: Callable[[Notification], list[Limit]],
        schedule: Schedule,
        hold_unknown: Container[str],
        max_age: float,
        clock: Clock,
        dice: Dice,
    ) -> None:
        """``hold_unknown``: the channels on which a try without a known end is not repeated. ``max_age`` (seconds):
        how long trouble of our own platform is put up with, besides what the schedule takes.
        """
        self._ledger = ledger
        self._channels = channels
        self._limits = limits
        self._schedule = schedule
        self._hold_unknown = hold_unknown
        self._patience = sum(schedule.delays) + max_age
        self._clock = clock
        self._dice = dice

    async def deliver(self, notification: Notification, *, token: str, replayed: bool, age: float) -> Attempt:
        """One attempt under ``token``. ``age``: seconds since its unit was first seen.

        Raises:
            Unready: the ledger is away; nothing was sent, ask again.
        """
        if notification.expires_at is not None and notification.expires_at.timestamp() <= self._clock.now():
            return Attempt(notification, Suppressed("expired"))
        try:
            address = self._channel(notification).address(notification.destination)
        except Permanent as fault:
            return await self.refuse(notification, Dead.of(fault), token=token, replayed=replayed)
        ask = Ask(
            key=key_of(notification),
            token=token,
            attempt=notification.attempt,
            replayed=replayed,
            destination=_destination_key(notification, address),
            limits=self._limits(notification),
        )
        reply = await self._ledger.admit(ask)
        if not isinstance(reply, Mine):
            return _not_sent(notification, reply)
        outcome = await self._send(notification, unknown=reply.unknown, age=age)
        return Attempt(notification, outcome, reply.claim, ask.destination)

    async def refuse(
        self, notification: Notification, end: Dead | Suppressed, *, token: str, replayed: bool
    ) -> Attempt:
        """Claim what is not to be sent, so that it ends once and not at every redelivery."""
        reply = await self._ledger.claim(key_of(notification), token, notification.attempt, replayed=replayed)
        return Attempt(notification, end, reply.claim) if isinstance(reply, Mine) else _not_sent(notification, reply)

    async def _send(self, notification: Notification, *, unknown: bool, age: float) -> Outcome:
        if unknown and notification.destination.channel in self._hold_unknown:
            return Dead("unknown", "an earlier try ended without an answer; it may have arrived and is not repeated")
        try:
            return Delivered(await self._channel(notification).send(notification, _begin))
        except Gone as fault:
            return Dead.of(fault, disables=True)
        except Permanent as fault:
            return Dead.of(fault)
        except SendFailed as fault:
            return self._failed(notification, fault)
        except SlowDown as wish:
            return Deferred(wish.seconds, "slow_down")
        except ContextUnavailable as fault:
            return self._without_token(fault, age)

    def _failed(self, notification: Notification, fault: SendFailed) -> Outcome:
        delay = self._schedule.after(notification.attempt, self._dice(), fault.retry_after)
        if delay is None:
            return Dead("exhausted", f"{notification.attempt} attempts; the last: {fault}", error=fault)
        return Failed(delay, fault)

    def _without_token(self, fault: ContextUnavailable, age: float) -> Outcome:
        """The token for a destination comes from our own platform: its trouble uses no attempt, but has an end."""
        if age > self._patience:
            return Dead("context_unavailable", str(fault))
        return Deferred(backoff(TOKEN_TROUBLE, self._dice()), "context_unavailable")

    def _channel(self, notification: Notification) -> Channel:
        channel = self._channels.get(notification.destination.channel)
        if channel is None:
            raise SchemaViolation(f"no channel is called {notification.destination.channel!r}")
        return channel


async def _begin() -> None:
    """Nothing is looked at yet."""


def unclaimed(reply: AdmitReply) -> Outcome:
    """What it means not to have got it, for a unit and for a notification.

    Raises:
        TypeError: we have got it.
    """
    match reply:
        case Crashed():
            return Dead("crashed", "its workers died with it, five in a row")
        case Busy(delay):
            # Never over before it is parked: whoever holds it may die with it.
            return Deferred(delay, "claimed_elsewhere")
        case Throttled(delay, limit):
            return Deferred(delay, f"throttled:{limit}")
        case Disabled():
            return Suppressed("destination_disabled")
        case Settled(state):
            return Suppressed(f"already_{state}", recorded=True)
        case Stale():
            return Suppressed("stale", recorded=True)
        case Mine():
            raise TypeError("it is ours")
        case _:
            assert_never(reply)


def _not_sent(notification: Notification, reply: AdmitReply) -> Attempt:
    return Attempt(notification, unclaimed(reply), reply.claim if isinstance(reply, Crashed) else None)


def _destination_key(notification: Notification, address: str) -> Key:
    """A new address under the same id starts unblemished."""
    name = f"{notification.destination.destination_id}:{_hashed(address)}"
    return Key(notification.organization_id, "destination", name)


@lru_cache(maxsize=4096)
def _hashed(address: str) -> str:
    """A webhook's URL is often a secret itself: it is not what keys are made of."""
    return hashlib.sha256(address.encode()).hexdigest()[:16]
