"""The whole worker on memory and a clock that jumps: what a day of trouble does runs in milliseconds."""

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

import orjson
import pytest

from notification_sender.adapters.memory.broker import MemoryBroker
from notification_sender.adapters.memory.pubsub import MemoryPubSub
from notification_sender.admission import Admissions
from notification_sender.channels.hosts import Hosts
from notification_sender.compose import Composed, Composition
from notification_sender.context.gather import Gatherer
from notification_sender.deliver import Deliverer
from notification_sender.fleet.pauses import Pauses
from notification_sender.model.destination import Destination
from notification_sender.model.errors import SchemaViolation, SubjectNotFound, Unready
from notification_sender.model.notification import Notification, notification_id
from notification_sender.model.outcome import Receipt
from notification_sender.model.unit import WorkUnit, subject_fields
from notification_sender.policy.destinations import matching_destinations
from notification_sender.policy.limits import Limit
from notification_sender.policy.retry import RetryPolicy, Schedule
from notification_sender.ports.channels import Begin
from notification_sender.relevance import Relevance
from notification_sender.targets import Target
from notification_sender.telemetry.events import CloudEvents
from notification_sender.telemetry.metrics import Metrics
from notification_sender.telemetry.traces import Traces
from notification_sender.worker.bulkheads import ChannelBulkhead
from notification_sender.worker.leases import LeaseKeeper
from notification_sender.worker.worker import Worker, WorkerLimits, WorkerPorts
from tests.oracles.fleet import MemoryFleet
from tests.oracles.ledger import MemoryLedger
from tests.virtual import VirtualClock
from tests.worker.platform import Platform

RETRY_POLICY = RetryPolicy(
    {"webhook": Schedule.parse("5s 5m 30m")}, delivery_max_age=7 * 86_400.0, platform_max_age=86_400.0
)
PACE = {
    "concurrency": 200,
    "organization_share": 0.5,
    "destination_share": 0.25,
    "send_timeout": 15.0,
}


class Channel:
    """Sends nowhere; ends as told, then accepts. ``ends`` holds errors to raise, or a callable to run first."""

    name = "webhook"
    parts = {"json": False}  # noqa: RUF012 - a constant of a test

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.before: deque[Callable[[], Any]] = deque()
        """Run between the claim and the first byte."""
        self.ends: deque[Exception | Callable[[], Any]] = deque()
        self.sends: list[tuple[float, Notification]] = []
        self.takes: Callable[[Notification], float] = lambda _: 0.0
        """Seconds until the answer."""
        self.fails: Callable[[Notification], Exception | None] = lambda _: None
        """The answer, if it is none."""
        self.lacks: Callable[[str, Destination], Exception | None] = lambda *_: None
        """What of ours is missing for a send there."""
        self.in_flight = self.most_in_flight = 0
        self.connected = False

    def address(self, destination: Destination) -> str:
        return str(destination.extra["url"])

    def host(self, address: str) -> str:
        return address

    def check(self, organization_id: str, destination: Destination) -> None:
        if fault := self.lacks(organization_id, destination):
            raise fault

    def sends_at_once(self, *_: object) -> bool:
        return self.connected

    async def send(self, notification: Notification, begin: Begin) -> Receipt:
        if self.before:
            await self.before.popleft()()
        await begin()
        self.sends.append((self._clock.now(), notification))
        if seconds := self.takes(notification):
            await self._wait(seconds)
        if fault := self.fails(notification):
            raise fault
        if self.ends:
            end = self.ends.popleft()
            if isinstance(end, Exception):
                raise end
            await end()
        return Receipt("200")

    async def _wait(self, seconds: float) -> None:
        self.in_flight += 1
        self.most_in_flight = max(self.most_in_flight, self.in_flight)
        try:
            await self._clock.sleep(seconds)
        finally:
            self.in_flight -= 1


class Composer:
    """Context in no time; fails as told before it composes."""

    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self.faults: deque[Exception] = deque()
        self.composed: list[WorkUnit] = []
        self.refusals: dict[str, str] = {}
        """By unit: why it is refused before it is composed."""
        self.listed = False
        """Whether the destinations are their organization's own."""

    def check(self, unit: WorkUnit) -> None:
        if unit.work_unit_id in self.refusals:
            raise SchemaViolation(self.refusals[unit.work_unit_id])

    async def compose(self, unit: WorkUnit) -> Composition:
        self.composed.append(unit)
        if self.faults:
            raise self.faults.popleft()
        given = [Destination.model_validate(it) for it in unit.destinations or ()]
        targets = [*map(Target, matching_destinations(unit, given))]
        return Composition(targets, lambda it: Composed(self._notification(unit, it.destination)))

    def _notification(self, unit: WorkUnit, destination: Destination) -> Notification:
        return Notification(
            notification_id=notification_id(unit, destination.destination_id),
            organization_id=unit.organization_id,
            work_unit_id=unit.work_unit_id,
            kind=unit.kind,
            event=unit.event,
            destination=destination,
            content={"json": f'{{"composition":{len(self.composed)}}}'},
            expires_at=unit.expires_at,
            composed_at=self._clock.now(),
            unit=subject_fields(unit),
            listed=self.listed,
        )


