"""One worker: built from its settings, started, and closed in the right order."""

import asyncio
import random
from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Any

import structlog

from notification_sender.adapters.clock import FleetClock
from notification_sender.adapters.health import Health
from notification_sender.app.recipients import Recipients, hosts
from notification_sender.app.services import broker, store
from notification_sender.app.upstreams import Upstreams
from notification_sender.compose import Composer
from notification_sender.context.cache import Cache
from notification_sender.context.gather import Gatherer
from notification_sender.deliver import Deliverer
from notification_sender.policy.audit import Audit
from notification_sender.policy.retry import Patience
from notification_sender.relevance import Relevance
from notification_sender.render import Renderer, shipped
from notification_sender.settings import Settings
from notification_sender.telemetry.events import CloudEvents
from notification_sender.telemetry.lag import watch_lag
from notification_sender.telemetry.metrics import Metrics
from notification_sender.worker.heart import Heart, Outside, Pace
from notification_sender.worker.held import Held

_log = structlog.get_logger()


class App:
    """The worker: ``start``, then it works by itself until ``stop``."""

    def __init__(self, settings: Settings) -> None:
        """Nothing is connected yet, but everything is built.

        Raises:
            ConfigurationFault: a template, a recipe or a script cannot work.
        """
        self._settings = settings
        self._clock = FleetClock()
        self._metrics = Metrics()
        self._broker = broker(settings, self._clock, lost=self._metrics.events_dropped.inc)
        self._store = store(settings)
        self._upstreams = Upstreams(settings, store=self._store, clock=self._clock, metrics=self._metrics)
        self._cache = Cache(
            shelf=self._store.shelf,
            news=self._store.news,
            clock=self._clock,
            dice=random.random,
            prefix=settings.topology_prefix,
            deadline=settings.gather_timeout,
            count=self._metrics.fact,
        )
        self._recipients = Recipients(settings, tokens=self._upstreams.outbound_tokens, clock=self._clock)
        self._hosts = hosts(settings, self._store, self._clock)
        self._metrics.hosts_out.set_function(lambda: self._hosts.out)
        self._metrics.clock_offset.set_function(lambda: self._clock.apart)
        self._metrics.tasks.set_function(lambda: len(asyncio.all_tasks()))
        self._health = Health(ready=self.ready, live=lambda: True, status=self.status, metrics=self._metrics.expose)
        gatherers = self._upstreams.gatherers(self._cache)
        self._held = Held(ledger=self._store.ledger, clock=self._clock, lease=settings.lease)
        self._heart = Heart(
            outside=self._outside(),
            pace=self._pace(),
            composer=self._composer(gatherers),
            deliverer=self._deliverer(),
            relevance=Relevance(gatherers=gatherers, clock=self._clock, metrics=self._metrics),
            held=self._held,
            metrics=self._metrics,
        )
        self._consuming = False
        self._opened = AsyncExitStack()

    def _outside(self) -> Outside:
        return Outside(
            intake=self._broker,
            outbox=self._broker,
            ledger=self._store.ledger,
            rollcall=self._store.ledger,
            platform=self._upstreams.outages,
            clock=self._clock,
            dice=random.random,
            events=self._events(),
        )

    def _events(self) -> CloudEvents | None:
        settings = self._settings
        return CloudEvents(self._broker, prefix=settings.topology_prefix) if settings.events == "on" else None

    def _pace(self) -> Pace:
        settings = self._settings
        return Pace(
            concurrency=settings.concurrency,
            organization_share=settings.organization_share,
            destination_share=settings.destination_share,
            lease=settings.lease,
            send_timeout=settings.send_timeout,
            max_age=settings.max_age,
        )

    def _composer(self, gatherers: Mapping[str, Gatherer]) -> Composer:
        settings, channels = self._settings, self._recipients.channels
        parts = {name: channel.parts for name, channel in channels.items()}
        return Composer(
            gatherers=gatherers,
            renderer=Renderer(folder=settings.templates_dir or shipped(), channels=parts),
            channels=channels,
            clock=self._clock,
        )

    def _deliverer(self) -> Deliverer:
        settings = self._settings
        return Deliverer(
            ledger=self._store.ledger,
            channels=self._recipients.channels,
            hosts=self._hosts,
            limits=self._recipients.limits,
            patience=Patience(self._recipients.schedules, settings.delivery_max_age),
            max_age=settings.max_age,
            hold_unknown={"email"} if settings.email_on_unknown == "hold" else set(),
            held=self._held,
            asked=self._metrics.admission,
            clock=self._clock,
            dice=random.random,
        )

    async def start(self) -> None:
        """Connect to everything of ours, then begin to take. Waits for a broker or store that is not there yet.

        Raises:
            ConfigurationFault: they refuse us, or the queues that are there differ.
        """
        async with AsyncExitStack() as opened:
            opened.push_async_callback(self._recipients.close)
            opened.push_async_callback(self._upstreams.close)
            lag = asyncio.create_task(watch_lag(self._metrics.lag))
            opened.callback(lag.cancel)
            await self._health.start(self._settings.http_host, self._settings.http_port)
            opened.push_async_callback(self._health.stop)
            _log.info("health.listening", port=self._health.port)
            opened.push_async_callback(self._store.close)
            await self._store.open()
            await self._clock.compare(self._store.redis)
            following = asyncio.create_task(self._clock.follow(self._store.redis))
            opened.callback(following.cancel)
            opened.push_async_callback(self._cache.close)
            opened.push_async_callback(self._hosts.close)
            self._upstreams.start()
            opened.push_async_callback(self._broker.close)
            await self._broker.connect()
            # Before it starts: one that fails half-way has deliveries in hand all the same.
            opened.push_async_callback(self._heart.close, self._settings.grace)
            await self._heart.start()
            self._consuming = True
            self._opened = opened.pop_all()
        _log.info("worker.ready", **self._settings.effective())

    async def stop(self) -> None:
        """Take no more, finish or give back what is in hand, close every connection. Cancelled: finish nothing."""
        self._consuming = False
        try:
            async with asyncio.timeout(self._settings.grace):
                await self._opened.aclose()
        except TimeoutError:
            # A broker that hangs does not take its leave; the end of the process is leave enough.
            _log.warning("worker.stopped_late")
        else:
            _log.info("worker.stopped")

    def ready(self) -> dict[str, bool]:
        """What ``/readyz`` says, by part."""
        return {
            "rabbitmq": self._broker.ready,
            "redis": self._store.redis.ready,
            "consuming": self._consuming,
        }

    def status(self) -> dict[str, Any]:
        """What ``/status`` says."""
        slots = {lane.value: held for lane, held in self._heart.slots.held.items()}
        apis = self._upstreams.summary()
        return {
            "ready": self.ready(),
            "in_hand": self._heart.lanes.in_hand,
            "slots": slots,
            "apis": apis,
            "hosts_out": self._hosts.summary(),
        }

    async def publish(self, bodies: list[bytes]) -> None:
        """Work units, as a publisher would."""
        for body in bodies:
            await self._broker.publish(body)

    async def audit(self, batch_id: str) -> Audit | None:
        """What became of a batch; None if none of its units was seen."""
        return await self._store.audit(batch_id)
