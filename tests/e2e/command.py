"""Commands as an operator types them: a process each, with nothing in its environment but what is given."""

import asyncio
import os
from asyncio.subprocess import PIPE, Process
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.fleet import COMMAND
from tests.patience import patience, slowness

SLOW_CLOCK = Path(__file__).with_name("slow_clock")
"""In front of a command's path its own deadlines are stretched like ours: ``check`` takes 6 s."""


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


async def command(
    environment: Mapping[str, str], *arguments: str, stdin: bytes = b"", folder: Path | None = None
) -> Ended:
    """Run one to its end."""
    process = await started(environment, *arguments, folder=folder)
    async with patience(30):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())


async def started(environment: Mapping[str, str], *arguments: str, folder: Path | None = None) -> Process:
    """Run one, not awaited."""
    slow = {"PYTHONPATH": str(SLOW_CLOCK), "TESTS_SLOWNESS": f"{slowness():.2f}"}
    environ = {"PATH": os.environ["PATH"], **slow, **environment}
    return await asyncio.create_subprocess_exec(
        COMMAND, *arguments, env=environ, cwd=folder, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
