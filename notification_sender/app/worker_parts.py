"""Builds every object of a worker from its settings."""

import asyncio
import random
from collections.abc import Callable

from notification_sender import __version__
from notification_sender.adapters.clock import FleetClock
from notification_sender.adapters.http.idle_connections import IdleConnections
from notification_sender.admission import Admissions
from notification_sender.app.apis import Upstreams
from notification_sender.app.backends import broker, store
from notification_sender.app.channels import Recipients, hosts
from notification_sender.app.open_files import open_files
from notification_sender.app.traces import traces
from notification_sender.compose import Composer
from notification_sender.context.cache.read_through import Cache
from notification_sender.deliver import Deliverer
from notification_sender.fleet.overrides import OverrideWatch
from notification_sender.fleet.pauses import Pauses
from notification_sender.policy.allowance import Allowance
from notification_sender.policy.retry import RetryPolicy
from notification_sender.relevance import Relevance
from notification_sender.render import Renderer, shipped
from notification_sender.render.failing import FailingTemplates
from notification_sender.settings import Settings
from notification_sender.telemetry.events import CloudEvents
from notification_sender.telemetry.lag import LoopMonitor
from notification_sender.telemetry.metrics import Metrics
from notification_sender.telemetry.stalls import Watchdog
from notification_sender.worker.leases import LeaseKeeper
from notification_sender.worker.watched_batches import WatchedBatches
from notification_sender.worker.worker import Worker, WorkerLimits, WorkerPorts


