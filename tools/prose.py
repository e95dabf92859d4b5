"""Find sentences that are hard to read: ``python -m tools.prose README.md docs notification_sender/model``.

Reads Markdown pages and the docstrings of Python files. Code blocks are skipped, and each cell of a table is a text
of its own. Prints one line for each finding and exits with 1 if there is any.
"""

import ast
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

MAX_WORDS = 30
FORBIDDEN_STARTS = ("What is ", "Whoever ", "Who is ")

_FENCE = re.compile(r"^\s*(```|~~~)")
_BLOCK_START = re.compile(r"^\s*(?:#+|[-*+]|\d+\.|>)\s+")
_TABLE_RULE = re.compile(r"^[\s|:-]+$")
_SENTENCE_END = re.compile(r"(?<=[.!?])[)\"*_]*\s+(?=[\"'(*_\[]*[A-Z0-9`])|(?<=[!?])\s+| · ")
_TEXT_TABLE = re.compile(r"^\s*={3,}[= ]*$")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_CODE = re.compile(r"(`+)(?:.+?)\1", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)\s]*\)")
_WORD = re.compile(r"\w[\w'\u2019./:-]*")
_LETTER = re.compile(r"[A-Za-z]")

Block = tuple[int, str]
"""The line on which a text begins, and the text."""


def blocks(text: str) -> Iterator[Block]:
    """The paragraphs, headings, list items and table cells of a Markdown text, without its code blocks."""
    begins, gathered, fenced = 1, list[str](), False
    for number, line in enumerate(_without_comments(text).splitlines(), 1):
        is_fence = bool(_FENCE.match(line))
        fenced ^= is_fence
        indented = not gathered and line.startswith("    ")
        if is_fence or fenced or indented or not line.strip() or _is_row(line) or _BLOCK_START.match(line):
            yield from _joined(begins, gathered)
            gathered = []
        if is_fence or fenced or indented or not line.strip():
            continue
        if _is_row(line):
            yield from _cells(number, line)
            continue
        begins = begins if gathered else number
        gathered.append(_BLOCK_START.sub("", line))
        if line.lstrip().startswith("#"):
            yield from _joined(begins, gathered)
            gathered = []
    yield from _joined(begins, gathered)


def _without_comments(text: str) -> str:
    return _COMMENT.sub(lambda found: "\n" * found[0].count("\n"), text)


def _is_row(line: str) -> bool:
    return line.lstrip().startswith("|")


def _joined(begins: int, lines: list[str]) -> Iterator[Block]:
    if lines and not _TEXT_TABLE.match(lines[0]):
        yield begins, " ".join(it.strip() for it in lines)


def _cells(number: int, line: str) -> Iterator[Block]:
    if not _TABLE_RULE.match(line):
        for cell in _CODE.sub("`code`", line).strip().strip("|").split("|"):
            yield number, cell.strip()


def sentences(text: str) -> Iterator[str]:
    """The sentences of one paragraph: a piece of code is one word, a link is its text."""
    plain = _LINK.sub(r"\1", _CODE.sub("`code`", text))
    yield from (it.strip() for it in _SENTENCE_END.split(plain) if it and it.strip())


def fault(sentence: str) -> str | None:
    """Why a sentence is hard to read; None if it is not."""
    words = sum(1 for it in _WORD.findall(sentence) if _LETTER.search(it) or it.isdigit())
    if words > MAX_WORDS:
        return f"{words} words, at most {MAX_WORDS}"
    begins = sentence.lstrip("*_\"'( ")
    return next((f"begins with {it.strip()!r}" for it in FORBIDDEN_STARTS if begins.startswith(it)), None)


def docstrings(source: str) -> Iterator[Block]:
    """Each string of a Python file that stands as a statement: of a module, class, function or constant."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Expr(value=ast.Constant(value=str(text))):
                yield node.lineno, text
            case _:
                pass


def texts(file: Path) -> Iterator[Block]:
    """The blocks of a page, or those of every docstring of a Python file."""
    content = file.read_text()
    if file.suffix == ".md":
        yield from blocks(content)
        return
    for begins, text in docstrings(content):
        yield from ((begins + line - 1, block) for line, block in blocks(text))


def files(paths: Iterable[str]) -> Iterator[Path]:
    """Markdown and Python files, those of a folder in the order of their names."""
    for path in map(Path, paths):
        yield from sorted(it for it in path.rglob("*") if it.suffix in {".md", ".py"}) if path.is_dir() else (path,)


def findings(file: Path) -> Iterator[str]:
    """One line for each sentence that is hard to read."""
    for line, block in texts(file):
        for sentence in sentences(block):
            if why := fault(sentence):
                yield f"{file}:{line}: {why}: {sentence[:80]}"


def main(paths: list[str]) -> int:
    """Print the findings of all paths; 1 if there is any, 2 without a path."""
    if not paths:
        print("usage: python -m tools.prose PATH ...", file=sys.stderr)
        return 2
    found = [finding for file in files(paths) for finding in findings(file)]
    print(*found, f"hard sentences: {len(found)}", sep="\n")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
