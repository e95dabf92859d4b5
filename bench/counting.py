"""What a message takes, in numbers that are the same on every machine: function calls, tasks, calls to Redis, frames.

The worker runs under a profiler (``bench.counted``), its connections to RabbitMQ and Redis go through proxies that
count what passes. Two marks, a number of messages apart: the difference is what these took. What time brings in between
(facts looked up again, ticks) is counted by itself.
"""

import asyncio
import json
import os
import re
import signal
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bench.processes import FailedError, Running, running
from bench.steps import BY_MESSAGE, BY_TIME, by_step, step
from tests.faults.amqp import HEARTBEAT, Amqp, frames
from tests.faults.proxy import Conversation, Passing, Proxy
from tests.faults.resp import Redis

OF_A_MESSAGE = ("claim", "admit", "begin", "settle")
"""Scripts of Redis; the others are of the cache of facts and of the fleet, and come with time."""

BY_MESSAGE_FRAMES = "basic."
"""How the names of a message's frames begin. The others come with time: the depth of every queue is asked for."""

PYTHON = re.compile(r":\d+:")
"""A function that was written in Python has a line."""

PATIENCE = 300.0
"""Seconds for all that was published to be settled."""

LOOK = 0.02

WARM_UP = 100
"""The first fetch the facts, and meet each function's first call."""

WINDOWS, MESSAGES = 8, 40
"""The window with fewest calls counts: what time brings, such as a fact that is asked for again, comes into some of
them only. Each has the same messages: there are 20 incidents, by turns.
"""

ONE_BY_ONE = {"NS_CONCURRENCY": "1"}
"""How many messages share a turn of the loop, a read or a write depends on the machine. One in hand shares nothing: it
takes about a tenth more calls than one of 200, and always the same.
"""


class Seen:
    """What passed to and from one service, by name; frames, where it speaks AMQP."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.sent: Counter[str] = Counter()
        self.received: Counter[str] = Counter()
        self.settled = self.events = 0

    def broker(self) -> Conversation:
        """For a proxy in front of RabbitMQ."""
        return Watched(Amqp(), self._count_frames)

    def store(self) -> Conversation:
        """For a proxy in front of Redis."""
        return Watched(Redis(), self._count_command)

    def _count_frames(self, passing: Passing) -> None:
        number = sum(frame[0] != HEARTBEAT for frame in frames(passing.raw))
        if not passing.asked:
            self.received[passing.name] += number
            return
        self.sent[passing.name] += number
        if passing.name == "basic.ack":
            self.settled += len(passing.about) // 3
        elif passing.name == "basic.publish" and passing.about[0].endswith(".events"):
            self.events += 1

    def _count_command(self, passing: Passing) -> None:
        self.asked[passing.name] += passing.asked


class Watched:
    """A conversation of which each thing is shown before it is passed on."""

    def __init__(self, conversation: Conversation, see: Any) -> None:
        self._conversation = conversation
        self._see = see

    def asked(self, data: bytes) -> Iterator[Passing]:
        return self._seen(self._conversation.asked(data))

    def replied(self, data: bytes) -> Iterator[Passing]:
        return self._seen(self._conversation.replied(data))

    def _seen(self, passings: Iterable[Passing]) -> Iterator[Passing]:
        for passing in passings:
            self._see(passing)
            yield passing


@dataclass(frozen=True, slots=True)
class Mark:
    """All so far."""

    notifications: int
    tasks: Counter[str]
    calls: Counter[str]
    called: Mapping[str, Counter[str]]
    asked: Counter[str]
    sent: Counter[str]
    received: Counter[str]


@dataclass(frozen=True, slots=True)
class Counts:
    """What each of ``messages`` notifications took. ``python``: those function calls that call a function of Python."""

    messages: int
    calls: float
    python: float
    tasks: float
    scripts: Mapping[str, float]
    """By name, those of a message."""
    others: Mapping[str, float]
    """Scripts and commands that come with time, by name."""
    sent: Mapping[str, float]
    received: Mapping[str, float]
    """A message's frames, by their method; content counts for its method."""
    steps: Mapping[str, float]
    """Function calls, by step."""


