"""How each peer is started and given its backlog. None is imported: they have an environment of their own."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson

from bench.load import Unit
from bench.processes import finished
from bench.race import Runner
from bench.stage import Stage, without_ours

PYTHON = ".venv-peers/bin/python"

FEW, MANY = 32, 200
"""Threads where the receiver answers at once, and where it takes its time."""

Command = Callable[[int], Sequence[str]]
"""From the number of threads to the words behind ``python -m``."""


@dataclass(frozen=True, slots=True)
class Driver:
    """``module``: the driver, which publishes the backlog when it is run as a program."""

    name: str
    module: str
    worker: Command
    client: str = ""
    """By which a thread posts."""


def _faststream(_threads: int) -> list[str]:
    return ["faststream", "run", "bench.peers.on_faststream:app"]


def _taskiq(_threads: int) -> list[str]:
    one_process = ["taskiq", "worker", "bench.peers.on_taskiq:broker", "--workers", "1", "--max-async-tasks", "200"]
    return [*one_process, "--ack-type", "when_executed", "--no-parse", "--log-level", "WARNING"]


def _dramatiq(threads: int) -> list[str]:
    return ["dramatiq", "bench.peers.on_dramatiq", "--processes", "1", "--threads", str(threads)]


def _celery(threads: int) -> list[str]:
    pool = ["celery", "-A", "bench.peers.on_celery", "worker", "--pool", "threads", "--concurrency", str(threads)]
    return [*pool, "--without-gossip", "--without-mingle", "--loglevel", "WARNING"]


DRIVERS = (
    Driver("FastStream", "bench.peers.on_faststream", _faststream),
    Driver("taskiq", "bench.peers.on_taskiq", _taskiq),
    Driver("Dramatiq, requests", "bench.peers.on_dramatiq", _dramatiq, "requests"),
    Driver("Dramatiq, urllib3", "bench.peers.on_dramatiq", _dramatiq, "urllib3"),
    Driver("Celery, requests", "bench.peers.on_celery", _celery, "requests"),
    Driver("Celery, urllib3", "bench.peers.on_celery", _celery, "urllib3"),
)


def runner(driver: Driver, queue: str, *, amqp_url: str, size: int, in_flight: int, threads: int) -> Runner:
    """A worker that posts ``size`` bytes a message, at most ``in_flight`` at a time."""
    told = [
        f"PEERS_AMQP_URL={amqp_url}",
        f"PEERS_QUEUE={queue}",
        f"PEERS_BYTES={size}",
        f"PEERS_IN_FLIGHT={in_flight}",
        f"PEERS_THREADS={threads}",
        f"PEERS_CLIENT={driver.client}",
    ]
    command = [PYTHON, "-m", *driver.worker(threads)]
    # env becomes the worker: there is no process between it and who measures it.
    return Runner(driver.name, queue, lambda url: ["/usr/bin/env", *told, f"PEERS_TARGET={url}", *command])


class PeerPublisher:
    """In place of the publisher of the stage: a peer's messages are in its own format, published by its own client."""

    def __init__(self, stage: Stage, driver: Driver) -> None:
        self._module = driver.module
        self._file = stage.folder / "backlog.jsonl"
        self._environment = without_ours() | {"PEERS_AMQP_URL": stage.amqp_url}

    async def publish(self, queue: str, units: Sequence[Unit]) -> None:
        """Run the driver as a program until everything is published: it declares its queue."""
        self._file.write_bytes(b"".join(orjson.dumps([it.webhook_id, orjson.loads(it.body)]) + b"\n" for it in units))
        await finished([PYTHON, "-m", self._module, str(self._file)], self._environment | {"PEERS_QUEUE": queue})


def missing() -> str | None:
    """What is to be said where the peers are not installed."""
    return None if Path(PYTHON).exists() else f"{PYTHON} is missing: make bench PEERS=1 ({sys.executable} has no peers)"
