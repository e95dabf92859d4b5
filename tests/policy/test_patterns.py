"""Patterns of events: what they match, and that no pattern costs more than its length."""

import re
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.patterns import LONGEST, MOST, matches, unreadable

PATTERNS = st.text(alphabet="ab.*?\\]\n", max_size=10)
TEXTS = st.text(alphabet="ab.?*\\]\n", max_size=10)


def oracle(pattern: str, text: str) -> bool:
    pieces = {"*": ".*", "?": "."}
    return re.fullmatch("".join(pieces.get(it) or re.escape(it) for it in pattern), text, re.DOTALL) is not None


@given(PATTERNS, TEXTS)
def test_a_pattern_matches_what_a_regular_expression_of_it_does(pattern: str, text: str) -> None:
    assert matches(pattern, text) == oracle(pattern, text)


@pytest.mark.parametrize(
    ("pattern", "text", "expected"),
    [
        ("incident.*", "incident.updated", True),
        ("incident.*", "incidentally", False),
        ("*", "", True),
        ("", "", True),
        ("", "a", False),
        ("*.upd?ted", "incident.updated", True),
        ("*a*?*b", "xaayb", True),
        ("INCIDENT.*", "incident.updated", False),
    ],
)
def test_a_star_is_any_text_and_a_question_mark_one_character(pattern: str, text: str, *, expected: bool) -> None:
    assert matches(pattern, text) is expected


class Counted(str):
    """A text that knows how often a character of it was looked at."""

    __slots__ = ("steps",)

    def __iter__(self) -> Iterator[str]:
        self.steps = 0
        for letter in str(self):
            self.steps += 1
            yield letter


@pytest.mark.parametrize(
    "pattern", ["*a" * 127 + "*b", "a*" * 128, "*?" * 127 + "b", "?" * 256, "*" * 256, "*aaab" * 51]
)
@pytest.mark.parametrize("text", ["a" * 256, "ab" * 128, "aaa" * 85 + "b"])
def test_no_pattern_looks_at_a_character_twice(pattern: str, text: str) -> None:
    counted = Counted(text)
    matches.__wrapped__(pattern, counted)
    assert counted.steps <= len(text)
    assert len(pattern) <= LONGEST


@pytest.mark.parametrize(
    ("patterns", "fault"),
    [
        (["incident.*"] * MOST, None),
        (["*" * LONGEST, "a]b", "\\"], None),
        (["incident.*"] * (MOST + 1), "65 patterns, at most 64"),
        (["incident.*", "secret" * 50], "pattern 1 has 300 characters, at most 256"),
        (["incident.[cu]*"], r"pattern 0 has a [: only * and ? stand for something else"),
    ],
)
def test_what_cannot_be_read_is_said_without_its_words(patterns: list[str], fault: str | None) -> None:
    assert unreadable(patterns) == fault
