"""The worker, put together from ports: the same in production, in the demo and under a virtual clock."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import partial

from notification_sender.compose import Composer
from notification_sender.deliver import Deliverer
from notification_sender.fleet.background import run_forever
from notification_sender.fleet.pauses import Pauses
from notification_sender.policy.fair_share import FairShare
from notification_sender.policy.retry import RetryPolicy
from notification_sender.ports.broker import Intake, Lane, Outbox
from notification_sender.ports.clock import Clock, Dice
from notification_sender.ports.fleet import IntakeGate
from notification_sender.ports.ledger import BatchTracker, Ledger
from notification_sender.relevance import Relevance
from notification_sender.telemetry.events import CloudEvents
from notification_sender.telemetry.metrics import Metrics
from notification_sender.telemetry.outcomes import OutcomeReporter
from notification_sender.telemetry.traces import Traces
from notification_sender.worker.attempts import Attempts
from notification_sender.worker.bulkheads import Bulkhead, ChannelBulkhead, Slots
from notification_sender.worker.drain import Drain
from notification_sender.worker.entrance import Entrance
from notification_sender.worker.lanes import Lanes
from notification_sender.worker.leases import LeaseKeeper
from notification_sender.worker.notifications import Notifications
from notification_sender.worker.retry_unready import RetryingLedger, RetryingOutbox, UnreadyRetry
from notification_sender.worker.returned import Returned
from notification_sender.worker.settle import Settler
from notification_sender.worker.unit_work import FanOut, UnitWork
from notification_sender.worker.units import Units

CLOSING_SECONDS = 2.0
"""Part of the grace that is kept for requeueing unfinished deliveries and for closing connections."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPorts:
    """The outside of a worker."""

    intake: Intake
    outbox: Outbox
    ledger: Ledger
    batches: BatchTracker
    intake_gate: IntakeGate
    clock: Clock
    dice: Dice
    events: CloudEvents | None = None
    pauses: Pauses | None = None
    """None: nobody can pause anything."""
    traces: Traces | None = None
    """None: no spans are made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerLimits:
    """How much is worked on at once, and for how long (seconds). Shares are fractions of the slots."""

    concurrency: int
    organization_share: float
    destination_share: float
    send_timeout: float
    retry_policy: RetryPolicy


class Worker:
    """Takes, works on and settles deliveries, until it is closed."""

    def __init__(
        self,
        *,
        ports: WorkerPorts,
        limits: WorkerLimits,
        composer: Composer,
        deliverer: Deliverer,
        relevance: Relevance,
        leases: LeaseKeeper,
        metrics: Metrics,
        bulkheads: Mapping[str, ChannelBulkhead] | None = None,
    ) -> None:
        """``leases``: the same as of ``deliverer``. ``bulkheads``: by channel, where it has one."""
        self._ports, self._limits, self._leases = ports, limits, leases
        self._bulkheads = bulkheads or {}
        self._retry = UnreadyRetry(clock=ports.clock)
        self._drain = Drain(clock=ports.clock, send_timeout=limits.send_timeout)
        self._ledger = RetryingLedger(ports.ledger, ports.batches, retry=self._retry, drain=self._drain)
        self._reporter = OutcomeReporter(metrics, clock=ports.clock, events=ports.events, traces=ports.traces)
        self._pauses = ports.pauses or Pauses(clock=ports.clock, dice=ports.dice)
        self.slots = Slots(limits.concurrency, ports.intake_gate)
        self._destinations = self._build_bulkhead(limits.destination_share)
        self._organizations = self._build_bulkhead(limits.organization_share, self._destinations)
        self._entrance = self._build_entrance(deliverer)
        self._settler = self._build_settler()
        notifications = self._build_notifications(deliverer, relevance, composer)
        units = self._build_units(composer, notifications)
        self.lanes = Lanes(
            intake=ports.intake,
            outbox=ports.outbox,
            handlers={Lane.UNITS: units.handle, Lane.NOTIFICATIONS: notifications.handle},
            slots=self.slots,
            retry=self._retry,
            drain=self._drain,
            clock=ports.clock,
            metrics=metrics,
        )
        self.lanes.steps.traces = ports.traces
        self._background: list[asyncio.Task[None]] = []
        self._show(metrics)

    def _show(self, metrics: Metrics) -> None:
        for lane in Lane:
            metrics.in_hand.labels(lane.value).set_function(partial(self.slots.held.__getitem__, lane))

    def _build_bulkhead(self, share: float, parts: Bulkhead | None = None) -> Bulkhead:
        ports, shares = self._ports, FairShare(self._limits.concurrency, share, self._retry.outage)
        return Bulkhead(shares, clock=ports.clock, dice=ports.dice, room=self.slots.room, parts=parts)

    def _build_entrance(self, deliverer: Deliverer) -> Entrance:
        return Entrance(
            deliverer=deliverer,
            organizations=self._organizations,
            destinations=self._destinations,
            room=self.slots.room,
            clock=self._ports.clock,
        )

    def _build_settler(self) -> Settler:
        return Settler(
            outbox=RetryingOutbox(self._ports.outbox, retry=self._retry),
            ledger=self._ledger,
            leases=self._leases,
            reporter=self._reporter,
        )

    def _build_notifications(self, deliverer: Deliverer, relevance: Relevance, composer: Composer) -> Notifications:
        clock = self._ports.clock
        return Notifications(
            attempts=Attempts(
                deliverer=deliverer,
                settler=self._settler,
                destinations=self._destinations,
                retry=self._retry,
                drain=self._drain,
                pauses=self._pauses,
                clock=clock,
            ),
            deliverer=deliverer,
            returned=Returned(
                relevance=relevance,
                composer=composer,
                retry_policy=self._limits.retry_policy,
                clock=clock,
                dice=self._ports.dice,
            ),
            settler=self._settler,
            entrance=self._entrance,
            bulkheads=self._bulkheads,
            pauses=self._pauses,
            clock=clock,
        )

    def _build_units(self, composer: Composer, notifications: Notifications) -> Units:
        clock, dice = self._ports.clock, self._ports.dice
        work = UnitWork(
            composer=composer,
            fan_out=FanOut(notifications=notifications, settler=self._settler, bulkheads=self._bulkheads, clock=clock),
            settler=self._settler,
            retry_policy=self._limits.retry_policy,
            intake_gate=self._ports.intake_gate,
            clock=clock,
            dice=dice,
        )
        return Units(
            ledger=self._ledger,
            settler=self._settler,
            leases=self._leases,
            entrance=self._entrance,
            work=work,
            pauses=self._pauses,
            clock=clock,
            dice=dice,
        )

    async def start(self) -> None:
        """Begin to take."""
        background: dict[str, Callable[[], Awaitable[None]]] = {
            "renew": self._leases.renew_for_ever,
            "put off": self.lanes.put_off_late,
            "waiting room": partial(self.slots.room.recheck_for_ever, self._ports.clock),
            "intake gate": self._follow_gate,
        }
        self._background = [run_forever(work, name) for name, work in background.items()]
        await self.lanes.open(self._limits.concurrency)

    def allow(self, limit: int, *, shared: int, taken: int) -> None:
        """Work on ``limit`` deliveries at once from now on, and take ``taken`` of each lane. Shares are fractions of
        ``shared``.
        """
        for bulkhead in (self._organizations, self._destinations):
            bulkhead.divide(shared)
        self.lanes.allow(limit, taken=taken)

    async def _follow_gate(self) -> None:
        """Let the units in that were kept out, as soon as the gate opens."""
        while True:
            await self._ports.intake_gate.changed()
            self.lanes.begin()

    async def close(self, grace: float) -> None:
        """Finish or requeue every delivery within ``grace`` seconds; at once if this is cancelled."""
        try:
            await self.lanes.close(max(grace - CLOSING_SECONDS, 0.0))
        finally:
            for task in self._background:
                task.cancel()
            await asyncio.gather(*self._background, return_exceptions=True)
