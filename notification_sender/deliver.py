"""One notification → its outcome: ask the ledger, then send."""

from collections import OrderedDict
from collections.abc import Container, Mapping

from pydantic import ValidationError

from notification_sender.admission import Admissions, key_of, unclaimed
from notification_sender.channels.hosts import Hosts
from notification_sender.channels.known_host import SendPermit
from notification_sender.model.destination import Destination
from notification_sender.model.errors import (
    ClaimLost,
    ContextUnavailable,
    Permanent,
    SchemaViolation,
    SendFailed,
    Sent,
    SetupFault,
    SlowDown,
    Unready,
)
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Dead, Deferred, Delivered, Outcome, Suppressed
from notification_sender.model.records import dataclass
from notification_sender.policy import attempt_report
from notification_sender.policy.retry import Age, RetryPolicy, has_expired
from notification_sender.ports.channels import Channel, LeaseHolder
from notification_sender.ports.clock import Clock, Dice
from notification_sender.ports.ledger import AdmissionRequest, AdmitReply, AttemptReport, Claim, Claimed, Crashed
from notification_sender.telemetry.steps import SEND, current

CLAIM_LOST_SECONDS = 1.0
"""Delay before the next try where the claim turned out to be lost just before sending."""

REMEMBERED = 4000
"""Destinations whose host failed that are remembered: about 2 MB."""


@dataclass(frozen=True, slots=True)
class AttemptResult:
    """How one try ended, and the claim under which that may be recorded (None: nothing was claimed)."""

    notification: Notification
    outcome: Outcome
    claim: Claim | None = None
    report: AttemptReport | None = None
    """The report of the send, None where nothing was sent."""
    seconds: float | None = None
    """Duration of the send."""


