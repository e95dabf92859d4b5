"""Commands as an operator types them: a process each, with nothing in its environment but what is given."""

import asyncio
import os
from asyncio.subprocess import PIPE
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.fleet import COMMAND


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: str
    err: str


async def command(
    environment: Mapping[str, str], *arguments: str, stdin: bytes = b"", folder: Path | None = None
) -> Ended:
    """Run one to its end."""
    environ = {"PATH": os.environ["PATH"], **environment}
    process = await asyncio.create_subprocess_exec(
        COMMAND, *arguments, env=environ, cwd=folder, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    async with asyncio.timeout(30):
        out, err = await process.communicate(stdin)
    assert process.returncode is not None
    return Ended(process.returncode, out.decode(), err.decode())
