"""One notification → its outcome: may we, then send."""

import hashlib
from collections.abc import Callable, Container, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from notification_sender.channels.hosts import Hosts, Visit
from notification_sender.model.destination import recipient_hash
from notification_sender.model.errors import (
    ClaimLost,
    ContextUnavailable,
    Permanent,
    SchemaViolation,
    SendFailed,
    Sent,
    SlowDown,
)
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Dead, Deferred, Delivered, Failed, Outcome, Suppressed
from notification_sender.policy import story
from notification_sender.policy.limits import Limit
from notification_sender.policy.retry import JITTER, Patience, backoff
from notification_sender.ports import (
    HOLD,
    AdmitReply,
    Ask,
    Begin,
    Channel,
    Claim,
    Clock,
    Crashed,
    Dice,
    Holding,
    Key,
    Ledger,
    Mine,
    Throttled,
    Tried,
)
from notification_sender.refusal import unclaimed

TOKEN_TROUBLE = 4
"""As after so many tries: trouble with a token for a destination backs off by up to eight seconds from the start. That
costs the API nothing while it is out, because it is not asked then; a minute would be added to every recovery."""

LOST = 1.0
"""Seconds after which is asked again by whoever found, right before the first byte, that its claim had run out."""


@dataclass(frozen=True, slots=True)
class Attempt:
    """How one try ended, and the claim under which that may be recorded (None: nothing was claimed)."""

    notification: Notification
    outcome: Outcome
    claim: Claim | None = None
    tried: Tried | None = None
    """What was sent, or could not be; None where nothing was tried."""
    seconds: float | None = None
    """How long that took."""


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
        hosts: Hosts,
        limits: Callable[[Notification], list[Limit]],
        patience: Patience,
        hold_unknown: Container[str],
        max_age: float,
        held: Holding,
        asked: Callable[[AdmitReply], None],
        clock: Clock,
        dice: Dice,
    ) -> None:
        """``hold_unknown``: the channels on which a try without a known end is not repeated. ``max_age`` (seconds):
        how long trouble of our own platform is put up with, besides what the schedule takes. ``held`` renews the claim
        while it is sent. ``asked`` is told every answer of the ledger.
        """
        self._ledger = ledger
        self._channels = channels
        self._hosts = hosts
        self._limits = limits
        self._patience = patience
        self._hold_unknown = hold_unknown
        self._max_age = max_age
        self._held = held
        self._asked = asked
        self._clock = clock
        self._dice = dice

    def given_up(self, notification: Notification, age: float) -> Dead | None:
        """What is too old is neither tried nor put off again, whatever held it up."""
        if not self._patience.over(age):
            return None
        last = notification.tries[-1].error if notification.tries else "none, it was never its turn"
        return Dead("exhausted", f"{notification.attempt - 1} attempts in {age:.0f} s; the last: {last}")

    async def deliver(self, notification: Notification, *, token: str, age: float, again: bool = False) -> Attempt:
        """One attempt under ``token``. ``age``: seconds since its unit was first seen. ``again``: it was asked before,
        and the ledger may hold the claim already.

        Raises:
            Unready: the ledger is away; nothing was sent, ask again.
        """
        if notification.expires_at is not None and notification.expires_at.timestamp() <= self._clock.now():
            return await self.refuse(notification, Suppressed("expired"), token=token)
        try:
            channel = self._channel(notification)
            address = channel.address(notification.destination)
            visit = await self._hosts.enter(channel.host(address))
        except Permanent as fault:
            return await self.refuse(notification, Dead.of(fault), token=token)
        if visit.away and not again and not self._patience.spent(channel.name, age):
            return Attempt(notification, Deferred(visit.away, "host_out"))
        try:
            ask = self._ask(notification, address, token=token)
            return await self._admit(notification, ask, visit, age)
        finally:
            self._hosts.leave(visit)

    async def _admit(self, notification: Notification, ask: Ask, visit: Visit, age: float) -> Attempt:
        reply = await self._ledger.admit(ask)
        self._asked(reply)
        if isinstance(reply, Throttled) and reply.limit == HOLD:
            # Whoever asked for time is not to get all that waited for it at once; nor one by one, for each may be
            # told the same.
            reply = replace(reply, delay=reply.delay + JITTER * self._dice())
        if not isinstance(reply, Mine):
            return _not_sent(notification, reply)
        self._held.take(reply.claim)
        try:
            return await self._try(notification, ask, reply, visit, age)
        finally:
            self._held.drop(reply.claim)

    def _ask(self, notification: Notification, address: str, *, token: str) -> Ask:
        hashed, recipient = _hashes(address)
        organization = notification.organization_id
        return Ask(
            key=key_of(notification),
            token=token,
            replays=notification.replays,
            attempt=notification.attempt,
            # A new address under the same id starts unblemished.
            destination=Key(organization, "destination", f"{notification.destination.destination_id}:{hashed}"),
            recipient=Key(organization, "recipient", recipient),
            limits=self._limits(notification),
        )

    async def _try(self, notification: Notification, ask: Ask, mine: Mine, visit: Visit, age: float) -> Attempt:
        at, began = self._clock.now(), self._clock.monotonic()
        try:
            outcome = await self._send(notification, mine, visit, age)
        except ClaimLost:
            # Somebody else has it, or the store lost it: parked all the same, for whoever has it may die with it.
            return Attempt(notification, Deferred(LOST, "claim_lost"))
        seconds = self._clock.monotonic() - began
        line = story.line(outcome, attempt=notification.attempt, at=at, seconds=seconds)
        tried = Tried(ask.destination, story.verdict(outcome), line, story.hold(outcome))
        return Attempt(notification, outcome, mine.claim, tried, seconds)

    async def refuse(self, notification: Notification, end: Dead | Suppressed, *, token: str) -> Attempt:
        """Claim what is not to be sent, so that it ends once and not at every redelivery.

        A record that somebody holds is waited for: whoever holds it may have died with this very message.
        """
        key, replays = key_of(notification), notification.replays
        reply = await self._ledger.claim(key, token, notification.attempt, replays=replays)
        return Attempt(notification, end, reply.claim) if isinstance(reply, Mine) else _not_sent(notification, reply)

    async def _send(self, notification: Notification, mine: Mine, visit: Visit, age: float) -> Outcome:
        channel = notification.destination.channel
        if mine.unknown and channel in self._hold_unknown:
            return _unknown("its worker ended while it was sending")
        try:
            send = self._channel(notification).send(notification, self._begin(mine.claim))
            return Delivered(await visit.watch(send))
        except Permanent as fault:
            return Dead.of(fault)
        except SendFailed as fault:
            if fault.sent is Sent.UNKNOWN and channel in self._hold_unknown:
                return _unknown(str(fault), fault)
            return self._failed(notification, fault, age)
        except SlowDown as wish:
            return Deferred(wish.seconds, "slow_down")
        except ContextUnavailable as fault:
            return self._without_token(channel, fault, age)

    def _begin(self, claim: Claim) -> Begin:
        async def begin() -> None:
            if not await self._ledger.begin(claim):
                raise ClaimLost

        return begin

    def _failed(self, notification: Notification, fault: SendFailed, age: float) -> Outcome:
        channel, attempt = notification.destination.channel, notification.attempt
        delay = self._patience.after(channel, attempt, age=age, dice=self._dice(), retry_after=fault.retry_after)
        if delay is None:
            return Dead("exhausted", f"{attempt} attempts in {age:.0f} s; the last: {fault}", error=fault)
        return Failed(delay, fault)

    def _without_token(self, channel: str, fault: ContextUnavailable, age: float) -> Outcome:
        """The token for a destination comes from our own platform: its trouble uses no attempt, but has an end."""
        if age > sum(self._patience.schedules[channel].delays) + self._max_age:
            return Dead("context_unavailable", str(fault))
        return Deferred(backoff(TOKEN_TROUBLE, self._dice()), "context_unavailable")

    def _channel(self, notification: Notification) -> Channel:
        channel = self._channels.get(notification.destination.channel)
        if channel is None:
            raise SchemaViolation(f"no channel is called {notification.destination.channel!r}")
        return channel


def _unknown(how: str, error: SendFailed | None = None) -> Dead:
    """A person decides: it may have arrived, and would arrive twice."""
    return Dead("unknown", f"it may have arrived and is not repeated: {how}", error=error)


def _not_sent(notification: Notification, reply: AdmitReply) -> Attempt:
    return Attempt(notification, unclaimed(reply), reply.claim if isinstance(reply, Crashed) else None)


@lru_cache(maxsize=4096)
def _hashes(address: str) -> tuple[str, str]:
    """Of the place and of its recipient. A webhook's URL is often a secret itself: keys are not made of it."""
    return hashlib.sha256(address.encode()).hexdigest()[:16], recipient_hash(address)
