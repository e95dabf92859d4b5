"""The words that the glossary does not use are no identifiers of the product and stand in no page."""

import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
GLOSSARY = ROOT / "docs" / "glossary.md"
HISTORY = ROOT / "docs" / "decisions"
"""A decision is a page of its day, and may name what its day had."""


def rows() -> list[list[str]]:
    lines = [it for it in GLOSSARY.read_text().splitlines() if it.startswith("|")][2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", it)[1:-1]] for it in lines]


def unused() -> list[str]:
    return sorted({word for _, _, words in rows() for word in re.findall(r"`(\w+)`", words)})


def pages() -> Iterator[Path]:
    yield ROOT / "README.md"
    yield from (it for it in ROOT.glob("docs/**/*.md") if it != GLOSSARY and HISTORY not in it.parents)


@pytest.fixture(scope="module")
def identifiers() -> dict[str, str]:
    """Each name of the product, with the first place where it stands."""
    found: dict[str, str] = {}
    for file in sorted((ROOT / "notification_sender").rglob("*.py")):
        with file.open("rb") as code:
            for token in tokenize.tokenize(code.readline):
                if token.type == tokenize.NAME:
                    found.setdefault(token.string, f"{file.relative_to(ROOT)}:{token.start[0]}")
    return found


@pytest.fixture(scope="module")
def words() -> dict[str, str]:
    """Each word of the pages, with the first page where it stands."""
    found: dict[str, str] = {}
    for page in sorted(pages()):
        for word in re.findall(r"\w+", page.read_text()):
            found.setdefault(word, str(page.relative_to(ROOT)))
    return found


@pytest.mark.parametrize("word", unused())
def test_a_word_that_is_not_used_is_nowhere(word: str, identifiers: dict[str, str], words: dict[str, str]) -> None:
    assert (identifiers.get(word), words.get(word)) == (None, None)


def test_the_terms_are_sorted_and_each_has_one_line_and_a_meaning() -> None:
    terms = [term for term, _, _ in rows()]
    assert terms == sorted(set(terms), key=str.lower)
    assert all(meaning for _, meaning, _ in rows())


def test_no_term_is_a_word_that_is_not_used() -> None:
    assert {term for term, _, _ in rows()} & set(unused()) == set()