class CountedWorker:
    """A running worker: publish, wait until all is ``settled``, ``mark``."""

    def __init__(self, process: Running, file: Path, seen: Seen) -> None:
        self._process = process
        self._file = file
        self._seen = seen
        self._marks = 0

    async def ready(self) -> None:
        """Until it takes messages."""
        await self._until(lambda: "worker.ready" in self._process.log.read_text())

    @property
    def acked(self) -> int:
        return self._seen.settled

    async def settled(self, units: int, notifications: int | None = None) -> None:
        """Until so many units in total are acked, and the events of as many notifications (one each) published.

        Raises:
            FailedError: it ended, or they did not in time.

        """
        events = units if notifications is None else notifications
        await self._until(lambda: self._seen.settled >= units and self._seen.events >= events)

    async def mark(self) -> Mark:
        self._marks += 1
        file = Path(f"{self._file}.{self._marks}")
        os.kill(self._process.pid, signal.SIGUSR1)
        await self._until(file.exists)
        said, seen = json.loads(await asyncio.to_thread(file.read_text)), self._seen
        functions = said["functions"].items()
        return Mark(
            notifications=seen.events,
            tasks=Counter(said["tasks"]),
            calls=Counter({name: number for name, (number, _) in functions}),
            called={name: Counter(called) for name, (_, called) in functions},
            asked=Counter(seen.asked),
            sent=Counter(seen.sent),
            received=Counter(seen.received),
        )

    async def _until(self, happened: Any) -> None:
        begun = time.monotonic()
        while not happened():
            self._process.check()
            if time.monotonic() - begun > PATIENCE:
                raise FailedError(f"{self._seen.settled} settled, {self._seen.events} events:\n{self._process.tail}")
            await asyncio.sleep(LOOK)


@asynccontextmanager
async def counted_worker(
    environment: Mapping[str, str], folder: Path, cores: Iterable[int]
) -> AsyncIterator[CountedWorker]:
    """A worker with these settings, for the length of the block; the addresses of its services are replaced."""
    seen, file = Seen(), folder / "counted"
    command = [sys.executable, "-m", "bench.counted", str(file), "run"]
    async with (
        Proxy(_port(environment["NS_AMQP_URL"]), seen.broker) as broker,
        Proxy(_port(environment["NS_REDIS_URL"]), seen.store) as store,
    ):
        ways = {"NS_AMQP_URL": broker.port, "NS_REDIS_URL": store.port}
        replaced = {name: _with_port(environment[name], port) for name, port in ways.items()}
        async with running(
            command, cores=cores, log=folder / "counted.log", environment=environment | replaced
        ) as process:
            worker = CountedWorker(process, file, seen)
            await worker.ready()
            yield worker


async def count(
    environment: dict[str, str], folder: Path, cores: Iterable[int], work: Callable[[int], Awaitable[object]]
) -> Counts:
    """What a message takes that is alone in hand. ``work`` publishes so many units of one webhook."""
    async with counted_worker(environment | ONE_BY_ONE, folder, cores) as worker:
        await work(WARM_UP)
        await worker.settled(WARM_UP)
        marks = [await worker.mark()]
        for window in range(1, WINDOWS + 1):
            await work(MESSAGES)
            await worker.settled(WARM_UP + window * MESSAGES)
            marks.append(await worker.mark())
        return min((counts(*window) for window in pairwise(marks)), key=lambda it: it.calls)


def counts(first: Mark, last: Mark) -> Counts:
    """What the notifications between two marks took, each."""
    messages = last.notifications - first.notifications
    calls = _each(last.calls, first.calls, messages)
    called = {name: _each(below, first.called.get(name, Counter()), messages) for name, below in last.called.items()}
    tasks = _each(last.tasks, first.tasks, messages)
    asked = _each(last.asked, first.asked, messages)
    steps = by_step(calls, called)
    python = by_step({name: number for name, number in calls.items() if PYTHON.search(name)}, called)
    return Counts(
        messages=messages,
        calls=_of_messages(steps),
        python=_of_messages(python),
        tasks=sum(number for name, number in tasks.items() if step(name) not in BY_TIME),
        scripts={name: number for name, number in asked.items() if name in OF_A_MESSAGE and number},
        others={name: number for name, number in asked.items() if name not in OF_A_MESSAGE and number},
        sent=_frames(last.sent, first.sent, messages),
        received=_frames(last.received, first.received, messages),
        steps=steps,
    )


def _each(last: Mapping[str, int], first: Mapping[str, int], messages: int) -> dict[str, float]:
    return {name: (number - first.get(name, 0)) / messages for name, number in last.items()}


def _frames(last: Mapping[str, int], first: Mapping[str, int], messages: int) -> dict[str, float]:
    each = _each(last, first, messages)
    return {name: number for name, number in each.items() if name.startswith(BY_MESSAGE_FRAMES)}


def _of_messages(steps: Mapping[str, float]) -> float:
    return sum(number for step, number in steps.items() if step in BY_MESSAGE)


def _port(url: str) -> int:
    port = urlsplit(url).port
    if port is None:
        raise ValueError(f"{url} names no port")
    return port


def _with_port(url: str, port: int) -> str:
    return url.replace(f":{_port(url)}", f":{port}")
