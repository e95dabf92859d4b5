"""What a trial works with: private services, the simulated platform, workers, the load, and ways to bring all back."""

import asyncio
import math
import re
import subprocess
from asyncio.subprocess import DEVNULL, PIPE
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from random import Random

import aio_pika
import aiohttp

from bench.diagnose.judge import Verdict, read
from bench.diagnose.load import LOST, Load
from bench.diagnose.members import Member, Processor
from bench.diagnose.outside.install import install
from bench.diagnose.units import SECRET, STEADY_HOSTS, Units, hook_id, world
from bench.processes import finished
from bench.stage import WORKER, without_ours
from notification_sender.sandbox.inbox.inbox import Inbox
from notification_sender.sandbox.inbox.keys import write_keys
from notification_sender.sandbox.platform.endpoints import Endpoint
from notification_sender.sandbox.platform.platform import Platform
from tests.faults.proxy import Proxy
from tests.services.rabbitmq import RabbitMQ, running_rabbitmq
from tests.services.redis import Redis, running_redis

PREFIX = "trial"
WORKERS = 2
PACE = 6.0
"""Work units a second."""

SETTINGS = {
    "NS_ENVIRONMENT": "development",
    "NS_TOPOLOGY_PREFIX": PREFIX,
    "NS_ALLOWED_CIDRS": "127.0.0.0/8",
    "NS_EMAIL_FROM": "Example NOC <noc@notifications.example.com>",
    "NS_SHARED_SECRETS": SECRET,
    "NS_CONCURRENCY": "6",
    "NS_CURRENT_INCIDENTS": "off",
    "NS_THROTTLE_WEBHOOK": "300/minute burst 20",
    "NS_THROTTLE_EMAIL": "300/minute burst 20",
    "NS_SEND_TIMEOUT": "5s",
    "NS_RETRY_SCHEDULE": " ".join(["2s", "4s", *["8s"] * 40]),
    "NS_LOG_LEVEL": "warning",
    "NS_HTTP_HOST": "127.0.0.1",
}
"""Few slots, so that a slow service takes all of them, and short delays, so that a fault is over when it is ended."""

LATENCIES = {
    Endpoint.ORGANIZATION: 0.1,
    Endpoint.TOKEN: 0.09,
    Endpoint.INCIDENT: 0.06,
    Endpoint.INTEL_REQUESTS: 0.05,
    Endpoint.ASSETS: 0.05,
    Endpoint.REVERSE: 0.05,
}
"""Seconds of a healthy call."""

KEEPS_DATA = {"save": "86400 1"}
"""Redis writes its data down when it is stopped, and at no other time."""

HELD = re.compile(r'\{"([^"]+)",(\d+),(\d+)\}')
LOOK = 1.5
CALM = 3
"""Looks one after the other at which nothing more than the steady load is in hand, until all is as before."""

BY_ITSELF, SWEPT, NOT_AT_ALL = "well", "swept away", "NOT WELL"

ANSWERS = 30.0
"""Seconds that a command may take."""

PURGE = """[rabbit_amqqueue:purge(Q) || Q <- rabbit_amqqueue:list()], ok."""


