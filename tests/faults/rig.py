"""Everything that a row of the fault matrix needs: services, workers that may be broken, a publisher, the account."""

import asyncio
import math
import random
import secrets
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aio_pika
import orjson
import redis.asyncio

from notification_sender.sandbox.inbox.keys import signing_key, write_keys
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import Worker, fleet
from tests.e2e.holding import hold
from tests.faults import resp
from tests.faults.accounting import Accounts, Bounds, Figures, owed
from tests.faults.amqp import Amqp
from tests.faults.proxy import Proxy
from tests.faults.rows import record, seed
from tests.patience import option, patience
from tests.services.rabbitmq import RabbitMQ
from tests.services.redis import Redis

Record = dict[str, Any]
SECRET = "faults"
UNCONFIRMED = 50
"""Publishes under way at once on one channel."""


@dataclass(frozen=True, slots=True)
class Victim:
    """A worker that reaches its broker and its store through proxies of its own."""

    worker: Worker
    broker: Proxy
    store: Proxy


class Rig:
    """``environment`` is that of a worker; its leases and delays are made short."""

    def __init__(
        self,
        *,
        sandbox: Sandbox,
        environment: dict[str, str],
        broker: Broker,
        rabbitmq: RabbitMQ,
        redis: Redis,
        unit: Callable[..., Record],
    ) -> None:
        self.sandbox = sandbox
        self.inbox = sandbox.inbox
        hasty = {"NS_RETRY_SCHEDULE": "1s 1s 1s", "NS_LEASE": option(3), "NS_SEND_TIMEOUT": option(2)}
        self.environment = environment | hasty | {"NS_SHARED_SECRETS": SECRET}
        self.broker = broker
        self.rabbitmq = rabbitmq
        self.redis = redis
        self.prefix = environment["NS_TOPOLOGY_PREFIX"]
        self.unit = unit
        self._workers: list[Worker] = []
        self.dice = random.Random(seed())
        self.deaths = 0
        """Of workers that were started anew."""
        self.accounts = Accounts(inbox=self.inbox, broker=broker, redis_url=redis.url, prefix=self.prefix)
        write_keys(Path(environment["NS_SECRETS_DIR"]), [SECRET])

    # --- workers ---------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def workers(self, size: int = 1, **variables: str) -> AsyncIterator[list[Worker]]:
        async with fleet(self.environment | variables, size) as workers:
            self._workers += workers
            yield workers

    @asynccontextmanager
    async def victim(self, **variables: str) -> AsyncIterator[Victim]:
        async with Proxy(self.rabbitmq.port, Amqp) as broker, Proxy(self.redis.port, resp.Redis) as store:
            own = {"NS_AMQP_URL": (self.rabbitmq.port, broker.port), "NS_REDIS_URL": (self.redis.port, store.port)}
            urls = {name: self.environment[name].replace(f":{was}/", f":{port}/") for name, (was, port) in own.items()}
            async with self.workers(1, **urls, **variables) as (worker,):
                yield Victim(worker, broker, store)

    @asynccontextmanager
    async def restarted(self, size: int = 1, **variables: str) -> AsyncIterator[None]:
        """Workers of which each is started anew when it dies, as Kubernetes does it."""
        first = await asyncio.gather(*(self._start(variables) for _ in range(size)))
        await asyncio.gather(*(worker.says("worker.ready") for worker in first))
        keepers = [asyncio.create_task(self._keep(worker, variables)) for worker in first]
        try:
            yield
        finally:
            for keeper in keepers:
                keeper.cancel()
            await asyncio.gather(*keepers, return_exceptions=True)

    @asynccontextmanager
    async def worker(self, *under: str) -> AsyncIterator[Worker]:
        """Not awaited: it may be unable to say that it is ready. ``under``: as for a ``Worker``."""
        worker = Worker(self.environment, under)
        await worker.start()
        self._workers.append(worker)
        try:
            yield worker
        finally:
            if worker.process.returncode is None:
                worker.kill()
            await worker.ended()

    @property
    def living(self) -> list[Worker]:
        return [it for it in self._workers if it.process.returncode is None]

    async def _start(self, variables: dict[str, str]) -> Worker:
        worker = Worker(self.environment | variables)
        await worker.start()
        self._workers.append(worker)
        return worker

    async def _keep(self, worker: Worker, variables: dict[str, str]) -> None:
        try:
            while True:
                await worker.ended(within=math.inf)
                self.deaths += 1
                worker = await self._start(variables)
        finally:
            if worker.process.returncode is None:
                worker.kill()
            await worker.ended()

    # --- what is published -----------------------------------------------------------------------------------------

    def hook(self, port: int | None = None, **fields: Any) -> Record:
        """A signed webhook destination of its own; ``port``: of a proxy before the inbox."""
        destination_id = f"to-{secrets.token_hex(6)}"
        self.inbox.keys[destination_id] = [signing_key(SECRET)]
        url = self.inbox.webhook_url(destination_id)
        if port is not None:
            url = url.replace(f":{self.inbox_port}/", f":{port}/")
        own = {"destination_id": destination_id, "channel": "webhook", "url": url, "secret": SECRET}
        return own | {"template": "intel"} | fields

    def units(
        self,
        count: int,
        *,
        script: Sequence[Any] = (),
        latency: float = 0.0,
        port: int | None = None,
        destinations: int = 1,
    ) -> list[Record]:
        """Each for so many destinations of its own, which answer by ``script`` and then well, ``latency`` s late."""
        made = []
        for _ in range(count):
            hooks = [self.hook(port) for _ in range(destinations)]
            for hook in hooks:
                behaviour = self.inbox.behaviours[hook["destination_id"]]
                behaviour.script.extend(script)
                behaviour.latency = latency
            made.append(self.unit(destinations=hooks))
        return made

    async def publish(self, units: Sequence[Record], *, copies: int = 1) -> None:
        """Over one connection, with confirms; from its first confirm on a unit is to be accounted for."""
        async with await aio_pika.connect(self.rabbitmq.url) as connection:
            channel = await connection.channel(publisher_confirms=True, on_return_raises=True)
            under_way = asyncio.Semaphore(UNCONFIRMED)

            async def publish(unit: Record) -> None:
                body, mode = orjson.dumps(unit), aio_pika.DeliveryMode.PERSISTENT
                message = aio_pika.Message(body, content_type="application/json", delivery_mode=mode)
                async with under_way:
                    await channel.default_exchange.publish(message, f"{self.prefix}.units")
                for id_, one in owed(unit, time.time()).items():
                    self.accounts.confirmed.setdefault(id_, one)

            await asyncio.gather(*(publish(unit) for _ in range(copies) for unit in units))

    @property
    def inbox_port(self) -> int:
        """Of the webhooks, to put a proxy before it."""
        return urlsplit(self.inbox.webhook_url("any")).port or 0

    async def ask(self, *command: str) -> Any:
        """The store, past every proxy."""
        async with redis.asyncio.Redis.from_url(self.redis.url, decode_responses=True) as store:
            return await store.execute_command(*command)

    async def under_load(
        self, fault: Callable[[], Awaitable[object]], *, count: int = 100, size: int = 2, **bounds: Any
    ) -> Figures:
        """``fault`` meets sends under way and a backlog; as much is published again when it is over."""
        done, after = self.units(count // 5), self.units(count)
        release = hold(self.inbox)
        under_way = self.units(count - len(done), latency=0.1)
        async with self.workers(size, NS_CONCURRENCY="8"):
            await self.publish(done)
            async with patience(30):
                await self.inbox.accepts(len(done))
            await self.publish(under_way)
            async with patience(30):
                await self.inbox.receives(len(done) + 1)
            release.set()
            await fault()
            since = time.time()
            await self.publish(after)
            return await self.account(since=since, **bounds)

    # --- the account -----------------------------------------------------------------------------------------------

    def most_within(self, seconds: float) -> int:
        """Webhooks that arrived in the fullest window of this length."""
        times = [post.arrived for post in self.inbox.webhooks]
        return max(sum(start <= it < start + seconds for it in times) for start in times)

    async def _held(self) -> str:
        try:
            return await asyncio.to_thread(self.rabbitmq.held, self.prefix)
        except subprocess.CalledProcessError as fault:  # right after a start a queue may have no leader yet
            return f"not known: {fault.stderr}"

    @property
    def in_flight(self) -> int:
        """Sends that the receivers are working on."""
        return sum(behaviour.in_flight for behaviour in self.inbox.behaviours.values())

    async def account(self, *, since: float = 0.0, within: float = 60.0, **bounds: Any) -> Figures:
        """Wait until all is over, then assert that everything is accounted for, within ``bounds``."""
        held = "not asked: the deadline was over before"
        with suppress(TimeoutError):
            async with patience(within):
                await self.accounts.settled()
                while held:
                    held = await self._held()
        allowed = Bounds(**bounds)
        faults = await self.accounts.faults(allowed)
        assert not faults, await self.accounts.describe(faults)
        assert not held, f"left in the broker: {held}"
        reasons = dict(self.accounts.reasons)
        assert reasons == dict(allowed.dead), f"dead letters by reason: {reasons}, not {dict(allowed.dead)}"
        figures = self.accounts.figures(since or time.time(), [it.process.pid for it in self.living])
        print(figures)  # noqa: T201 - the row of the table
        record(figures=asdict(figures), allowed=allowed.duplicates)
        return figures
