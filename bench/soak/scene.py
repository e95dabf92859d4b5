"""What a soak works with: workers behind proxies of their own, receivers, and the flow between them."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import redis.asyncio

from bench.fleet import Member, fleet
from bench.flow import Flow
from bench.gauges import Series
from bench.labour import laborious_templates
from bench.load import TOLD
from bench.race import Receiver, receiving
from bench.stage import Stage, stage
from tests.faults.proxy import Proxy

WORKERS = 3
RECEIVERS = 4
CONCURRENCY = 50
IN_FLIGHT = CONCURRENCY * TOLD
"""Sends that one worker has under way at most."""

SETTINGS = {
    "NS_CONCURRENCY": str(CONCURRENCY),
    "NS_SEND_TIMEOUT": "5s",
    "NS_LEASE": "10s",
    "NS_RETRY_SCHEDULE": " ".join(["1s", "2s", "4s", *["8s"] * 20]),
    # The ledger of a whole run would fill the store with what nobody asks about.
    "NS_LEDGER_TTL": "3m",
    "NS_LOG_LEVEL": "warning",
}
"""So that what a fault holds up is over within the run: by default a second failure waits for 5 min."""

KEEPS_DATA = {"save": "86400 1"}
"""Redis writes its data down when it is stopped, and at no other time."""

COUNTED = """{length(rabbit_networking:connections()), length(rabbit_channel:list())}."""


@dataclass(frozen=True, slots=True)
class Link:
    """A worker, and its ways to the broker and to the store."""

    member: Member
    broker: Proxy
    store: Proxy


@dataclass(slots=True)
class Scene:
    """``allowed``: how many may have come twice by now, for what was done to workers."""

    stage: Stage
    links: Sequence[Link]
    receivers: Sequence[Receiver]
    flow: Flow
    allowed: int = 0
    services: Series = field(default_factory=Series)

    @property
    def members(self) -> list[Member]:
        return [it.member for it in self.links]

    async def count(self) -> None:
        """What the broker and the store have open. Takes two seconds of CPU time: not to be done often."""
        said = await asyncio.to_thread(self.stage.rabbitmq.ctl, "eval", COUNTED)
        connections, channels = (float(word) for word in said.strip("{} \n").split(","))
        async with redis.asyncio.Redis.from_url(self.stage.redis.url) as store:
            clients = float((await store.info("clients"))["connected_clients"])
        values = {"connections": connections, "channels": channels, "redis clients": clients}
        self.services.add(time.monotonic(), values)


@asynccontextmanager
async def scene(folder: Path) -> AsyncIterator[Scene]:
    """Everything up and flowing, at a pace of nothing yet."""
    async with AsyncExitStack() as opened:
        prepared = await opened.enter_async_context(stage(folder, **KEEPS_DATA))
        receivers = [await opened.enter_async_context(receiving(prepared, 0.0)) for _ in range(RECEIVERS)]
        proxies = [
            [await opened.enter_async_context(Proxy(it.port)) for it in (prepared.rabbitmq, prepared.redis)]
            for _ in range(WORKERS)
        ]
        common = SETTINGS | {"NS_TEMPLATES_DIR": laborious_templates(folder)}
        each = [common | through(prepared, *two) for two in proxies]
        members = await opened.enter_async_context(fleet(prepared, each))
        flow = Flow(prepared, receivers)
        await opened.enter_async_context(flow.flowing())
        links = [Link(member, *two) for member, two in zip(members, proxies, strict=True)]
        yield Scene(prepared, links, receivers, flow)


def through(prepared: Stage, broker: Proxy, store: Proxy) -> dict[str, str]:
    """The addresses for a worker behind these."""
    return {
        "NS_AMQP_URL": prepared.rabbitmq.url.replace(str(prepared.rabbitmq.port), str(broker.port)),
        "NS_REDIS_URL": prepared.redis.url.replace(str(prepared.redis.port), str(store.port)),
    }
