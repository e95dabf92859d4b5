"""``python -m bench.embedded``: what a unit costs on the embedded default, and what on RabbitMQ and Redis.

One process has the worker, the simulated platform and the inbox, as in the demo: a unit is a webhook and an email. It
runs by turns with ``memory://`` and with private services. Beside its CPU time stands that of Redis, and of RabbitMQ.
Exit code 1 where the embedded default costs more than the same process and Redis together.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

import aio_pika
import orjson

from bench.load import Publisher, Unit, publisher
from bench.machine import Cores, cpu_seconds
from bench.processes import Running, running
from bench.stage import UNITS, without_ours
from notification_sender.app.run import loops, settle_garbage
from notification_sender.app.worker_process import App
from notification_sender.sandbox.demo import EMBEDDED
from notification_sender.sandbox.platform.world import World
from notification_sender.sandbox.sandbox import Sandbox
from notification_sender.settings import Settings
from tests.services.rabbitmq import RabbitMQ, running_rabbitmq
from tests.services.redis import Redis, running_redis

WARM, MEASURED = "warm", "measured"
WARM_UP = 100
NOTIFICATIONS = 2
"""Of a unit: every organization of the world has a webhook and an email."""

PATIENCE = 120.0
LOOK = 0.01
PUBLISH = "publish"
"""The process asks for each batch: what it costs to publish is no part of a worker."""

QUIET = {"NS_LOG_LEVEL": "warning"}


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU time, µs a unit: of the process, of Redis, of RabbitMQ."""

    process: float
    redis: float = 0.0
    rabbitmq: float = 0.0

    @property
    def compared(self) -> float:
        """Without RabbitMQ, which persists each message."""
        return self.process + self.redis

    def __str__(self) -> str:
        return f"{self.process:9.0f} {self.redis:9.0f} {self.rabbitmq:9.0f} {self.compared:15.0f}"


HEAD = f"{'CPU µs a unit':<24}  process     Redis  RabbitMQ process + Redis"


# --- the process ----------------------------------------------------------------------------------------------------


async def inside(units: int) -> None:
    """Work on a few units, and then on so many; print the CPU seconds of these."""
    urls = {name: os.environ[name] for name in ("NS_AMQP_URL", "NS_REDIS_URL")}
    with tempfile.TemporaryDirectory(prefix="embedded-") as folder:
        async with Sandbox(Path(folder)) as sandbox:
            app = App(Settings.load(sandbox.environment | EMBEDDED | QUIET | urls))
            await app.start()
            settle_garbage()
            await _worked(app, sandbox, WARM, WARM_UP, WARM_UP)
            print(json.dumps({"cpu": await _worked(app, sandbox, MEASURED, units, WARM_UP + units)}), flush=True)
            await app.stop()


async def _worked(app: App, sandbox: Sandbox, batch: str, units: int, all_units: int) -> float:
    if os.environ["NS_AMQP_URL"] == "memory://":
        await app.publish(bodies(sandbox.world, batch, units))
        began = time.process_time()
    else:
        began = time.process_time()
        print(PUBLISH, batch, flush=True)
    async with asyncio.timeout(PATIENCE):
        await sandbox.inbox.accepts(NOTIFICATIONS * all_units)
        while app.status()["unsettled"]:  # noqa: ASYNC110 - nothing tells that the last one is settled
            await asyncio.sleep(LOOK)
    return time.process_time() - began


def bodies(world: World, batch: str, units: int) -> list[bytes]:
    """Of units that no other batch has."""
    records = world.work_units(units, batch_id=batch)
    return [orjson.dumps(it | {"work_unit_id": f"{it['work_unit_id']}-{batch}"}) for it in records]


# --- its surroundings -----------------------------------------------------------------------------------------------


async def embedded(folder: Path, units: int) -> Cost:
    """The same process with ``memory://``."""
    async with _process(folder, units, EMBEDDED) as process:
        return Cost(await _cpu(process) / units * 1e6)


async def on_services(folder: Path, units: int, rabbitmq: RabbitMQ, redis: Redis, publishing: Publisher) -> Cost:
    """The process with services that it has to itself."""
    redis.flush()
    async with _process(folder, units, {"NS_AMQP_URL": rabbitmq.url, "NS_REDIS_URL": redis.url}) as process:
        await process.lines_until(f"{PUBLISH} {WARM}")
        await publishing.publish(UNITS, _units(WARM, WARM_UP))
        await process.lines_until(f"{PUBLISH} {MEASURED}")
        before = [sum(map(cpu_seconds, it.pids)) for it in (redis, rabbitmq)]
        await publishing.publish(UNITS, _units(MEASURED, units))
        used = [await _cpu(process)]
        used += [sum(map(cpu_seconds, it.pids)) - was for it, was in zip((redis, rabbitmq), before, strict=True)]
    return Cost(*(it / units * 1e6 for it in used))


def _units(batch: str, units: int) -> list[Unit]:
    return [Unit(body, "") for body in bodies(World(), batch, units)]


def _process(folder: Path, units: int, urls: Mapping[str, str]) -> Any:
    command = [sys.executable, "-m", "bench.embedded", "--units", str(units), "--inside"]
    environment = without_ours() | {name: urls[name] for name in ("NS_AMQP_URL", "NS_REDIS_URL")}
    core = Cores.of_this_machine().worker
    return running(command, cores=[core], log=folder / "embedded.log", environment=environment, talks=True)


async def _cpu(process: Running) -> float:
    async with asyncio.timeout(PATIENCE):
        return float(json.loads((await process.lines_until('"cpu"'))[-1])["cpu"])


async def main(units: int, rounds: int) -> int:
    """By turns: what the machine does besides meets both."""
    print(HEAD)
    memory, services = [], []
    with (
        tempfile.TemporaryDirectory(prefix="embedded-") as name,
        running_rabbitmq() as rabbitmq,
        running_redis() as redis,
    ):
        async with await aio_pika.connect(rabbitmq.url) as connection:
            publishing = await publisher(connection)
            for place in range(1, rounds + 1):
                memory.append(await embedded(Path(name), units))
                print(f"{f'memory://, round {place}':<24}{memory[-1]}", flush=True)
                services.append(await on_services(Path(name), units, rabbitmq, redis, publishing))
                print(f"{f'services, round {place}':<24}{services[-1]}", flush=True)
    print(f"{'memory://, median':<24}{typical(memory)}\n{'services, median':<24}{typical(services)}")
    ratio = median(one.compared / other.compared for one, other in zip(memory, services, strict=True))
    verdict = "as expected" if ratio <= 1 else "NOT AS EXPECTED"
    print(f"\nmemory:// to process and Redis on services: {ratio:.2f} (at most 1: {verdict})")
    return int(ratio > 1)


def typical(costs: list[Cost]) -> Cost:
    return Cost(*(median(getattr(it, field.name) for it in costs) for field in fields(Cost)))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(prog="python -m bench.embedded", description=__doc__)
    parser.add_argument("--units", type=int, default=400, metavar="N", help="of a run (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, metavar="R", help="(default: %(default)s)")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.inside:
        with asyncio.Runner(loop_factory=loops("uvloop")) as runner:
            runner.run(inside(chosen.units))
    else:
        sys.exit(asyncio.run(main(chosen.units, chosen.rounds)))
