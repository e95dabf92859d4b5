"""A bash that the commands of a page are typed into, one after the other, and the blocks of a page that has them."""

import asyncio
import os
import re
import secrets
import signal
from asyncio.subprocess import PIPE, STDOUT
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.patience import patience

BLOCK = re.compile(r"(?:^ *<!-- not run: (.+?) -->\n)?^ *```console\n(.*?)^ *```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Line:
    """One command of a page, and the lines shown below it."""

    words: str
    shown: list[str]


@dataclass(frozen=True, slots=True)
class Block:
    """``reason``: why it is not run, from the comment above it."""

    reason: str
    lines: list[Line]


def blocks(page: Path) -> list[Block]:
    """The console blocks of a page, in its order."""
    return [Block(reason, _lines(text)) for reason, text in BLOCK.findall(page.read_text())]


def _lines(text: str) -> list[Line]:
    parts = (part.splitlines() for part in re.split(r"^ *\$ ", text, flags=re.MULTILINE)[1:])
    return [Line(words, [it for it in shown if it.strip()]) for words, *shown in parts]


@dataclass(frozen=True, slots=True)
class Said:
    code: int
    text: str


class Terminal:
    """Commands share variables, folder and background jobs. All of them end with it."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = environment
        self._end = secrets.token_hex(8)

    async def __aenter__(self) -> Self:
        self._bash = await asyncio.create_subprocess_exec(
            *("bash", "--noprofile", "--norc"),
            cwd=self._folder,
            env=self._environment,
            stdin=PIPE,
            stdout=PIPE,
            stderr=STDOUT,
            start_new_session=True,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with suppress(ProcessLookupError, TimeoutError):
            os.killpg(self._bash.pid, signal.SIGTERM)
            async with patience(30):
                await self._bash.communicate()
                while True:  # its background jobs, until none is left
                    os.killpg(self._bash.pid, 0)
                    await asyncio.sleep(0.02)
        with suppress(ProcessLookupError):
            os.killpg(self._bash.pid, signal.SIGKILL)

    async def types(self, words: str, *, within: float = 60) -> Said:
        """Type one command, and return how it ended and what it said."""
        assert self._bash.stdin is not None
        assert self._bash.stdout is not None
        # The commands come through standard input: one that reads it must not read the next command.
        self._bash.stdin.write(f"{{ {words}\n}} < /dev/null\nprintf '\\n%s %s\\n' {self._end} $?\n".encode())
        async with patience(within):
            text = (await self._bash.stdout.readuntil(f"\n{self._end} ".encode())).decode()
            code = int(await self._bash.stdout.readline())
        return Said(code, text.removesuffix(f"\n{self._end} "))
