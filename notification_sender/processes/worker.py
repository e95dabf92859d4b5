"""One worker process, seen from its parent."""

import asyncio
import os
import signal
import socket
import sys
import time
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Mapping
from typing import Any

import orjson
import structlog

from notification_sender.adapters.process_link import FACTS, Reply, WorkerConnection

# -P: with -m alone Python would import modules from the folder in which it was started.
_COMMAND = (sys.executable, "-P", "-m", "notification_sender", "run")

REPLY_SECONDS = 3.0
"""Seconds that a worker may take for an answer. Its loop may take 2 s for its own part."""

KILLED_SECONDS = 10.0
"""Seconds after which a killed worker that has not ended is reported by ``/livez``."""

UNANSWERED = 10
"""Looks of the parent in a row without an answer, after which a worker counts as stuck: 40 s."""

UNANSWERED_AT_START = 40
"""The same while it imports its modules: about four minutes."""

_log = structlog.get_logger()


class WorkerProcess:
    """The process with this number, from 1 on. It may be started again and again; signals end it for good."""

    def __init__(self, number: int, environ: Mapping[str, str]) -> None:
        self.number = number
        self.starts = 0
        self.killed = 0
        self.started_at = 0.0
        self._environ = environ
        self._process: Process | None = None
        self._connection: WorkerConnection | None = None
        self._signal: int | None = None
        self._killed_at: float | None = None
        self._answered = False
        self._unanswered = 0

    @property
    def pid(self) -> int | None:
        """None: it does not run."""
        return None if self._process is None else self._process.pid

    async def run(self) -> int:
        """Start it and wait for its end. Returns the exit code, or the number of the signal that ended it, negative."""
        ours, theirs = socket.socketpair()
        with ours:
            with theirs:
                self._process = process = await self._start(theirs.fileno())
            self._answered, self._unanswered, self._killed_at = False, 0, None
            self.started_at = time.monotonic()
            self.starts += 1
            _log.info("process.started", process=self.number, pid=process.pid)
            if self._signal is not None:
                process.send_signal(self._signal)  # it came while we started it
            self._connection = WorkerConnection(ours)
            reading = asyncio.create_task(self._connection.read())
            try:
                return await process.wait()
            finally:
                self._process = self._connection = self._killed_at = None
                reading.cancel()
                await asyncio.wait({reading})

    async def _start(self, connection: int) -> Process:
        return await asyncio.create_subprocess_exec(
            *_COMMAND,
            f"--process={self.number}",
            f"--connection={connection}",
            env=self._environ,
            stdin=DEVNULL,
            pass_fds=[connection],
            # Not in our process group: Ctrl-C would reach it beside the signal that we pass on, and two cut it off.
            process_group=0,
        )

    def signal(self, number: int) -> None:
        """Send a signal that ends it. A start that is under way ends, too."""
        self._signal = number
        if self._process is not None and self._process.returncode is None:
            self._process.send_signal(number)

    def kill(self) -> bool:
        """Kill it. Returns whether this is the first time since its start."""
        if self._killed_at is not None or self._process is None or self._process.returncode is not None:
            return False
        self._killed_at = time.monotonic()
        self.killed += 1
        self._process.kill()
        return True

    @property
    def outlived_kill(self) -> bool:
        """Whether it was killed and is still there: the system does not end a process that waits for a dead disk."""
        return self._killed_at is not None and time.monotonic() - self._killed_at >= KILLED_SECONDS

    async def facts(self) -> dict[str, Any] | None:
        """Its settings of the health port; None: it does not answer yet."""
        return _content(await self.ask(FACTS))

    async def ready(self) -> dict[str, Any]:
        """The parts of its ``/readyz``, and ``state`` in place of them while it does not answer."""
        return _content(await self.ask("/readyz")) or {"ready": False, "state": self.state}

    @property
    def state(self) -> str:
        if self._process is None:
            return "waiting"
        return "running" if self._answered else "starting"

    async def ask(self, path: str) -> Reply | None:
        """Ask what its health port would be asked for. None: it did not answer in time."""
        if self._connection is None:
            return None
        reply = await self._connection.ask(path, REPLY_SECONDS)
        self._answered = self._answered or reply is not None
        return reply

    async def stuck(self) -> bool:
        """Whether it makes no progress and must be killed.

        Only the looks of the parent count, not the questions of its clients: these may be any number at once.

        Both counts leave out the time for which the machine or all processes were stopped: nobody is stuck by that.
        """
        live = _content(await self.ask("/livez"))
        self._unanswered = 0 if live is not None else self._unanswered + 1
        if live is not None:
            return not live["live"]  # it decides by NS_LIVENESS
        return self._unanswered >= (UNANSWERED if self._answered else UNANSWERED_AT_START)


def _content(reply: Reply | None) -> dict[str, Any] | None:
    content: dict[str, Any] | None = None if reply is None else orjson.loads(reply.body)
    return content


def end_of(code: int) -> str:
    """An exit code as text: ``exit 1``, or the name of the signal. Real-time signals have a number alone."""
    if code >= 0:
        return f"exit {code}"
    return signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"


def is_clean(code: int) -> bool:
    """Whether a worker that was told to end did so well. One that still imports its modules ends by the signal."""
    return code in {os.EX_OK, -signal.SIGTERM, -signal.SIGQUIT}
