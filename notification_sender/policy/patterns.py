"""Patterns of events: ``*`` is any text, also none, and ``?`` is one character; every other character is itself.

Ours, because ``fnmatch`` becomes a regular expression that tries again and again: one of 16 KB held the loop a minute.
"""

from collections.abc import Collection
from functools import lru_cache

MOST = 64
"""Patterns of one destination."""

LONGEST = 256
"""Characters of one pattern: no event is longer."""


def unreadable(patterns: Collection[str]) -> str | None:
    """Return what is wrong with the patterns, or None. It quotes none of them: a stranger wrote them."""
    if len(patterns) > MOST:
        return f"{len(patterns)} patterns, at most {MOST}"
    for place, pattern in enumerate(patterns):
        if len(pattern) > LONGEST:
            return f"pattern {place} has {len(pattern)} characters, at most {LONGEST}"
        # It was a set of characters once. Taken for itself now, the pattern would silently match nothing any more.
        if "[" in pattern:
            return f"pattern {place} has a [: only * and ? stand for something else"
    return None


@lru_cache(maxsize=4096)
def matches(pattern: str, text: str) -> bool:
    """Whether the whole ``text`` is as ``pattern`` says, letter case included.

    One step for each character of ``text``, whatever the pattern is: all places that may have been reached in it are
    kept at once, each a bit of one number, so there is nothing to try again.
    """
    takes, stays, end = _places(pattern)
    reached = 1
    for letter in text:
        reached = (reached & takes.get(letter, takes["?"])) << 1 | reached & stays
        if not reached:
            return False
    return reached & end != 0


def _places(pattern: str) -> tuple[dict[str, int], int, int]:
    """By letter the places that take it (``?``: that take any), those where a ``*`` stands, and the end."""
    takes, stays, place = {"?": 0}, 0, 1
    for letter in pattern:
        if letter == "*":
            stays |= place
        else:
            takes[letter] = takes.get(letter, 0) | place
            place <<= 1
    anything = takes["?"]
    return {letter: places | anything for letter, places in takes.items()}, stays, place
