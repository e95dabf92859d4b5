"""Build one worker, as the application puts it together, on the ports of the simulation."""

import asyncio
from typing import TYPE_CHECKING, Any

from notification_sender.admission import Admissions
from notification_sender.channels.hosts import Hosts
from notification_sender.deliver import Deliverer
from notification_sender.model.notification import Notification
from notification_sender.policy.limits import Limit
from notification_sender.policy.retry import RetryPolicy, Schedule
from notification_sender.relevance import Relevance
from notification_sender.telemetry.metrics import Metrics
from notification_sender.worker.leases import LeaseKeeper
from notification_sender.worker.worker import Worker, WorkerLimits, WorkerPorts
from tests.simulation import simulated_ports
from tests.simulation.recipients import SEND_TIMEOUT, Channel, Composer

if TYPE_CHECKING:
    from tests.simulation.pod import Pod

METRICS = Metrics()
"""Of all workers of all seeds: what they count is read by nobody but for the errors that nobody foresaw."""

LEASE = 30.0
SCHEDULE = Schedule.parse("1s 4s 15s")
ORGANIZATION = Limit.per("organization", 60, 60.0, 3)


class Platform:
    """Our own APIs: always worth a try."""

    def admits(self) -> bool:
        return True

    def unit_started(self) -> None:
        """Anybody may."""

    def record_failure(self, error: Exception) -> None:
        """Nobody is kept out for it."""

    async def changed(self) -> None:
        await asyncio.get_running_loop().create_future()


def limits(notification: Notification) -> list[Limit]:
    """Of its organization and channel, and of its destination."""
    found, destination = [ORGANIZATION], notification.destination
    if destination.rate is not None:
        name = f"destination {destination.destination_id}"
        found.append(Limit.per(name, destination.rate.per_minute, 60.0, destination.rate.burst))
    return found


def build_worker(pod: "Pod", *, held: bool) -> Worker:
    """``held``: of emails, what may have arrived is not repeated."""
    broker, store, dice = simulated_ports.Broker(pod), simulated_ports.Store(pod), pod.world.dice.random
    claims = LeaseKeeper(ledger=store, clock=pod, lease=LEASE)
    retry_policy = RetryPolicy(
        {"webhook": SCHEDULE, "email": SCHEDULE}, delivery_max_age=pod.world.max_age, platform_max_age=120.0
    )
    deliverer = Deliverer(
        admissions=Admissions(ledger=store, limits=limits, count=lambda _: None, lease=LEASE, clock=pod, dice=dice),
        channels={"webhook": Channel(pod, "webhook", held=False), "email": Channel(pod, "email", held=held)},
        hosts=Hosts(fleet=store, pubsub=simulated_ports.PubSub(pod), clock=pod, dice=dice, timeout=2 * SEND_TIMEOUT),  # type: ignore[arg-type]
        retry_policy=retry_policy,
        hold_unknown={"email"} if held else set(),
        leases=claims,
        clock=pod,
        dice=dice,
    )
    outside: dict[str, Any] = {"intake": broker, "outbox": broker, "ledger": store, "batches": store}
    return Worker(
        ports=WorkerPorts(**outside, intake_gate=Platform(), clock=pod, dice=dice),
        limits=WorkerLimits(
            concurrency=pod.world.concurrency,
            organization_share=0.5,
            destination_share=0.25,
            send_timeout=SEND_TIMEOUT,
            retry_policy=retry_policy,
        ),
        composer=Composer(pod),  # type: ignore[arg-type]
        deliverer=deliverer,
        relevance=Relevance(gatherers={}, clock=pod, metrics=METRICS),
        leases=claims,
        metrics=METRICS,
    )
