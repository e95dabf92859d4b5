"""Find links of Markdown pages that lead nowhere: ``python -m tools.links README.md docs``.

A link to a file of this repository must name one that is there, and an anchor must be a heading of its page, as
GitHub makes anchors of headings. Links to other hosts are not asked.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from urllib.parse import unquote

from tools.prose import files

_FENCED = re.compile(r"^\s*(```|~~~).*?^\s*\1\s*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?:.+?)\1")
_TARGET = re.compile(r"!?\[[^\]]*\]\(\s*<?([^)>\s]+)>?(?:\s+\"[^\"]*\")?\s*\)")
_REFERENCE = re.compile(r"^\[[^\]]+\]:\s+(\S+)", re.MULTILINE)
_HEADING = re.compile(r"^#{1,6}\s+(.*?)\s*#*$", re.MULTILINE)
_OWN_ANCHOR = re.compile(r"<a\s+(?:id|name)=\"([^\"]+)\"")
_NOT_IN_ANCHORS = re.compile(r"[^\w\- ]")
_ELSEWHERE = re.compile(r"^[a-z][a-z0-9+.-]*:|^//")


def _without(pattern: re.Pattern[str], text: str) -> str:
    """The text with every match blank, so that lines keep their numbers."""
    return pattern.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)


def links(text: str) -> Iterator[tuple[int, str]]:
    """Line and target of every link that stands outside of code."""
    prose = _without(_CODE, _without(_FENCED, text))
    for pattern in (_TARGET, _REFERENCE):
        for found in pattern.finditer(prose):
            yield prose.count("\n", 0, found.start()) + 1, found[1]


def anchors(text: str) -> set[str]:
    """What may stand behind ``#`` in a link to this page."""
    seen = Counter[str]()
    known = set(_OWN_ANCHOR.findall(text))
    for heading in _HEADING.findall(_without(_FENCED, text)):
        words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "")
        anchor = _NOT_IN_ANCHORS.sub("", words.lower()).replace(" ", "-")
        known.add(f"{anchor}-{seen[anchor]}" if seen[anchor] else anchor)
        seen[anchor] += 1
    return known


@cache
def _anchors_of(page: Path) -> set[str]:
    return anchors(page.read_text())


def fault(page: Path, target: str) -> str | None:
    """Why a link of this page leads nowhere; None if it leads somewhere, or to another host."""
    if _ELSEWHERE.match(target):
        return None
    path, _, anchor = unquote(target).partition("#")
    there = (page.parent / path) if path else page
    if not there.exists():
        return f"there is no {there}"
    if anchor and there.suffix == ".md" and anchor not in _anchors_of(there.resolve()):
        return f"{there} has no heading #{anchor}"
    return None


def main(paths: list[str]) -> int:
    """Print every link that leads nowhere; 1 if there is any, 2 without a path."""
    if not paths:
        print("usage: python -m tools.links PATH ...", file=sys.stderr)
        return 2
    pages = [it for it in files(paths) if it.suffix == ".md"]
    found = [
        f"{page}:{line}: {why}"
        for page in pages
        for line, target in links(page.read_text())
        if (why := fault(page, target))
    ]
    print(*found, f"broken links: {len(found)}", sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
