"""The console blocks of a page, typed again: the commands are the page's own, and say what it shows."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.command import Ended, command

BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PROGRAM = "notification-sender"
VARIES = [
    (r" {2,}", " "),
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", "moment"),
    (r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}", "id"),
    (r"\([0-9a-f]{8}\)", "address"),
]
"""What is different each time: any other of the same form is as good. Columns are as wide as their widest."""


@dataclass(frozen=True, slots=True)
class Typed:
    """One command of the page, and the lines shown below it: of what it says, those that matter."""

    words: str
    shown: list[str]


def section(page: Path, title: str) -> list[Typed]:
    """What is typed below this heading."""
    [text] = [it for it in re.split(r"^## ", page.read_text(), flags=re.MULTILINE) if it.startswith(f"{title}\n")]
    return [typed for block in BLOCK.findall(text) for typed in _typed(block)]


def _typed(block: str) -> Iterator[Typed]:
    for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
        words, *shown = part.splitlines()
        yield Typed(words, shown)


class Walk:
    """Through one section, in its order. ``over`` asserts that all of it was typed."""

    def __init__(self, page: Path, title: str, environment: dict[str, str]) -> None:
        self._left = section(page, title)
        self._environment = environment

    async def types(self, words: str, *, code: int = 0) -> Ended:
        """The next command, which must be this one; asserts how it ends and that it says what is shown."""
        typed = self._left.pop(0)
        assert typed.words == f"{PROGRAM} {words}"
        ended = await command(self._environment, *shlex.split(words))
        assert ended.code == code, f"{words}: {ended}"
        said = iter([*ended.out.splitlines(), *ended.err.splitlines()])
        for line in typed.shown:
            assert any(same(line, it) for it in said), f"{words} does not say {line!r}, but {ended}"
        return ended

    def over(self) -> None:
        assert self._left == []


def same(shown: str, said: str) -> bool:
    return re.fullmatch(re.escape(_plain(shown)).replace("…", ".*"), _plain(said)) is not None


def _plain(line: str) -> str:
    for form, name in VARIES:
        line = re.sub(form, name, line)
    return line