class WorkerParts:
    """The objects of one worker, wired together. Nothing is connected yet."""

    def __init__(self, settings: Settings) -> None:
        """Build everything and connect to nothing. The templates are compiled by ``compile_templates``.

        Raises:
            ConfigurationFault: a recipe or a script cannot work.
        """
        self.settings = settings
        self.clock = FleetClock()
        self.metrics = Metrics(top_organizations=settings.metrics_top_organizations)
        self.broker = broker(settings, self.clock, lost=self.metrics.events_dropped.inc)
        self.store = store(settings)
        idle = IdleConnections.within(open_files())
        self.traces = traces(settings, self.clock)
        self.upstreams = Upstreams(
            settings, store=self.store, clock=self.clock, metrics=self.metrics, idle=idle, traces=self.traces
        )
        self.cache = self._shared_cache()
        self.batches = WatchedBatches(self.store.ledger, self.clock)
        self.recipients = Recipients(settings, tokens=self.upstreams.outbound_tokens, clock=self.clock, idle=idle)
        self.hosts = hosts(settings, self.store, self.clock)
        self.loop_monitor = LoopMonitor(self.metrics.lag, self._on_turn)
        self._allowance = Allowance(settings.concurrency)
        self.stalled: list[Callable[[str], None]] = [lambda cause: self.metrics.stalls.labels(cause).inc()]
        """Called with the cause of each stall of the loop, in the thread of the watchdog."""
        self.watchdog = Watchdog(self.loop_monitor, self._on_stall)
        self._gatherers = self.upstreams.gatherers(self.cache)
        self._renderer = self._templates()
        self.failing = FailingTemplates(clock=self.clock, dice=random.random)
        self._retry_policy = self._delays()
        self._pauses = Pauses(clock=self.clock, dice=random.random)
        self.overrides = self._override_watch()
        self._leases = LeaseKeeper(ledger=self.store.ledger, clock=self.clock, lease=settings.lease)
        self.worker = self._worker()
        self._show()

    def _override_watch(self) -> OverrideWatch:
        store = self.store
        listeners = (self._pauses.replace, self.recipients.replace_rates, self.upstreams.force, self.hosts.force)
        return OverrideWatch(overrides=store.overrides, pubsub=store.pubsub, clock=self.clock, listeners=listeners)

    def _delays(self) -> RetryPolicy:
        settings = self.settings
        return RetryPolicy(
            self.recipients.schedules, delivery_max_age=settings.delivery_max_age, platform_max_age=settings.max_age
        )

    def _shared_cache(self) -> Cache:
        return Cache(
            shared=self.store.shared_cache,
            pubsub=self.store.pubsub,
            clock=self.clock,
            dice=random.random,
            prefix=self.settings.keys_prefix,
            deadline=self.settings.gather_timeout,
            count=self.metrics.fact,
        )

    def _show(self) -> None:
        """Gauges that are computed when they are read."""
        self.metrics.build_info.labels(__version__).set(1)
        self.metrics.audit_missing.set_function(lambda: self.batches.missing)
        self.metrics.hosts_out.set_function(lambda: self.hosts.out)
        self.metrics.clock_offset.set_function(lambda: self.clock.apart)
        self.metrics.tasks.set_function(lambda: len(asyncio.all_tasks()))
        self.metrics.templates_failing.set_function(lambda: len(self.failing.out))

    def _on_stall(self, cause: str) -> None:
        for listener in self.stalled:
            listener(cause)

    def _on_turn(self, wall: float, cpu: float) -> None:
        self._allowance.record_turn(wall, cpu, used=sum(self.worker.slots.held.values()))
        allowed = self._allowance
        self.worker.allow(allowed.limit, shared=allowed.shared, taken=allowed.taken)

    def _worker(self) -> Worker:
        return Worker(
            ports=self._ports(),
            limits=self._limits(),
            composer=self._composer(),
            deliverer=self._deliverer(),
            relevance=Relevance(gatherers=self._gatherers, clock=self.clock, metrics=self.metrics),
            leases=self._leases,
            metrics=self.metrics,
            bulkheads=self.recipients.bulkheads(self.settings),
        )

    def _ports(self) -> WorkerPorts:
        return WorkerPorts(
            intake=self.broker,
            outbox=self.broker,
            ledger=self.store.ledger,
            batches=self.batches,
            intake_gate=self.upstreams.intake_gate,
            clock=self.clock,
            dice=random.random,
            events=self._events(),
            pauses=self._pauses,
            traces=self.traces,
        )

    def _events(self) -> CloudEvents | None:
        settings = self.settings
        return CloudEvents(self.broker, prefix=settings.topology_prefix) if settings.events == "on" else None

    def _limits(self) -> WorkerLimits:
        settings = self.settings
        return WorkerLimits(
            concurrency=settings.concurrency,
            organization_share=settings.organization_share,
            destination_share=settings.destination_share,
            send_timeout=settings.send_timeout,
            retry_policy=self._retry_policy,
        )

    def _templates(self) -> Renderer:
        parts = {name: channel.parts for name, channel in self.recipients.channels.items()}
        return Renderer(folder=self.settings.templates_dir or shipped(), channels=parts, later=True)

    def compile_templates(self) -> list[str]:
        """Compile and check the templates, before the first delivery and in any thread. Returns the pairs of a kind and
        a channel that are left out on purpose.

        Raises:
            ConfigurationFault: a template has a fault, or is missing.
        """
        self._renderer.compile()
        return self._renderer.check(self._gatherers, self.recipients.configured)

    def _composer(self) -> Composer:
        return Composer(
            gatherers=self._gatherers,
            renderer=self._renderer,
            channels=self.recipients.channels,
            failing=self.failing,
            clock=self.clock,
            most=self.settings.max_destinations,
        )

    def _deliverer(self) -> Deliverer:
        return Deliverer(
            admissions=Admissions(
                ledger=self.store.ledger,
                limits=self.recipients.limits,
                count=self.metrics.admission,
                lease=self.settings.lease,
                clock=self.clock,
                dice=random.random,
            ),
            channels=self.recipients.channels,
            hosts=self.hosts,
            retry_policy=self._retry_policy,
            hold_unknown=self.recipients.hold_unknown,
            leases=self._leases,
            clock=self.clock,
            dice=random.random,
        )
