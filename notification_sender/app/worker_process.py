"""One worker: built from its settings, started, and closed in the right order."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from functools import partial
from typing import Any

import structlog

from notification_sender.adapters.clock import FleetClock
from notification_sender.adapters.health_server import Health
from notification_sender.adapters.http.idle_connections import IdleConnections
from notification_sender.adapters.redis.eviction import watch_memory
from notification_sender.adapters.redis.operators import Missing
from notification_sender.admission import Admissions
from notification_sender.app.apis import Upstreams
from notification_sender.app.backends import broker, store
from notification_sender.app.channels import Recipients, bare_networks, hosts
from notification_sender.app.open_files import open_files
from notification_sender.compose import Composer
from notification_sender.context.cache.read_through import Cache
from notification_sender.context.gather import Gatherer
from notification_sender.deliver import Deliverer
from notification_sender.fleet.background import run_forever
from notification_sender.model.errors import Unready
from notification_sender.policy.allowance import Allowance
from notification_sender.policy.audit import Audit
from notification_sender.policy.retry import RetryPolicy
from notification_sender.relevance import Relevance
from notification_sender.render import Renderer, shipped
from notification_sender.render.failing import FailingTemplates
from notification_sender.settings import Settings
from notification_sender.telemetry.events import CloudEvents
from notification_sender.telemetry.lag import LoopMonitor
from notification_sender.telemetry.metrics import Metrics
from notification_sender.telemetry.stalls import STUCK_SECONDS, Watchdog
from notification_sender.worker.leases import LeaseKeeper
from notification_sender.worker.worker import Worker, WorkerLimits, WorkerPorts

REPORT_WAITING_SECONDS = 5.0
"""Interval of the reports to Redis about destinations that wait for a file. Redis forgets a report after three."""

REPORTED_WAITING = 500
"""Destinations in one report, the latest: each costs Redis a command."""

_log = structlog.get_logger()


class App:
    """The worker process: it works from ``start`` until ``stop``."""

    def __init__(self, settings: Settings) -> None:
        """Build everything and connect to nothing.

        Raises:
            ConfigurationFault: a template, a recipe or a script cannot work.
        """
        self._settings = settings
        self._clock = FleetClock()
        self._metrics = Metrics()
        self._broker = broker(settings, self._clock, lost=self._metrics.events_dropped.inc)
        self._store = store(settings)
        idle = IdleConnections.within(open_files())
        self._upstreams = Upstreams(settings, store=self._store, clock=self._clock, metrics=self._metrics, idle=idle)
        self._cache = self._shared_cache()
        tokens = self._upstreams.outbound_tokens
        self._recipients = Recipients(settings, tokens=tokens, clock=self._clock, idle=idle)
        self._hosts = hosts(settings, self._store, self._clock)
        self._loop_monitor = LoopMonitor(self._metrics.lag, self._on_turn)
        self._allowance = Allowance(settings.concurrency)
        self._watchdog = Watchdog(self._loop_monitor, lambda cause: self._metrics.stalls.labels(cause).inc())
        self._health = self._health_port()
        gatherers = self._upstreams.gatherers(self._cache)
        self._failing = FailingTemplates(clock=self._clock, dice=random.random)
        self._retry_policy = self._delays()
        self._leases = LeaseKeeper(ledger=self._store.ledger, clock=self._clock, lease=settings.lease)
        self._worker = Worker(
            ports=self._ports(),
            limits=self._limits(),
            composer=self._composer(gatherers),
            deliverer=self._deliverer(),
            relevance=Relevance(gatherers=gatherers, clock=self._clock, metrics=self._metrics),
            leases=self._leases,
            metrics=self._metrics,
            bulkheads=self._recipients.bulkheads(settings),
        )
        self._consuming = False
        self._opened = AsyncExitStack()
        self._show()

    def _delays(self) -> RetryPolicy:
        settings = self._settings
        return RetryPolicy(
            self._recipients.schedules, delivery_max_age=settings.delivery_max_age, platform_max_age=settings.max_age
        )

    def _shared_cache(self) -> Cache:
        return Cache(
            shared=self._store.shared_cache,
            pubsub=self._store.pubsub,
            clock=self._clock,
            dice=random.random,
            prefix=self._settings.topology_prefix,
            deadline=self._settings.gather_timeout,
            count=self._metrics.fact,
        )

    def _show(self) -> None:
        """Gauges that are computed when they are read."""
        self._metrics.hosts_out.set_function(lambda: self._hosts.out)
        self._metrics.clock_offset.set_function(lambda: self._clock.apart)
        self._metrics.tasks.set_function(lambda: len(asyncio.all_tasks()))
        self._metrics.templates_failing.set_function(lambda: len(self._failing.out))

    def _health_port(self) -> Health:
        return Health(
            ready=self.ready,
            stuck=lambda: self._watchdog.stuck,
            dead=STUCK_SECONDS,
            status=self.status,
            metrics=self._metrics,
            open_status=self._settings.status == "open",
        )

    def _on_turn(self, wall: float, cpu: float) -> None:
        self._allowance.record_turn(wall, cpu, used=sum(self._worker.slots.held.values()))
        allowed = self._allowance
        self._worker.allow(allowed.limit, shared=allowed.shared, taken=allowed.taken)

    def _ports(self) -> WorkerPorts:
        return WorkerPorts(
            intake=self._broker,
            outbox=self._broker,
            ledger=self._store.ledger,
            batches=self._store.ledger,
            intake_gate=self._upstreams.intake_gate,
            clock=self._clock,
            dice=random.random,
            events=self._events(),
        )

    def _events(self) -> CloudEvents | None:
        settings = self._settings
        return CloudEvents(self._broker, prefix=settings.topology_prefix) if settings.events == "on" else None

    def _limits(self) -> WorkerLimits:
        settings = self._settings
        return WorkerLimits(
            concurrency=settings.concurrency,
            organization_share=settings.organization_share,
            destination_share=settings.destination_share,
            send_timeout=settings.send_timeout,
            retry_policy=self._retry_policy,
        )

    def _composer(self, gatherers: Mapping[str, Gatherer]) -> Composer:
        settings, channels = self._settings, self._recipients.channels
        parts = {name: channel.parts for name, channel in channels.items()}
        renderer = Renderer(folder=settings.templates_dir or shipped(), channels=parts)
        self._left_out = renderer.check(gatherers, self._recipients.configured)
        return Composer(
            gatherers=gatherers,
            renderer=renderer,
            channels=channels,
            failing=self._failing,
            clock=self._clock,
            most=settings.max_destinations,
        )

    def _deliverer(self) -> Deliverer:
        return Deliverer(
            admissions=Admissions(
                ledger=self._store.ledger,
                limits=self._recipients.limits,
                count=self._metrics.admission,
                lease=self._settings.lease,
                clock=self._clock,
                dice=random.random,
            ),
            channels=self._recipients.channels,
            hosts=self._hosts,
            retry_policy=self._retry_policy,
            hold_unknown=self._recipients.hold_unknown,
            leases=self._leases,
            clock=self._clock,
            dice=random.random,
        )

    async def start(self) -> None:
        """Connect to RabbitMQ and Redis, then begin to take deliveries. Waits for either if it is away.

        Raises:
            ConfigurationFault: they refuse us, or existing queues differ from ours.
        """
        self._warn()
        async with AsyncExitStack() as opened:
            opened.push_async_callback(self._recipients.close)
            opened.push_async_callback(self._upstreams.close)
            monitoring = run_forever(self._loop_monitor.watch, "beat")
            opened.callback(monitoring.cancel)
            self._watchdog.start()
            opened.callback(self._watchdog.stop)
            await self._health.start(self._settings.http_host, self._settings.http_port)
            opened.push_async_callback(self._health.stop)
            _log.info("health.listening", port=self._health.port)
            opened.push_async_callback(self._store.close)
            await self._store.open()
            await self._clock.compare(self._store.redis)
            following = run_forever(partial(self._clock.follow, self._store.redis), "clock")
            opened.callback(following.cancel)
            reporting = run_forever(self._report_waiting, "waiting destinations")
            opened.callback(reporting.cancel)
            memory = run_forever(partial(watch_memory, self._store.redis, self._metrics.redis_memory), "store memory")
            opened.callback(memory.cancel)
            opened.push_async_callback(self._cache.close)
            opened.push_async_callback(self._hosts.close)
            self._upstreams.start()
            opened.push_async_callback(self._broker.close)
            await self._broker.connect()
            # Before it starts: a worker that fails half-way has deliveries in hand already.
            opened.push_async_callback(self._worker.close, self._settings.grace)
            await self._worker.start()
            self._consuming = True
            self._opened = opened.pop_all()
        _log.info("worker.ready", **self._settings.effective())

    async def _report_waiting(self) -> None:
        """Report, for ``destinations list``, which destinations wait for a file of the operator."""
        while True:
            await self._clock.sleep(REPORT_WAITING_SECONDS)
            waiting = self._recipients.notices.waiting()[-REPORTED_WAITING:]
            missing = [Missing(it.organization_id, it.destination_id, it.cause) for it in waiting]
            with suppress(Unready):
                await self._store.destinations.record_missing(missing, 3 * REPORT_WAITING_SECONDS)

    def _warn(self) -> None:
        """Warn of settings that are allowed and rarely meant."""
        if self._left_out:
            _log.warning("template.left_out", templates=self._left_out)
        for variable in self._settings.in_the_open():
            _log.warning("connection.unencrypted", variable=variable)
        networks = bare_networks(self._settings)
        if networks and self._settings.environment == "production":
            advice = "narrow each in NS_ALLOWED_CIDRS: cidr:ports=organization"
            _log.warning("allowed_cidrs.bare", networks=networks, advice=advice)

    async def stop(self) -> None:
        """Take no more, finish or requeue all deliveries, close every connection. Cancelled: finish nothing."""
        self._consuming = False
        try:
            async with asyncio.timeout(self._settings.grace):
                await self._opened.aclose()
        except TimeoutError:
            # A broker that hangs does not confirm the close; the end of the process closes the connection anyway.
            _log.warning("worker.stop_timed_out")
        else:
            _log.info("worker.stopped")

    def ready(self) -> dict[str, bool]:
        """The parts of ``/readyz``."""
        return {
            "rabbitmq": self._broker.connected,
            "redis": self._store.redis.ready,
            "consuming": self._consuming and self._broker.consuming,
        }

    def status(self) -> dict[str, Any]:
        """The content of ``/status``."""
        slots = {lane.value: held for lane, held in self._worker.slots.held.items()}
        apis = self._upstreams.summary()
        return {
            "ready": self.ready(),
            "in_hand": sum(slots.values()),
            "unsettled": self._worker.lanes.unsettled,
            "slots": slots,
            "apis": apis,
            "hosts_out": self._hosts.summary(),
            "templates_failing": self._failing.out,
        }

    async def publish(self, bodies: list[bytes]) -> None:
        """Publish work units, as a publisher would."""
        for body in bodies:
            await self._broker.publish(body)

    async def audit(self, batch_id: str) -> dict[str, Audit]:
        """The audit of a batch, by organization."""
        return await self._store.audit(batch_id)
