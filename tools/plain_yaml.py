"""Reads the YAML files of this repository: the part of YAML that they use. Everything else is an error, so that a file
never means something else to another reader: no anchors, no block texts, no single quotes, no words such as `on`.
"""

import json
import re
from collections import deque
from typing import Any, NamedTuple

KEY = re.compile(r"(?P<key>[\w.-]+):(?: +(?P<value>.+))?")
COMMENT = re.compile(r'(^|\s+)#[^"]*$')
NUMBER = re.compile(r"-?(0|[1-9]\d*)")
UNCLEAR = re.compile(r"""[&*!|>'%@`?-].*|.*(: | #|"|[][{}]$).*|[\d.,:e+]+|~|null|yes|no|on|off|y|n""", re.IGNORECASE)
"""A plain text that YAML reads as something else, or one version of YAML differently from another."""


class Line(NamedTuple):
    number: int
    indent: int
    text: str

    def wrong(self, why: str) -> ValueError:
        return ValueError(f"line {self.number}: {why}: {self.text}")


def read(text: str) -> Any:
    """The value of a document.

    Raises:
        ValueError: it is no YAML, or of the part that is not read.
    """
    stripped = ((number, COMMENT.sub("", line)) for number, line in enumerate(text.splitlines(), 1))
    lines = deque(Line(number, len(it) - len(it.lstrip(" ")), it.strip(" ")) for number, it in stripped if it.strip())
    value = _block(lines)
    if lines:
        raise lines[0].wrong("is indented like no line before it")
    return value


def _block(lines: deque[Line]) -> Any:
    read_block = _sequence if lines[0].text.startswith("- ") else _mapping
    return read_block(lines, lines[0].indent)


def _sequence(lines: deque[Line], indent: int) -> list[Any]:
    items: list[Any] = []
    while lines and lines[0].indent == indent and lines[0].text.startswith("- "):
        line = lines.popleft()
        item = Line(line.number, indent + 2, line.text.removeprefix("- "))
        if KEY.fullmatch(item.text):
            lines.appendleft(item)
            items.append(_block(lines))
        else:
            items.append(_scalar(item))
    return items


def _mapping(lines: deque[Line], indent: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while lines and lines[0].indent == indent:
        line = lines.popleft()
        entry = KEY.fullmatch(line.text)
        if entry is None or entry["key"] in found:
            raise line.wrong("is no entry, or the second of its key")
        if entry["value"] is None and not (lines and lines[0].indent > indent):
            raise line.wrong("has no value")
        value = _block(lines) if entry["value"] is None else _scalar(line._replace(text=entry["value"]))
        found[entry["key"]] = value
    return found


def _scalar(line: Line) -> Any:
    text = line.text
    if text[0] in '["{':
        return _flow(line)
    if NUMBER.fullmatch(text):
        return int(text)
    if text in {"true", "false"}:
        return text == "true"
    if UNCLEAR.fullmatch(text) and "${{" not in text:
        raise line.wrong("has to be in double quotes")
    return text


def _flow(line: Line) -> Any:
    """A text in quotes, or a list or mapping on one line: as JSON, or a list of plain words."""
    words = re.fullmatch(r"\[([a-z-]+(?:, [a-z-]+)*)\]", line.text)
    if words:
        return words[1].split(", ")
    try:
        return json.loads(line.text)
    except ValueError:
        raise line.wrong("is not read here") from None
