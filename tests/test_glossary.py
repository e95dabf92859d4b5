"""The words that the glossary does not use are no identifiers of the product, and are in no page."""

import ast
import re
import tokenize
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parents[1]
PRODUCT = ROOT / "notification_sender"
GLOSSARY = ROOT / "docs" / "glossary.md"
HISTORY = ROOT / "docs" / "decisions"
"""A decision is a page of its day, and may use the words of its day."""

_HUMP = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|_")

Places = dict[str, str]
"""Words, each with the first place that has it."""


class Row(NamedTuple):
    term: str
    meaning: str
    words: frozenset[str]
    """Not used at all."""
    names: frozenset[str]
    """Ordinary English, not used as the whole name of anything."""


def rows() -> list[Row]:
    lines = [it for it in GLOSSARY.read_text().splitlines() if it.startswith("|")][2:]
    return [_row(*(cell.strip() for cell in re.split(r"(?<!\\)\|", it)[1:-1])) for it in lines]


def _row(term: str, meaning: str, unused: str) -> Row:
    words, _, names = unused.partition("name:")
    return Row(term, meaning, frozenset(re.findall(r"`(\w+)`", words)), frozenset(re.findall(r"`(\w+)`", names)))


def parts(identifier: str) -> list[str]:
    """``_LocalCache`` and ``local_cache`` → ``local``, ``cache``."""
    return [it.lower() for it in _HUMP.split(identifier) if it]


def has_part(identifier: str, word: str) -> bool:
    """Whether the parts of ``word`` follow each other in ``identifier``."""
    return f" {' '.join(parts(word))} " in f" {' '.join(parts(identifier))} "


def defined(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """The names of classes, functions, parameters, attributes and variables that a module defines, with their lines."""
    for node in ast.walk(tree):
        match node:
            case ast.ClassDef(name=name) | ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()) | ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case _:
                pass


def pages() -> Iterator[Path]:
    yield from (ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md"))
    yield from (it for it in ROOT.glob("docs/**/*.md") if it != GLOSSARY and HISTORY not in it.parents)


@pytest.fixture(scope="module")
def identifiers() -> Places:
    """Each identifier of the product, its modules included."""
    found: Places = {}
    for file in sorted(PRODUCT.rglob("*.py")):
        found.setdefault(file.stem, str(file.relative_to(ROOT)))
        with file.open("rb") as code:
            for token in tokenize.tokenize(code.readline):
                if token.type == tokenize.NAME:
                    found.setdefault(token.string, f"{file.relative_to(ROOT)}:{token.start[0]}")
    return found


@pytest.fixture(scope="module")
def names() -> Places:
    """Each name that the product defines."""
    found: Places = {}
    for file in sorted(PRODUCT.rglob("*.py")):
        found.setdefault(file.stem, str(file.relative_to(ROOT)))
        for name, line in defined(ast.parse(file.read_text())):
            found.setdefault(name, f"{file.relative_to(ROOT)}:{line}")
    return found


@pytest.fixture(scope="module")
def words() -> Places:
    """Each word of the pages."""
    found: Places = {}
    for page in sorted(pages()):
        for word in re.findall(r"\w+", page.read_text()):
            found.setdefault(word, str(page.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("word", sorted({word for row in rows() for word in row.words}))
def test_an_unused_word_is_in_no_identifier_and_in_no_page(word: str, identifiers: Places, words: Places) -> None:
    found = [f"{place}: {it}" for it, place in identifiers.items() if has_part(it, word)]
    assert (found, words.get(word)) == ([], None)


@pytest.mark.parametrize("name", sorted({name for row in rows() for name in row.names}))
def test_an_unused_name_is_the_name_of_nothing(name: str, names: Places) -> None:
    """A leading underscore makes no difference."""
    assert (names.get(name), names.get(f"_{name}")) == (None, None)


@pytest.mark.parametrize(
    ("identifier", "word"),
    [("News", "News"), ("_news", "News"), ("news_topic", "News"), ("LocalAtHand", "AtHand"), ("at_hand", "AtHand")],
)
def test_an_identifier_has_a_word_in_any_notation(identifier: str, word: str) -> None:
    assert has_part(identifier, word)


@pytest.mark.parametrize(("identifier", "word"), [("newsletter", "News"), ("hand_at", "AtHand"), ("at", "AtHand")])
def test_a_piece_of_a_word_is_not_the_word(identifier: str, word: str) -> None:
    assert not has_part(identifier, word)


def test_each_kind_of_name_is_found() -> None:
    tree = ast.parse(
        "class Room:\n  told: int\n  def look(self, hold): self.kept = [turn for turn in hold]\nasync def say(): ..."
    )
    assert {name for name, _ in defined(tree)} == {"Room", "told", "look", "self", "hold", "kept", "turn", "say"}


def test_the_terms_are_sorted_and_each_has_one_line_and_a_meaning() -> None:
    terms = [row.term.lower() for row in rows()]
    assert all(one < other for one, other in pairwise(terms))
    assert all(row.meaning for row in rows())


def test_no_term_is_a_word_that_is_not_used() -> None:
    unused = {it.lower() for row in rows() for it in row.words | row.names}
    assert {row.term.lower() for row in rows()} & unused == set()