@dataclass(frozen=True, slots=True)
class Scene:
    """``broker`` and ``store``: the ways of all workers and of the commands to RabbitMQ and Redis."""

    folder: Path
    rabbitmq: RabbitMQ
    redis: Redis
    broker: Proxy
    store: Proxy
    platform: Platform
    inbox: Inbox
    units: Units
    load: Load
    members: Sequence[Member]
    environment: Mapping[str, str]

    @property
    def secrets(self) -> Path:
        return Path(self.environment["NS_SECRETS_DIR"])

    @asynccontextmanager
    async def restarted(self, *members: Member, **settings: str) -> AsyncIterator[None]:
        """These workers with other settings, for the length of the block."""
        await asyncio.gather(*(it.restart(**settings) for it in members))
        try:
            yield
        finally:
            await asyncio.gather(*(it.restart() for it in members))

    @contextmanager
    def receivers_take(self, seconds: float) -> Iterator[None]:
        """Every webhook of the steady load is answered so late, for the length of the block."""
        behaviours = [self.inbox.behaviours[hook_id(it)] for it in STEADY_HOSTS]
        for behaviour in behaviours:
            behaviour.configure(latency=seconds)
        try:
            yield
        finally:
            for behaviour in behaviours:
                behaviour.configure(latency=0.0)

    async def operate(self, *words: str) -> None:
        """An operator's command.

        Raises:
            FailedError: it did not end well.

        """
        await finished([WORKER, *words], self.environment)

    async def said(self, *words: str, **variables: str) -> str:
        """What a command prints, whatever its exit code is. ``variables``: besides those of the workers.

        Raises:
            TimeoutError: it did not end.

        """
        process = await asyncio.create_subprocess_exec(
            WORKER, *words, env={**self.environment, **variables}, stdin=DEVNULL, stdout=PIPE, stderr=PIPE
        )
        try:
            async with asyncio.timeout(ANSWERS):
                out, error = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
        return out.decode() or error.decode()

    async def why(self) -> tuple[Verdict | None, str]:
        """The verdict, None where there is none, and what was printed."""
        said = f"no answer within {ANSWERS:g} s"
        try:
            said = await self.said("why", "--json")
            return read(said), said
        except (ValueError, KeyError, TypeError, TimeoutError) as fault:
            return None, f"{type(fault).__name__} {fault}: {said}"

    def processors(self) -> list[Processor]:
        """What each worker had of the processors."""
        return [it.processor() for it in self.members]

    # --- back to health -------------------------------------------------------------------------------------------

    async def recovered(self, within: float) -> str:
        """How everything became as before: by itself, or when all that waited was swept away, or not at all.

        Within 0 s nothing is waited for: to try the faults out.
        """
        if within <= 0:
            return NOT_AT_ALL
        if await self._calm_within(within):
            return BY_ITSELF
        await self._sweep()
        return SWEPT if await self._calm_within(within) else NOT_AT_ALL

    async def _calm_within(self, seconds: float) -> bool:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._calm()
                return True
        return False

    async def _calm(self) -> None:
        """What is dead is taken away, as an operator does it: it would wait for ever."""
        calm = 0
        while calm < CALM:
            await asyncio.sleep(LOOK)
            await self._purge_dead()
            ready = all(await asyncio.gather(*(it.ready() for it in self.members)))
            calm = calm + 1 if ready and await self.waiting() <= 2 * self.load.rate else 0
        self.inbox.webhooks.clear()
        self.inbox.emails.clear()
        self.inbox.accepted.clear()

    async def waiting(self) -> float:
        """Messages in all queues: ready, and in hand. Without end where the broker is away."""
        try:
            held = await asyncio.to_thread(self.rabbitmq.held, PREFIX)
        except subprocess.CalledProcessError:
            return math.inf
        # Each queue is there twice: it was looked at twice.
        return sum({name: int(ready) + int(in_hand) for name, ready, in_hand in HELD.findall(held)}.values())

    async def _purge_dead(self) -> None:
        with suppress(*LOST):
            async with await aio_pika.connect(self.rabbitmq.url) as connection:
                queue = await (await connection.channel()).declare_queue(f"{PREFIX}.dead", passive=True)
                await queue.purge()

    async def _sweep(self) -> None:
        with self.load.times(0):
            await asyncio.gather(*(it.stop() for it in self.members))
            await asyncio.to_thread(self.rabbitmq.ctl, "eval", PURGE)
            await asyncio.to_thread(self.redis.flush)
            await asyncio.gather(*(it.start() for it in self.members))


def healthy(platform: Platform) -> None:
    """Every call of the platform as on a good day."""
    for endpoint in Endpoint:
        platform.behaviours[endpoint].configure(
            latency=LATENCIES.get(endpoint, 0.0), every=1, answer=None, capacity=None, script=[]
        )


@asynccontextmanager
async def scene(folder: Path, dice: Random) -> AsyncIterator[Scene]:
    """Everything up, and the load flowing."""
    made = world()
    async with AsyncExitStack() as opened:
        rabbitmq = opened.enter_context(running_rabbitmq())
        redis = opened.enter_context(running_redis(**KEEPS_DATA))
        platform = await opened.enter_async_context(Platform(made))
        inbox = await opened.enter_async_context(Inbox(host="0.0.0.0"))
        broker, store = [await opened.enter_async_context(Proxy(it.port)) for it in (rabbitmq, redis)]
        healthy(platform)
        environment = _environment(folder, platform, inbox) | {
            "NS_AMQP_URL": rabbitmq.url.replace(str(rabbitmq.port), str(broker.port)),
            "NS_REDIS_URL": redis.url.replace(str(redis.port), str(store.port)),
        }
        units = Units(made, _port(inbox.webhook_url("any")), dice)
        session = await opened.enter_async_context(aiohttp.ClientSession())
        members = [Member(environment, folder / f"worker-{it}.log", session) for it in range(WORKERS)]
        for member in members:
            opened.push_async_callback(member.stop)
        await asyncio.gather(*(member.start() for member in members))
        load = Load(rabbitmq.url, f"{PREFIX}.units", PACE, units.steady)
        await opened.enter_async_context(load.flowing())
        yield Scene(folder, rabbitmq, redis, broker, store, platform, inbox, units, load, members, environment)


def _environment(folder: Path, platform: Platform, inbox: Inbox) -> dict[str, str]:
    mail = f"smtp://127.0.0.1:{inbox.mailbox.port}?starttls=none"
    own = {"NS_SMTP_URL": mail, "NS_SECRETS_DIR": str(write_keys(folder / "secrets", [SECRET]))}
    return without_ours() | platform.urls | SETTINGS | own | install(folder)


def _port(url: str) -> int:
    return int(re.search(r":(\d+)/", url)[1])  # type: ignore[index]
