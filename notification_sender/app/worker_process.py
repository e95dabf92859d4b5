"""One worker: started, and closed in the right order."""

import asyncio
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from typing import Any

import structlog

from notification_sender.adapters.health_server import Health
from notification_sender.adapters.http.connector import public
from notification_sender.adapters.redis.eviction import watch_memory
from notification_sender.adapters.redis.operators import Missing
from notification_sender.app.channels import bare_networks
from notification_sender.app.fleet_reports import FleetReports
from notification_sender.app.worker_parts import WorkerParts
from notification_sender.fleet.background import run_forever, together
from notification_sender.model.errors import Unready
from notification_sender.policy.audit import Audit
from notification_sender.settings import Settings

REPORT_SECONDS = 5.0
"""Interval of the reports to Redis about destinations that wait for a file, and about open circuits. Redis forgets a
report after three."""

REPORTED = 500
"""Destinations and circuits in one report at most: each costs Redis a command."""

GIVE_WAY_SECONDS = 0.0005
"""Seconds after which a thread that computes lets the event loop go on. With Python's default of 5 ms each answer of
RabbitMQ would wait as long, and the worker connects in twenty."""

_log = structlog.get_logger()


class App:
    """The worker process: it works from ``start`` until ``stop``."""

    def __init__(self, settings: Settings, parent: socket.socket | None = None, *, number: int | None = None) -> None:
        """Build everything and connect to nothing.

        ``parent``: the connection to the process that answers the health port for several workers, of which this one
        has the ``number``.

        Raises:
            ConfigurationFault: a recipe or a script cannot work.
        """
        self._parts = WorkerParts(settings)
        self._parts.metrics.ready.set_function(lambda: all(self.ready().values()))
        self._parent = parent
        self._health = self._health_port()
        self._consuming = False
        self._fleet = FleetReports(self._parts, number=number, ready=lambda: all(self.ready().values()))
        self._opened = AsyncExitStack()

    def _health_port(self) -> Health:
        return Health(
            ready=self.ready,
            stuck=lambda: self._parts.watchdog.stuck,
            dead=self._parts.settings.liveness,
            status=self.status,
            metrics=self._parts.metrics,
            open_status=self._parts.settings.status == "open",
        )

    async def start(self) -> None:
        """Connect to RabbitMQ and Redis at once, then begin to take deliveries. Waits for either if it is away, and
        computes meanwhile.

        Raises:
            ConfigurationFault: they refuse us, existing queues differ from ours, or a template cannot work.
        """
        parts = self._parts
        self._warn()
        async with AsyncExitStack() as opened:
            if parts.traces is not None:
                opened.push_async_callback(parts.traces.close)
            opened.push_async_callback(parts.recipients.close)
            opened.push_async_callback(parts.upstreams.close)
            monitoring = run_forever(parts.loop_monitor.watch, "beat")
            opened.callback(monitoring.cancel)
            parts.watchdog.start()
            opened.callback(parts.watchdog.stop)
            await self._start_health()
            opened.push_async_callback(self._health.stop)
            opened.push_async_callback(parts.store.close)
            opened.push_async_callback(parts.broker.close)
            computing = (asyncio.to_thread(public), asyncio.to_thread(self._compile_templates), self._read_tls())
            with _giving_way():
                await together(self._open_store(), parts.broker.connect(), *computing)
            self._start_background(opened)
            # Before it starts: a worker that fails half-way has deliveries in hand already.
            opened.push_async_callback(parts.worker.close, parts.settings.grace)
            await parts.worker.start()
            self._consuming = True
            self._opened = opened.pop_all()
        _log.info("worker.ready", **parts.settings.effective())

    def _start_background(self, opened: AsyncExitStack) -> None:
        """Start what runs beside the deliveries, until ``opened`` ends."""
        parts, redis = self._parts, self._parts.store.redis

        def run(work: Callable[[], Awaitable[None]], name: str) -> None:
            opened.callback(run_forever(work, name).cancel)

        run(parts.overrides.follow, "overrides")
        run(partial(parts.clock.follow, redis), "clock")
        run(self._report_trouble, "report trouble")
        run(partial(watch_memory, redis, parts.metrics.redis_memory), "store memory")
        run(parts.batches.watch, "batches")
        opened.push_async_callback(parts.cache.close)
        opened.push_async_callback(parts.hosts.close)
        parts.upstreams.start()
        opened.push_async_callback(self._fleet.close)
        run(self._fleet.run, "fleet reports")

    async def _start_health(self) -> None:
        settings = self._parts.settings
        if self._parent is None:
            await self._health.start(settings.http_host, settings.http_port)
            _log.info("health.listening", port=self._health.port)
        else:
            open_status = settings.status == "open"
            facts = {"host": settings.http_host, "port": settings.http_port, "open_status": open_status}
            await self._health.start_for_parent(self._parent, facts, settings.grace)

    async def _open_store(self) -> None:
        await self._parts.store.open()
        # Before the first delivery: its clock decides what has expired.
        await self._parts.clock.compare(self._parts.store.redis)
        with suppress(Unready):
            await self._parts.overrides.refresh()

    async def _read_tls(self) -> None:
        """Read the files that the first call of an API, or the first email, would find unusable."""
        for tls in (*self._parts.upstreams.tls, *self._parts.recipients.tls):
            if tls.options.files:
                await tls.context()

    async def _report_trouble(self) -> None:
        """Report what operators' commands read: which destinations wait for a file, and which circuits are open."""
        while True:
            await self._parts.clock.sleep(REPORT_SECONDS)
            waiting = self._parts.recipients.notices.waiting()[-REPORTED:]
            missing = [Missing(it.organization_id, it.destination_id, it.cause) for it in waiting]
            with suppress(Unready):
                await self._parts.store.destinations.record_missing(missing, 3 * REPORT_SECONDS)
                circuits = [*self._parts.upstreams.open_circuits(), *self._parts.hosts.open_circuits()]
                await self._parts.store.fleet.report_circuits(circuits[:REPORTED], 3 * REPORT_SECONDS)

    def _compile_templates(self) -> None:
        if left_out := self._parts.compile_templates():
            _log.warning("template.left_out", templates=left_out)

    def _warn(self) -> None:
        """Warn of settings that are allowed and rarely meant."""
        for variable in self._parts.settings.in_the_open():
            _log.warning("connection.unencrypted", variable=variable)
        networks = bare_networks(self._parts.settings)
        if networks and self._parts.settings.environment == "production":
            advice = "narrow each in NS_ALLOWED_CIDRS: cidr:ports=organization"
            _log.warning("allowed_cidrs.bare", networks=networks, advice=advice)

    async def stop(self) -> None:
        """Take no more, finish or requeue all deliveries, close every connection. Cancelled: finish nothing."""
        self._consuming = False
        try:
            async with asyncio.timeout(self._parts.settings.grace):
                await self._opened.aclose()
        except TimeoutError:
            # A broker that hangs does not confirm the close; the end of the process closes the connection anyway.
            _log.warning("worker.stop_timed_out")
        else:
            _log.info("worker.stopped")

    def ready(self) -> dict[str, bool]:
        """The parts of ``/readyz``."""
        return {
            "rabbitmq": self._parts.broker.connected,
            "redis": self._parts.store.redis.ready,
            "consuming": self._consuming and self._parts.broker.consuming,
        }

    def status(self) -> dict[str, Any]:
        """The content of ``/status``."""
        slots = {lane.value: held for lane, held in self._parts.worker.slots.held.items()}
        apis = self._parts.upstreams.summary()
        return {
            "ready": self.ready(),
            "in_hand": sum(slots.values()),
            "unsettled": self._parts.worker.lanes.unsettled,
            "slots": slots,
            "apis": apis,
            "hosts_out": self._parts.hosts.summary(),
            "templates_failing": self._parts.failing.out,
            "overrides": self._parts.overrides.summary(),
            "fleet": self._fleet.summary,
        }

    async def publish(self, bodies: list[bytes]) -> None:
        """Publish work units, as a publisher would."""
        for body in bodies:
            await self._parts.broker.publish(body)

    async def audit(self, batch_id: str) -> dict[str, Audit]:
        """The audit of a batch, by organization."""
        return await self._parts.store.audit(batch_id)


@contextmanager
def _giving_way() -> Iterator[None]:
    """Threads that compute inside the block hardly delay the event loop."""
    usual = sys.getswitchinterval()
    sys.setswitchinterval(GIVE_WAY_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(usual)