class Away:
    """A ledger that can be switched off, wholly or for one method."""

    def __init__(self, ledger: MemoryLedger) -> None:
        self._ledger = ledger
        self.methods: set[str] = set()
        self.calls = 0
        """While it was off."""
        self.asked: list[str] = []
        """The methods, in order."""

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._ledger, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.asked.append(name)
            if name in self.methods or "*" in self.methods:
                self.calls += 1
                raise Unready("the store is away")
            return await method(*args, **kwargs)

        return call


class WorkerHarness:
    """One worker on memory, with everything a test wants to look at."""

    bulkheads: Mapping[str, ChannelBulkhead] = {}
    traces: Traces | None = None

    def __init__(self, clock: VirtualClock, **pace: Any) -> None:
        self.clock = clock
        self.broker = MemoryBroker(clock=clock)
        self.memory = MemoryLedger(
            clock=clock,
            lease=30.0,
            ledger_ttl=604_800.0,
            story_ttl=172_800.0,
            horizon=3600.0,
            disable_after=5 * 86_400.0,
        )
        self.ledger = Away(self.memory)
        self.channel = Channel(clock)
        self.composer = Composer(clock)
        self.gatherers: dict[str, Gatherer] = {}
        """What a notification that comes back may be asked by, by kind."""
        self.platform = Platform()
        self.limits: list[Limit] = []
        self.hold_unknown: set[str] = set()
        self.metrics = Metrics()
        self.fleet = MemoryFleet(clock=clock, period=1.0)
        self.pubsub = MemoryPubSub()
        self.pauses = Pauses(clock=clock, dice=lambda: 0.5)
        self.worker = self.another(**pace)

    def outcomes(self, what: str, outcome: str, reason: str) -> float:
        """How often that was counted."""
        labels = {"what": what, "outcome": outcome, "reason": reason}
        return self.metrics.registry.get_sample_value("notification_sender_outcomes_total", labels) or 0.0

    def another(self, **pace: Any) -> Worker:
        """One more worker on the same broker and ledger."""
        ports = WorkerPorts(
            intake=self.broker,
            outbox=self.broker,
            ledger=self.ledger,  # type: ignore[arg-type]  # it passes everything on
            batches=self.memory,
            intake_gate=self.platform,
            clock=self.clock,
            dice=lambda: 0.5,
            events=CloudEvents(self.broker, prefix="fleet"),
            pauses=self.pauses,
            traces=self.traces,
        )
        self.hosts = Hosts(fleet=self.fleet, pubsub=self.pubsub, clock=self.clock, dice=lambda: 0.5, timeout=30.0)
        leases = LeaseKeeper(ledger=self.ledger, clock=self.clock, lease=30.0)  # type: ignore[arg-type]
        deliverer = Deliverer(
            admissions=Admissions(
                ledger=self.ledger,  # type: ignore[arg-type]
                limits=lambda _: self.limits,
                count=self.metrics.admission,
                lease=30.0,
                clock=self.clock,
                dice=lambda: 0.5,
            ),
            channels={"webhook": self.channel},
            hosts=self.hosts,
            retry_policy=RETRY_POLICY,
            hold_unknown=self.hold_unknown,
            leases=leases,
            clock=self.clock,
            dice=lambda: 0.5,
        )
        return Worker(
            ports=ports,
            limits=WorkerLimits(**PACE | pace, retry_policy=RETRY_POLICY),
            composer=self.composer,  # type: ignore[arg-type]
            deliverer=deliverer,
            relevance=Relevance(gatherers=self.gatherers, clock=self.clock, metrics=self.metrics),
            leases=leases,
            metrics=self.metrics,
            bulkheads=self.bulkheads,
        )

    async def publish(
        self, *, destinations: int | list[dict[str, Any]] = 1, headers: dict[str, Any] | None = None, **fields: Any
    ) -> None:
        if isinstance(destinations, int):
            urls = {f"hook-{number}": "https://hooks.example/x" for number in range(destinations)}
            destinations = [{"destination_id": it, "channel": "webhook", "url": url} for it, url in urls.items()]
        unit = {
            "work_unit_id": "wu-1",
            "organization_id": "org-1",
            "incident_id": "inc-1",
            "destinations": destinations,
        }
        await self.broker.publish(orjson.dumps(unit | fields), headers)

    not_found = SubjectNotFound("incident inc-1: 404")

    def reconnect(self) -> None:
        """As when the connection drops: what is unsettled is given to us once more, and its old tags mean nothing."""
        for lane, queue in self.broker._queues.items():
            queue.waiting.extendleft(reversed(queue.unsettled.values()))
            queue.unsettled.clear()
            self.broker._hand_out_soon(lane)

    def idle(self) -> bool:
        """Nothing in hand, nothing waiting, nothing parked."""
        return not (self.worker.lanes.unsettled or self.pending)

    @property
    def pending(self) -> int:
        """Messages in a queue, in hand, or in the ladder."""
        queues = self.broker._queues.values()
        return sum(len(it.waiting) + len(it.unsettled) for it in queues) + len(self.broker._delayed)


@pytest.fixture
async def harness() -> Any:
    harness = WorkerHarness(VirtualClock())
    await harness.worker.start()
    yield harness
    await harness.worker.close(0.0)
    await harness.broker.close()
