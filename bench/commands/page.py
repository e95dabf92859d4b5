"""Replaces what commands print in ``docs/reference/commands.md``. A comment above each block says what is typed."""

import re
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"

BLOCK = re.compile(
    r"<!-- printed(?P<stopped>, RabbitMQ stopped)?: (?P<words>.+?) -->\n```text\n(?P<body>.*?)```\n", re.DOTALL
)

MOST_LINES = 40
"""Of one block: longer output ends with the number of lines that are left out."""

Type = Callable[[Sequence[str], bool], Awaitable[str]]
"""Types a command, where RabbitMQ is stopped or not, and gives what it printed."""


async def printed(page: str, names: dict[str, str], type_: Type) -> str:
    """The page with every block as its command prints it now. ``names``: of the placeholders, such as ``{paused}``."""
    parts, end = [], 0
    # First those for which RabbitMQ runs.
    found = list(BLOCK.finditer(page))
    said = {}
    for it in sorted(found, key=lambda it: bool(it["stopped"])):
        words = it["words"].format_map(names).split()
        said[it.start()] = f"$ notification-sender {' '.join(words)}\n{_short(await type_(words, bool(it['stopped'])))}"
    for it in found:
        parts += [page[end : it.start("body")], said[it.start()]]
        end = it.end("body")
    return "".join([*parts, page[end:]])


def _short(output: str) -> str:
    lines = output.rstrip("\n").split("\n")
    more = [f"… {len(lines) - MOST_LINES} more lines"] if len(lines) > MOST_LINES else []
    return "\n".join([*lines[:MOST_LINES], *more]) + "\n"
