"""A program started for the tests: found, awaited until it answers, and ended together with its children."""

import os
import secrets
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from tests.patience import patient

HOST = "127.0.0.1"
START_SECONDS = 60.0
STOP_SECONDS = 20.0

NEVER_GIVEN = range(20_000, 32_768)
"""Ports below those that Linux and macOS give to outgoing connections and to whoever asks for any."""


class MissingProgramError(RuntimeError):
    """Not installed here: ``make services`` installs it."""


def find(name: str, *folders: str) -> str:
    """Its path, from ``folders`` before PATH.

    Raises:
        MissingProgramError: it is nowhere.
    """
    found = shutil.which(name, path=os.pathsep.join((*folders, os.environ.get("PATH", os.defpath))))
    if found is None:
        raise MissingProgramError(f"{name} is not installed: make services")
    return found


def free_port() -> int:
    """One that nobody has, and that no connection is given meanwhile: those take theirs from a higher range.

    A port of that range may be somebody's before it is used. Who dials it while nobody listens may even get it for its
    own end: connected with itself, it would keep a service that is started again from listening there.
    """
    while True:
        port = secrets.choice(NEVER_GIVEN)
        with suppress(OSError), socket.create_server((HOST, port)):
            return port


def answer(port: int, question: bytes) -> bytes:
    """The first bytes that the server on ``port`` answers, nothing if it does not."""
    try:
        with socket.create_connection((HOST, port), timeout=patient(2)) as connection:
            connection.sendall(question)
            return connection.recv(64)
    except OSError:
        return b""


class Program:
    """One process group, started again on the same ports and data as often as a test wants."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._command = list(command)
        self._environment = dict(environment)
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, answers: Callable[[], bool]) -> None:
        """Return once it ``answers``."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - the command is written in this folder
                self._command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + patient(START_SECONDS)
        while not answers():
            if self._ended_within(0.02) or time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"{self._command[0]} did not start:\n{self._log.read_text()[-4000:]}")

    def stop(self) -> None:
        """Ask it to end; kill what does not."""
        self._signal(signal.SIGTERM)
        if not self._ended_within(patient(STOP_SECONDS)):
            self.kill()

    def kill(self) -> None:
        """End it and its children at once, as a power cut does."""
        self._signal(signal.SIGKILL)
        self._ended_within(patient(STOP_SECONDS))

    def freeze(self) -> None:
        """Keep its connections open and answer nothing, until ``thaw``."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    @property
    def pids(self) -> list[int]:
        """Its processes: those of the group that it was started in. Linux only."""
        own = [] if self._process is None else [self._process.pid]
        return [int(it.name) for it in Path("/proc").glob("[0-9]*") if _group(it) in own]

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            os.killpg(self._process.pid, number)

    def _ended_within(self, seconds: float) -> bool:
        if self._process is None:
            return True
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            return False
        return True


def _group(process: Path) -> int | None:
    """The process group of one in ``/proc``, None where it has just ended."""
    try:
        return int((process / "stat").read_text().rpartition(")")[2].split()[2])
    except OSError:
        return None
