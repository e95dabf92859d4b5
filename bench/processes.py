"""The processes of a run: each on cores of its own, its output in a file, ended with the block that started it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

GRACE = 40.0
"""Seconds to end after SIGTERM: longer than NS_GRACE."""

LONGEST_LINE = 4 * 1024 * 1024
"""Bytes: the platform names all of its organizations in one."""

TAIL = 4000
"""Characters of a log that are shown when its process failed."""


class FailedError(RuntimeError):
    """A process ended by itself, or something did not happen in time."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was started here."""

    process: asyncio.subprocess.Process
    log: Path

    @property
    def pid(self) -> int:
        return self.process.pid

    async def first_line(self) -> str:
        """What it prints when it is ready.

        Raises:
            FailedError: it ended instead.

        """
        line = await _reader(self.process).readline()
        if not line:
            raise FailedError(f"nothing was printed:\n{self.tail}")
        return line.decode().strip()

    async def lines_until(self, mark: str) -> list[str]:
        """What it prints up to a line that contains ``mark``."""
        lines = [await self.first_line()]
        while mark not in lines[-1]:
            lines.append(await self.first_line())
        return lines

    @property
    def tail(self) -> str:
        """The end of what it logged."""
        return self.log.read_text()[-TAIL:]

    def check(self) -> None:
        """Raises:
        FailedError: it ended by itself.

        """
        if self.process.returncode is not None:
            raise FailedError(f"ended with {self.process.returncode}:\n{self.tail}")


@asynccontextmanager
async def running(
    command: Sequence[str],
    *,
    cores: Iterable[int],
    log: Path,
    environment: Mapping[str, str] | None = None,
    talks: bool = False,
) -> AsyncIterator[Running]:
    """``command`` on ``cores`` for the length of the block. What it prints goes to ``log``, or here if it ``talks``."""
    with log.open("ab") as file:
        process = await asyncio.create_subprocess_exec(
            *command,
            env=environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE if talks else file,
            stderr=file,
            limit=LONGEST_LINE,
        )
    # At once: threads that it starts later inherit it, those that it had would not.
    os.sched_setaffinity(process.pid, cores)
    try:
        yield Running(process, log)
    finally:
        await _end(process)


async def finished(command: Sequence[str], environment: Mapping[str, str]) -> None:
    """Run ``command`` to its end.

    Raises:
        FailedError: it did not end well.

    """
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    said, _ = await process.communicate()
    if process.returncode != 0:
        raise FailedError(f"{' '.join(command)} ended with {process.returncode}:\n{said.decode()[-TAIL:]}")


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.terminate()
    try:
        await asyncio.wait_for(process.communicate(), GRACE)
    except TimeoutError:
        process.kill()
        await process.wait()


def _reader(process: asyncio.subprocess.Process) -> asyncio.StreamReader:
    if process.stdout is None:
        raise TypeError("its output is not ours to read")
    return process.stdout
