"""Who is told, and how they take it; and what our own APIs do to whoever composes."""

import asyncio
from typing import TYPE_CHECKING

from notification_sender.compose import Composed, Composition
from notification_sender.model.destination import Destination
from notification_sender.model.errors import (
    ContextUnavailable,
    Gone,
    Rejected,
    RenderFault,
    SchemaViolation,
    SendFailed,
    Sent,
    SlowDown,
    SubjectNotFound,
)
from notification_sender.model.notification import Notification, notification_id
from notification_sender.model.outcome import Dead, Receipt
from notification_sender.model.unit import WorkUnit
from notification_sender.policy.destinations import matching_destinations
from notification_sender.ports.channels import Begin
from notification_sender.targets import Target
from tests.simulation.observer import Sending

if TYPE_CHECKING:
    from tests.simulation.pod import Pod

SEND_TIMEOUT = 15.0
SENDS_AT_ONCE = 0.5
ANSWERS = (
    "refused",
    "rejected",
    "busy",
    "later",
    "slow down",
    "slow down late",
    "no token",
    "new token",
    "lost",
    "broken",
    "gone",
)
"""In place of accepted.

refused: no connection · rejected: never · busy: a 503 · later: with a wish · slow down: a mail server, before or after
the first byte · no token: our own · new token: sent a second time · lost: accepted, and nobody learns of it
broken: not accepted, and nobody learns of that either
"""

TEMPERS = ((1.0, 0, 0), (1.0, 0, 0), (0.7, 0, 10), (0.4, 0, 10), (0.0, 1, 3), (0.9, 0, 11))
"""Destinations: the share that they accept, and from where to where in ``ANSWERS`` the rest is drawn."""

DEADLY = "deadly"
"""An asset: whoever composes a unit that has it dies of that."""

LATENCIES = (0.0, 0.02, 0.02, 0.3, 3.0, 14.0)


class Channel:
    """Sends to the recipients of the simulation; ``held``: what may have arrived is not repeated."""

    def __init__(self, pod: "Pod", name: str, *, held: bool) -> None:
        self.name = name
        self.parts = {"json": False}
        self._pod, self._world, self._held = pod, pod.world, held

    def address(self, destination: Destination) -> str:
        return str(destination.extra["to"])

    def host(self, address: str) -> str:
        return address.partition("/")[0]

    def check(self, organization_id: str, destination: Destination) -> None:
        pass

    def sends_at_once(self, _: str, destination: Destination) -> bool:
        """By chance: what was true when the claim was asked for may not be any more when it is sent."""
        _, first, last = TEMPERS[destination.extra["temper"]]
        # One that may ask for a new token never does: it has to wait for the first one.
        return "new token" not in ANSWERS[first:last] and self._world.dice.random() < SENDS_AT_ONCE

    async def send(self, notification: Notification, begin: Begin) -> Receipt:
        dice, destination = self._world.dice, notification.destination
        share, first, last = TEMPERS[destination.extra["temper"]]
        answer = "" if dice.random() < share else dice.choice(ANSWERS[first:last])
        latency = dice.choice(LATENCIES[: destination.extra["slow"]])
        match answer:
            case "refused":
                raise SendFailed("refused", sent=Sent.NOTHING, ill=True)
            case "slow down":
                raise SlowDown("421", seconds=dice.choice((0.5, 5.0)))
            case "no token":
                raise ContextUnavailable("aaa: 503")
        await begin()
        if answer == "new token":
            refused = self._start(notification)
            refused.free = True
            self._end(refused)
            await begin()
        sending = self._start(notification)
        if answer in {"", "new token", "lost"}:
            self._world.loop.call_later(latency / 2, self._accept, sending)
        try:
            await self._pod.sleep(latency)
            return self._told(answer, sending)
        finally:
            self._end(sending)

    def _start(self, notification: Notification) -> Sending:
        if not notification.content:
            self._world.observer.wrong.append((notification.notification_id, "sent without a word"))
        sending = self._pod.begun(notification.notification_id)
        self._world.tell(self._pod.name, "sends", sending.name, notification.attempt)
        self._world.observer.starts(sending, notification.attempt, self._world.loop.time(), held=self._held)
        return sending

    def _end(self, sending: Sending) -> None:
        if sending.ended is None:
            sending.ended = self._world.loop.time()

    def _accept(self, sending: Sending) -> None:
        self._world.tell("", "accepted", sending.name, sending.attempt)
        sending.accepted = self._world.loop.time()

    def _told(self, answer: str, sending: Sending) -> Receipt:
        late = self._world.loop.time() - (sending.started or 0.0) > SEND_TIMEOUT
        match "late" if late else answer:
            case "rejected":
                raise Rejected("404")
            case "gone":
                raise Gone("410")
            case "busy":
                raise SendFailed("503", sent=Sent.ANSWERED, ill=True, status=503)
            case "later":
                raise SendFailed("429", sent=Sent.ANSWERED, retry_after=self._world.dice.choice((1.0, 20.0)))
            case "slow down late":
                sending.free = True
                raise SlowDown("450 too many", seconds=3.0)
            case "lost" | "broken" | "late" as how:
                sending.why.append("unknown")
                if self._held:
                    self._world.observer.unknown[sending.name] = sending.life
                raise SendFailed(how, sent=Sent.UNKNOWN, ill=True)
        return Receipt("200")


class Composer:
    """Context after a while, or not at all."""

    def __init__(self, pod: "Pod") -> None:
        self._pod, self._dice = pod, pod.world.dice

    def check(self, unit: WorkUnit) -> None:
        if unit.kind != "intel":
            raise SchemaViolation(f"kind: there is no recipe {unit.kind!r}")

    async def compose(self, unit: WorkUnit) -> Composition:
        await asyncio.sleep(self._pod.world.faults.delay())
        if DEADLY in unit.asset_ids:
            self._pod.world.kill(self._pod)
        await self._pod.awake()
        if self._dice.random() < self._pod.world.trouble:
            raise self._dice.choice(
                (ContextUnavailable("incidents: 503"), SubjectNotFound("404"), RenderFault("line 3"))
            )
        return Composition(targets(unit), lambda it: self._composed(unit, it.destination))

    def _composed(self, unit: WorkUnit, destination: Destination) -> Composed:
        unreadable = destination.template == "unreadable"
        notification = Notification(
            notification_id=notification_id(unit, destination.destination_id),
            organization_id=unit.organization_id,
            work_unit_id=unit.work_unit_id,
            kind=unit.kind,
            event=unit.event,
            destination=destination,
            content={} if unreadable else {"json": "{}"},
            expires_at=unit.expires_at,
        )
        return Composed(notification, Dead("render", "no such template") if unreadable else None)


def targets(unit: WorkUnit) -> list[Target]:
    """Whom a unit reaches, in their order."""
    given = [Destination.model_validate(it) for it in unit.destinations or ()]
    return [*map(Target, matching_destinations(unit, given))]
