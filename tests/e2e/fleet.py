"""Workers as users start them: real processes of ``notification-sender run``, watched through what they say."""

import asyncio
import json
import os
import signal
import ssl
import sys
from asyncio.subprocess import DEVNULL, PIPE, STDOUT
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx

from tests.patience import patience, patient

COMMAND = Path(sys.executable).with_name("notification-sender")
START_SECONDS = 30.0
STOP_SECONDS = 40.0
ANSWER_SECONDS = 15.0
LONGEST_LINE = 16 * 1024 * 1024
"""Bytes: with asyncio's own limit a line of 64 KiB would end the reading, and nobody would say so."""

LAST_SAID = 8000
"""Characters of its log that a test shows which waited in vain."""

STALL = 500
"""Milliseconds for which a loop may be held by the worker's own work, or by a call of its own that waits."""

_NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""Without authorities, which each client would read for 30 ms. The health port speaks plain HTTP."""

started: "list[Worker]" = []
"""Every worker of the running test: whoever started it, its log is read at the end."""


class Worker:
    """One process. ``events`` is every line of its log so far, ``raw`` everything that it wrote.

    ``under``: a command that becomes the one it is given (``unshare``).
    """

    def __init__(self, environment: Mapping[str, str], under: Sequence[str] = ()) -> None:
        self._environment = {"PATH": os.environ["PATH"], **environment}
        self._command = (*under, COMMAND, "run")
        self._said = asyncio.Condition()
        self.events: list[dict[str, Any]] = []
        self.raw: list[str] = []

    async def start(self) -> None:
        self.process = await asyncio.create_subprocess_exec(
            *self._command, env=self._environment, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT, limit=LONGEST_LINE
        )
        self._reading = asyncio.create_task(self._read())
        started.append(self)

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.raw.append(line.decode())
            async with self._said:
                if line.startswith(b"{"):
                    self.events.append(json.loads(line))
                self._said.notify_all()
        async with self._said:
            self._said.notify_all()

    async def says(self, event: str, times: int = 1, within: float = START_SECONDS, **facts: object) -> dict[str, Any]:
        """The ``times``-th line of its log with this event and these facts."""
        why = "in time"
        with suppress(TimeoutError):
            async with patience(within), self._said:
                while not (found := self._found(event, facts))[times - 1 :] and not self._reading.done():
                    await self._said.wait()
                if len(found) >= times:
                    return found[times - 1]
                why = "before it ended"
        raise AssertionError(f"did not say {event} {facts or ''} {why}:\n{''.join(self.raw)[-LAST_SAID:]}")

    def _found(self, event: str, facts: Mapping[str, object]) -> list[dict[str, Any]]:
        return [it for it in self.events if it["event"] == event and it.items() >= facts.items()]

    @property
    def stalls(self) -> list[dict[str, Any]]:
        """Times that its loop was held for too long, without what the machine took."""
        return [it for it in self.events if it["event"] == "loop.stalled" and it["own_ms"] > STALL]

    async def get(self, path: str) -> httpx.Response:
        """Ask its health port."""
        port = (await self.says("health.listening"))["port"]
        async with httpx.AsyncClient(timeout=patient(ANSWER_SECONDS), verify=_NO_TLS) as client:
            return await client.get(f"http://127.0.0.1:{port}{path}")

    async def becomes(self, status: int, path: str = "/readyz", within: float = 30.0) -> None:
        """Wait until its health port answers so."""
        async with patience(within):
            while (await self.get(path)).status_code != status:  # noqa: ASYNC110 - it cannot be awaited, only asked
                await asyncio.sleep(0.05)

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)

    def freeze(self) -> None:
        """Do nothing until ``thaw``, as a process does whose machine is out of memory or is being moved."""
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    async def ended(self, within: float = STOP_SECONDS) -> int:
        async with patience(within):
            code = await self.process.wait()
            await self._reading
        return code

    async def stop(self) -> int:
        """SIGTERM, as Kubernetes does it; its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        return await self.ended()


def unheld(workers: Sequence[Worker]) -> None:
    """Assert that nothing of ours has held their loops for too long."""
    stalls = [stall for worker in workers for stall in worker.stalls]
    assert not stalls, f"a worker's loop was held: {stalls}"


@asynccontextmanager
async def fleet(
    environment: Mapping[str, str], size: int = 1, *, under: Sequence[str] = ()
) -> AsyncIterator[list[Worker]]:
    """``size`` workers, ready; killed at the end if the test did not stop them."""
    workers = [Worker(environment, under) for _ in range(size)]
    try:
        await asyncio.gather(*(worker.start() for worker in workers))
        await asyncio.gather(*(worker.says("worker.ready") for worker in workers))
        yield workers
    finally:
        for worker in workers:
            if worker.process.returncode is None:
                worker.kill()
            await worker.ended()
