"""Writes YAML that every reader reads alike: single words as they are, other texts in quotes or as a block."""

import json
import re
from collections.abc import Iterator
from typing import Any

_PLAIN = re.compile(r"\d*[A-Za-z][\w./#-]*|(?:[\w./-]+ )+[\w./-]+")
_OTHER_MEANING = re.compile(r"true|false|yes|no|on|off|y|n|null|\d[\d_]*e\d+|0[xo].*", re.IGNORECASE)


def written(value: dict[str, Any]) -> str:
    """The text of a document."""
    return "".join(f"{line}\n" for line in _lines(value, ""))


def _lines(value: dict[str, Any], indent: str) -> Iterator[str]:
    for key, it in value.items():
        yield from _entry(f"{indent}{key}:", it, f"{indent}  ")


def _entry(start: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, str) and re.search(r'["\n]', value):
        yield f"{start} |-"
        yield from (indent + line for line in value.split("\n"))
    elif isinstance(value, dict):
        yield start
        yield from _lines(value, indent)
    elif isinstance(value, list):
        yield start
        for item in value:
            first, *others = _lines(item, f"{indent}  ")
            yield f"{indent}- {first.strip()}"
            yield from others
    else:
        plain = isinstance(value, str) and _PLAIN.fullmatch(value) and not _OTHER_MEANING.fullmatch(value)
        yield f"{start} {value if plain else json.dumps(value, ensure_ascii=False)}"
