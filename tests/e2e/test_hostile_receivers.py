"""Receivers that no honest person runs: each costs a worker its deadline, and nobody else anything."""

import asyncio
import gzip
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import Worker, fleet
from tests.e2e.reading import posts_at
from tests.faults.rows import row
from tests.patience import option, patience, patient, stretched
from tests.services.listening import serving

Make = Callable[..., dict[str, Any]]
Script = Callable[["Caller"], Awaitable[None]]

DEADLINE = 2.0
SLACK = 1.5
"""Seconds, until the deadline is seen to have passed."""

KERNEL = 8 * 1024 * 1024
"""Bytes that may have left a receiver and were never read: they fill the buffers of the two sockets."""

RSS = 32 * 1024 * 1024
GIB = 1024 * 1024 * 1024
BOMB = gzip.compress(bytes(64 * 1024 * 1024)) * 16
"""A megabyte that would become a gibibyte."""

EACH = 4


@dataclass(slots=True)
class Caller:
    """One request of the worker's, and how it went on."""

    path: str
    writer: asyncio.StreamWriter
    pushed: int = 0
    seconds: float = 0.0

    async def say(self, *parts: bytes) -> None:
        for part in parts:
            self.writer.write(part)
            await self.writer.drain()
            self.pushed += len(part)


async def drips(caller: Caller) -> None:
    await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
    while True:
        await caller.say(b".")
        await asyncio.sleep(0.5)  # the fault itself


async def drips_headers(caller: Caller) -> None:
    await caller.say(b"HTTP/1.1 200 OK\r\nx-slow: ")
    while True:
        await caller.say(b".")
        await asyncio.sleep(0.5)  # the fault itself


async def drips_a_status_line(caller: Caller) -> None:
    await caller.say(b"HTTP/1.1")
    while True:
        await caller.say(b" ")
        await asyncio.sleep(0.5)  # the fault itself


async def pours_a_gib(caller: Caller) -> None:
    await caller.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % GIB)
    while caller.pushed < GIB:
        await caller.say(bytes(65536))


async def sends_a_bomb(caller: Caller) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(BOMB)
    await caller.say(head, BOMB)


async def has_one_long_header(caller: Caller) -> None:
    await caller.say(b"HTTP/1.1 200 OK\r\nx-long: ", *[b"x" * 65536] * 80, b"\r\n\r\n")


async def informs_for_ever(caller: Caller) -> None:
    while True:
        await caller.say(b"HTTP/1.1 103 Early Hints\r\n\r\n" * 1000)


async def informs_at_length(caller: Caller) -> None:
    while True:
        await caller.say(b"HTTP/1.1 103 Early Hints\r\nlink: " + b"x" * 8000 + b"\r\n\r\n")


async def keeps_open_without_a_length(caller: Caller) -> None:
    await caller.say(b"HTTP/1.1 200 OK\r\nconnection: keep-alive\r\n\r\nthis is all")


ACCEPTS: dict[str, Script] = {
    "drips": drips,
    "pours-a-gib": pours_a_gib,
    "sends-a-bomb": sends_a_bomb,
    "keeps-open": keeps_open_without_a_length,
    "drips-headers": drips_headers,
    "long-header": has_one_long_header,
}
"""A status is an answer, whatever comes after it, and whether or not its head ends."""

SAYS_NOTHING: dict[str, Script] = {
    "drips-a-status-line": drips_a_status_line,
    "informs-for-ever": informs_for_ever,
    "informs-at-length": informs_at_length,
}


@dataclass(slots=True)
class Hostile:
    """A server of these scripts, each by its path."""

    port: int = 0
    callers: list[Caller] = field(default_factory=list)
    serving: asyncio.TaskGroup = field(default_factory=asyncio.TaskGroup)  # noqa: TID251 - has no deadline after it

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A task of our own: asyncio reports those of its servers that are cancelled as failed.
        self.serving.create_task(self._serve(reader, writer))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = next(line for line in head.lower().split("\r\n") if line.startswith("content-length:"))
            await reader.readexactly(int(length[15:]))
            caller = Caller(head.split()[1].strip("/"), writer)
            self.callers.append(caller)
            await self._play(caller, reader)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _play(self, caller: Caller, reader: asyncio.StreamReader) -> None:
        """Until the script fails because nobody listens any more, or is through and the caller has hung up."""
        started = asyncio.get_running_loop().time()
        try:
            await (ACCEPTS | SAYS_NOTHING)[caller.path](caller)
            await reader.read()
        finally:
            caller.seconds = asyncio.get_running_loop().time() - started


@asynccontextmanager
async def hostile() -> AsyncIterator[Hostile]:
    made = Hostile()
    async with serving(made.take) as server, made.serving:
        made.port = server.sockets[0].getsockname()[1]
        yield made


def resident(worker: Worker, what: str) -> int:
    """Bytes: ``VmRSS`` now, ``VmHWM`` at its highest."""
    status = Path(f"/proc/{worker.process.pid}/status").read_text()
    return next(int(line.split()[1]) * 1024 for line in status.splitlines() if line.startswith(what))


def forget_peak(worker: Worker) -> None:
    Path(f"/proc/{worker.process.pid}/clear_refs").write_text("5")


@row(65, "hostile receivers")
async def test_a_hostile_receiver_costs_its_deadline_and_no_memory(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    short = {
        "NS_SEND_TIMEOUT": option(DEADLINE),
        "NS_LEASE": option(10),
        "NS_RETRY_SCHEDULE": "1s",
        "NS_LOG_LEVEL": "info",
    }
    kinds = [*ACCEPTS, *SAYS_NOTHING]
    async with hostile() as receivers, fleet(environment | short) as (worker,), patience(90):
        await broker.publish([unit(destinations=[hook("warm")]) for _ in range(200)])
        await sandbox.inbox.accepts(200)
        before = resident(worker, "VmRSS")
        forget_peak(worker)
        url = f"http://127.0.0.1:{receivers.port}"
        told = [
            {"destination_id": f"{kind}-{number}", "channel": "webhook", "url": f"{url}/{kind}"}
            for number in range(EACH)
            for kind in kinds
        ]
        await broker.publish([unit(destinations=told), *(unit(destinations=[hook("honest")]) for _ in range(50))])
        letters = await broker.dead(EACH * len(SAYS_NOTHING))
        await worker.says("notification.delivered", times=200 + 50 + EACH * len(ACCEPTS))
        peak = resident(worker, "VmHWM")
    assert {str(it.headers["x-reason"]) for it in letters} == {"exhausted"}
    assert {it.path for it in receivers.callers if it.seconds > stretched(DEADLINE) + patient(SLACK)} == set()
    assert {it.path for it in receivers.callers if it.pushed > KERNEL} == set()
    assert peak - before < RSS
    assert len(receivers.callers) == EACH * (len(ACCEPTS) + 2 * len(SAYS_NOTHING))
    assert len(posts_at(sandbox.inbox, "honest")) == 50
