"""The heart, put together from ports: the same in production, in the demo and under a virtual clock."""

import asyncio
from dataclasses import dataclass
from functools import partial

from notification_sender.compose import Composer
from notification_sender.deliver import Deliverer
from notification_sender.policy.deferral import Deferral
from notification_sender.policy.shares import Shares
from notification_sender.ports import Clock, Dice, Intake, Lane, Ledger, Outbox, Platform, Rollcall
from notification_sender.relevance import Relevance
from notification_sender.telemetry.events import CloudEvents
from notification_sender.telemetry.journal import Journal
from notification_sender.telemetry.metrics import Metrics
from notification_sender.worker.claims import Claims
from notification_sender.worker.drain import Drain
from notification_sender.worker.held import Held
from notification_sender.worker.lanes import Lanes
from notification_sender.worker.notifications import Notifications
from notification_sender.worker.readiness import Readiness
from notification_sender.worker.settle import Settler
from notification_sender.worker.slots import Portions, Slots
from notification_sender.worker.units import Units

SETTLING = 2.0
"""Seconds of the grace that are kept for giving back what did not finish, and for closing connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outside:
    """What the heart runs on."""

    intake: Intake
    outbox: Outbox
    ledger: Ledger
    rollcall: Rollcall
    platform: Platform
    clock: Clock
    dice: Dice
    events: CloudEvents | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How much at once and how long; seconds. The shares are parts of one, of the slots."""

    concurrency: int
    organization_share: float
    destination_share: float
    lease: float
    send_timeout: float
    max_age: float


class Heart:
    """Takes, works, settles, until it is closed."""

    def __init__(
        self,
        *,
        outside: Outside,
        pace: Pace,
        composer: Composer,
        deliverer: Deliverer,
        relevance: Relevance,
        held: Held,
        metrics: Metrics,
    ) -> None:
        """``held``: the same that ``deliverer`` has its claims renewed by."""
        self._pace = pace
        self._held = held
        self._readiness = Readiness(clock=outside.clock)
        self._drain = Drain(clock=outside.clock, send_timeout=pace.send_timeout)
        self._journal = Journal(metrics, clock=outside.clock, events=outside.events)
        self._platform = outside.platform
        self.slots = Slots(pace.concurrency, outside.platform)
        self._organizations = self._portions(outside, pace.organization_share)
        settler = self._settler(outside)
        notifications = self._notifications(outside, deliverer, relevance, settler)
        units = self._units(outside, composer, notifications, settler)
        self.lanes = Lanes(
            intake=outside.intake,
            outbox=outside.outbox,
            handlers={Lane.UNITS: units.handle, Lane.NOTIFICATIONS: notifications.handle},
            slots=self.slots,
            readiness=self._readiness,
            drain=self._drain,
            clock=outside.clock,
            metrics=metrics,
        )
        self._beside: list[asyncio.Task[None]] = []
        self._show(metrics)

    def _show(self, metrics: Metrics) -> None:
        for lane in Lane:
            metrics.in_hand.labels(lane.value).set_function(partial(self.slots.held.__getitem__, lane))

    def _settler(self, outside: Outside) -> Settler:
        return Settler(
            outbox=outside.outbox,
            ledger=outside.ledger,
            readiness=self._readiness,
            held=self._held,
            journal=self._journal,
        )

    def _portions(self, outside: Outside, share: float) -> Portions:
        shares = Shares(self._pace.concurrency, share)
        return Portions(shares, readiness=self._readiness, clock=outside.clock, dice=outside.dice)

    def _notifications(
        self, outside: Outside, deliverer: Deliverer, relevance: Relevance, settler: Settler
    ) -> Notifications:
        return Notifications(
            deliverer=deliverer,
            relevance=relevance,
            settler=settler,
            readiness=self._readiness,
            organizations=self._organizations,
            destinations=self._portions(outside, self._pace.destination_share),
            drain=self._drain,
            journal=self._journal,
            clock=outside.clock,
        )

    def _units(self, outside: Outside, composer: Composer, notifications: Notifications, settler: Settler) -> Units:
        return Units(
            composer=composer,
            notifications=notifications,
            claims=Claims(
                ledger=outside.ledger, rollcall=outside.rollcall, readiness=self._readiness, drain=self._drain
            ),
            settler=settler,
            held=self._held,
            organizations=self._organizations,
            deferral=Deferral(self._pace.max_age),
            platform=outside.platform,
            journal=self._journal,
            clock=outside.clock,
            dice=outside.dice,
        )

    async def start(self) -> None:
        """Begin to take."""
        beside = (self._held.renew_for_ever(), self.lanes.put_off_late(), self._heed())
        self._beside = [asyncio.create_task(work) for work in beside]
        await self.lanes.open(self._pace.concurrency)

    async def _heed(self) -> None:
        """Units that were kept out are let in as soon as they may be."""
        while True:
            await self._platform.changed()
            self.lanes.begin()

    async def close(self, grace: float) -> None:
        """Finish or give back everything within ``grace`` seconds; at once where this is cancelled."""
        try:
            await self.lanes.close(max(grace - SETTLING, 0.0))
        finally:
            for task in self._beside:
                task.cancel()
            await asyncio.gather(*self._beside, return_exceptions=True)