class Deliverer:
    """Asks the ledger, then the channel. Decides nothing about queues."""

    def __init__(
        self,
        *,
        admissions: Admissions,
        channels: Mapping[str, Channel],
        hosts: Hosts,
        retry_policy: RetryPolicy,
        hold_unknown: Container[str],
        leases: LeaseHolder,
        clock: Clock,
        dice: Dice,
    ) -> None:
        """``hold_unknown``: the channels on which a try without a known end is not repeated. ``leases`` renews the
        claim while the notification is sent.
        """
        self._admissions = admissions
        self._channels = channels
        self._hosts = hosts
        self._retry_policy = retry_policy
        self._hold_unknown = hold_unknown
        self._leases = leases
        self._clock = clock
        self._dice = dice
        self.failing: OrderedDict[tuple[str, str], tuple[str, str]] = OrderedDict()
        """By organization and destination: the channel, and the host that failed or was out."""

    def given_up(self, notification: Notification, age: float) -> Dead | None:
        """The end of a notification that is too old to be tried or deferred again, None while it is not."""
        if not self._retry_policy.is_expired(age):
            return None
        return self._retry_policy.given_up(notification, age=age, fault=self._setup_fault(notification))

    async def deliver(self, notification: Notification, *, token: str, age: Age, again: bool = False) -> AttemptResult:
        """One attempt under ``token``. ``again``: the ledger was asked before and may hold the claim already.

        Raises:
            Unready: Redis is away; nothing was sent, ask again.
        """
        if notification.expires_at is not None and has_expired(notification.expires_at, self._clock.now()):
            return await self.refuse(notification, Suppressed("expired"), token=token)
        try:
            channel = self._channel(notification)
            address = channel.address(notification.destination)
            if not again:
                # Before the claim: a notification that cannot be sent must not use up the limits of others.
                channel.check(notification.organization_id, notification.destination)
            host = channel.host(address)
            self._forget_other(notification, host)
            permit = await self._hosts.acquire(host, notification.organization_id)
        except Permanent as fault:
            return await self.refuse(notification, Dead.of(fault), token=token)
        except SetupFault as fault:
            return await self._unclaimed(notification, self._without_file(notification, fault, age), token=token)
        if permit.away and not again and not self._retry_policy.past_schedule(channel.name, age.seconds):
            self._remember(notification, permit)
            return AttemptResult(notification, Deferred(permit.away, "host_out", permit.host))
        try:
            at_once = self._sends_at_once(channel, notification)
            request = self._admissions.request(notification, address, token=token, at_once=at_once)
            reply = await self._admissions.admit(request)
            if isinstance(reply, Claimed):
                return await self._try(notification, request, reply, permit, age)
            return _not_sent(notification, reply)
        finally:
            self._hosts.release(permit)
            if permit.well is False:
                self._remember(notification, permit)

    def away(self, organization: str, destination_id: str, age: float, carried: object = None) -> float:
        """Seconds for which a notification for this destination, one of the ``failing``, would only be deferred because
        its host is out; then it may be the probe. 0.0: it is to be tried. ``carried``: the destination, where it is in
        the message: its address may have been corrected.
        """
        name = (organization, destination_id)
        channel, host = self.failing[name]
        if carried is not None and self._host(carried) != host:
            return 0.0
        if self._retry_policy.past_schedule(channel, age):
            return 0.0
        if not self._hosts.is_out(host, organization):
            del self.failing[name]
            return 0.0
        return self._hosts.away(host, organization)

    def _host(self, carried: object) -> str | None:
        """At which this destination is, None where it cannot be read."""
        try:
            destination = Destination.model_validate(carried)
            channel = self._channels[destination.channel]
            return channel.host(channel.address(destination))
        except (KeyError, ValidationError, Permanent):
            return None

    def _forget_other(self, notification: Notification, host: str) -> None:
        """The address of its destination was corrected."""
        name = notification.organization_id, notification.destination.destination_id
        if name in self.failing and self.failing[name][1] != host:
            del self.failing[name]

    def _remember(self, notification: Notification, permit: SendPermit) -> None:
        destination = notification.destination
        self.failing[notification.organization_id, destination.destination_id] = destination.channel, permit.host
        if len(self.failing) > REMEMBERED:
            self.failing.popitem(last=False)

    def _sends_at_once(self, channel: Channel, notification: Notification) -> bool:
        """Where an unknown outcome is held, only what was really being sent may end as one."""
        held = channel.name in self._hold_unknown
        return not held and channel.sends_at_once(notification.organization_id, notification.destination)

    async def _try(
        self, notification: Notification, request: AdmissionRequest, reply: Claimed, permit: SendPermit, age: Age
    ) -> AttemptResult:
        at, began = self._clock.now(), self._clock.monotonic()
        current().enter(SEND + notification.destination.channel, began)
        self._leases.take(reply.claim)
        try:
            outcome = await self._send(notification, request, reply, permit, age)
        except ClaimLost:
            # Another worker has it, or Redis lost it. It is deferred all the same: that worker may die with it.
            key = request.key
            return AttemptResult(notification, Deferred(CLAIM_LOST_SECONDS, "claim_lost", f"{key.kind} {key.id}"))
        finally:
            self._leases.drop(reply.claim)
        seconds = self._clock.monotonic() - began
        # Once: the facts stay those of the first attempt.
        facts = attempt_report.origin(notification) if notification.attempt == 1 else None
        line = attempt_report.history_entry(outcome, attempt=notification.attempt, at=at, seconds=seconds, facts=facts)
        report = AttemptReport(
            request.destination, attempt_report.verdict(outcome), line, attempt_report.retry_hold(outcome)
        )
        return AttemptResult(notification, outcome, reply.claim, report, seconds)

    async def refuse(
        self, notification: Notification, end: Dead | Suppressed | Delivered, *, token: str
    ) -> AttemptResult:
        """Claim a notification that is not sent, so that it ends once and not at every redelivery. ``Delivered``: it
        was accepted before, and that is not recorded yet.

        A claim of another worker is waited for, because that worker may have died with this very message.
        """
        reply = await self._admissions.claim(notification, token=token)
        if isinstance(reply, Claimed | Crashed):  # it has an end already, however many workers died with it
            return AttemptResult(notification, end, reply.claim)
        return _not_sent(notification, reply)

    async def _unclaimed(self, notification: Notification, outcome: Dead | Deferred, *, token: str) -> AttemptResult:
        if isinstance(outcome, Dead):
            return await self.refuse(notification, outcome, token=token)
        return AttemptResult(notification, outcome)

    async def _send(
        self, notification: Notification, request: AdmissionRequest, reply: Claimed, permit: SendPermit, age: Age
    ) -> Outcome:
        channel, attempt = notification.destination.channel, notification.attempt
        if reply.unknown and channel in self._hold_unknown:
            return _unknown("its worker ended while it was sending")
        try:
            begin = self._admissions.begin(reply.claim, request.begun)
            return Delivered(await permit.watch(self._channel(notification).send(notification, begin)))
        except Permanent as fault:
            return Dead.of(fault)
        except SendFailed as fault:
            if fault.sent is Sent.UNKNOWN and channel in self._hold_unknown:
                return _unknown(str(fault), fault)
            return self._retry_policy.failed(channel, attempt, fault, age=age.seconds, dice=self._dice())
        except SlowDown as wish:
            return Deferred(wish.seconds, wish.reason, str(wish))
        except ContextUnavailable as fault:
            return self._retry_policy.without_token(channel, fault, age=age.seconds, dice=self._dice())
        except SetupFault as fault:
            return self._without_file(notification, fault, age)

    def _without_file(self, notification: Notification, fault: SetupFault, age: Age) -> Dead | Deferred:
        return self._retry_policy.without_file(notification, fault, now=self._clock.now(), age=age, dice=self._dice())

    def _setup_fault(self, notification: Notification) -> SetupFault | None:
        try:
            self._channel(notification).check(notification.organization_id, notification.destination)
        except SetupFault as fault:
            return fault
        except (Permanent, Unready):
            return None
        return None

    def _channel(self, notification: Notification) -> Channel:
        channel = self._channels.get(notification.destination.channel)
        if channel is None:
            raise SchemaViolation(f"no channel is called {notification.destination.channel!r}")
        return channel


def _unknown(how: str, error: SendFailed | None = None) -> Dead:
    """A person decides: it may have arrived, and would arrive twice."""
    return Dead("unknown", f"it may have arrived and is not repeated: {how}", error=error)


def _not_sent(notification: Notification, reply: AdmitReply) -> AttemptResult:
    claim = reply.claim if isinstance(reply, Crashed) else None
    return AttemptResult(notification, unclaimed(reply, key_of(notification)), claim)
