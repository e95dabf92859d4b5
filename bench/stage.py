"""What is there before anything runs: private RabbitMQ and Redis, the simulated platform, and the worker's settings."""

import os
import shlex
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aio_pika

from bench.load import ASSETS, FLOOR, INCIDENTS, ORGANIZATIONS, Load, Publisher, publisher
from bench.machine import Cores
from bench.processes import finished, running
from tests.services.rabbitmq import RabbitMQ, running_rabbitmq
from tests.services.redis import Redis, running_redis

PLATFORM = (sys.executable, "-m", "notification_sender.sandbox", "--port", "0")
WORKER = str(Path(sys.executable).with_name("notification-sender"))
UNITS = "notification-sender.units"
DEAD = "notification-sender.dead"
CHOSEN = {"NS_THROTTLE_WEBHOOK": "off", "NS_THROTTLE_EMAIL": "off", "NS_HTTP_PORT": "0"}
"""All that is not a default besides addresses: a throttle would measure itself, and the port may be taken."""


@dataclass(frozen=True, slots=True)
class Stage:
    """``environment``: the worker's. ``folder``: for logs. ``platform``: where its knobs are turned."""

    folder: Path
    cores: Cores
    rabbitmq: RabbitMQ
    redis: Redis
    platform: str
    environment: dict[str, str]
    load: Load
    publisher: Publisher

    @property
    def amqp_url(self) -> str:
        return self.rabbitmq.url

    def service_pids(self) -> list[int]:
        """Of RabbitMQ and Redis."""
        return [*self.rabbitmq.pids, *self.redis.pids]


@asynccontextmanager
async def stage(
    folder: Path,
    organizations: int = ORGANIZATIONS,
    incidents: int = INCIDENTS,
    assets: int = ASSETS,
    **redis_options: str,
) -> AsyncIterator[Stage]:
    """Everything up and the queues declared, for the length of the block."""
    world = ("--organizations", str(organizations), "--incidents", str(incidents), "--assets", str(assets))
    cores, mine = Cores.of_this_machine(), os.sched_getaffinity(0)
    # The services are our children and inherit this.
    os.sched_setaffinity(0, cores.services)
    try:
        with running_rabbitmq() as rabbitmq, running_redis(**redis_options) as redis:
            async with (
                running([*PLATFORM, *world], cores=cores.services, log=folder / "platform.log", talks=True) as platform,
                await aio_pika.connect(rabbitmq.url) as connection,
            ):
                said = await platform.lines_until("# what it saw")
                environment = without_ours() | CHOSEN | exported(said)
                environment |= {"NS_AMQP_URL": rabbitmq.url, "NS_REDIS_URL": redis.url}
                await finished([WORKER, "topology"], environment)
                publishing = await publisher(connection)
                await publishing.declare(FLOOR)
                load = Load(organizations, incidents, assets)
                yield Stage(folder, cores, rabbitmq, redis, control(said[-1]), environment, load, publishing)
    finally:
        os.sched_setaffinity(0, mine)


def control(line: str) -> str:
    """Its address, out of the line that names its report."""
    return next(word for word in line.split() if word.startswith("http")).removesuffix("/report")


def without_ours() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("NS_")}


def exported(lines: list[str]) -> dict[str, str]:
    """The variables of ``export NAME=value`` lines."""
    words = [shlex.split(line) for line in lines if line.startswith("export ")]
    return dict(assignment.split("=", 1) for _, assignment in words)
