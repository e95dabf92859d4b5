"""One notification → its outcome: may we, then send."""

from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass
from typing import assert_never

from notification_sender.model.errors import ContextUnavailable, Gone, Permanent, SchemaViolation, SendFailed
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
        clock: Clock,
        dice: Dice,
    ) -> None:
        """``hold_unknown``: the channels on which a try without a known end is not repeated."""
        self._ledger = ledger
        self._channels = channels
        self._limits = limits
        self._schedule = schedule
        self._hold_unknown = hold_unknown
        self._clock = clock
        self._dice = dice

    async def deliver(self, notification: Notification, *, token: str, replayed: bool) -> Attempt:
        """One attempt under ``token``.

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
        return await self._carry_on(notification, await self._ledger.admit(ask), ask.destination)

    async def refuse(self, notification: Notification, dead: Dead, *, token: str, replayed: bool) -> Attempt:
        """Claim what cannot be sent, so that it dies once and not at every redelivery."""
        reply = await self._ledger.claim(key_of(notification), token, notification.attempt, replayed=replayed)
        if isinstance(reply, Mine):
            return Attempt(notification, dead, reply.claim)
        return await self._carry_on(notification, reply)

    async def _carry_on(self, notification: Notification, reply: AdmitReply, destination: Key | None = None) -> Attempt:
        match reply:
            case Mine(claim, unknown):
                outcome = await self._outcome(notification, unknown=unknown)
                return Attempt(notification, outcome, claim, destination)
            case Crashed(claim):
                return Attempt(notification, Dead("crashed", "its workers died with it, five in a row"), claim)
            case Busy(delay):
                return Attempt(notification, Deferred(delay, "claimed_elsewhere"))
            case Throttled(delay, limit):
                return Attempt(notification, Deferred(delay, f"throttled:{limit}"))
            case Disabled():
                return Attempt(notification, Suppressed("destination_disabled"))
            case Settled(state):
                return Attempt(notification, Suppressed(f"already_{state}", recorded=True))
            case Stale():
                return Attempt(notification, Suppressed("stale", recorded=True))
            case _:
                assert_never(reply)

    async def _outcome(self, notification: Notification, *, unknown: bool) -> Outcome:
        if unknown and notification.destination.channel in self._hold_unknown:
            return Dead("unknown", "an earlier try ended without an answer; it may have arrived and is not repeated")
        try:
            return Delivered(await self._channel(notification).send(notification))
        except Gone as fault:
            return Dead.of(fault, disables=True)
        except Permanent as fault:
            return Dead.of(fault)
        except SendFailed as fault:
            return self._failed(notification, fault)
        except ContextUnavailable:
            # The token for this destination comes from our own platform: its trouble uses no attempt.
            return Deferred(backoff(notification.attempt + 5, self._dice()), "context_unavailable")

    def _failed(self, notification: Notification, fault: SendFailed) -> Outcome:
        delay = self._schedule.after(notification.attempt, self._dice(), fault.retry_after)
        if delay is None:
            return Dead("exhausted", f"{notification.attempt} attempts; the last: {fault}")
        return Failed(delay, fault)

    def _channel(self, notification: Notification) -> Channel:
        channel = self._channels.get(notification.destination.channel)
        if channel is None:
            raise SchemaViolation(f"no channel is called {notification.destination.channel!r}")
        return channel


def _destination_key(notification: Notification, address: str) -> Key:
    """Organization, destination id and address: a new address under the same id starts unblemished."""
    return Key(notification.organization_id, "destination", f"{notification.destination.destination_id}:{address}")
