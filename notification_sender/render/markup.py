"""Check that two libraries can read an HTML page: one inlines its styles, the other makes plain text of it.

Elements that are never closed are dangerous. The inliner walks the tree by recursion: from 8,000 levels on it ended the
process with a segmentation fault. It also repeats open formatting in every paragraph.
"""

import re
from collections import Counter

MAX_OPEN = 256
"""Elements that are open at once. Nested tables, as emails have them, reach 30."""

MAX_ELEMENTS = 10_000
"""Of a page, including those that a parser adds: it repeats open formatting in each paragraph."""

LONGEST_TAG = 16 * 1024
"""Characters of a tag and its attributes. A parser compares each attribute with all before it."""

MAX_MARKS = 4 * MAX_ELEMENTS
"""Occurrences of ``<``: an element and its end are two. Comments, and text that looks like a tag, count as well."""

MAX_STYLED = 500_000
"""Style rules times elements. The inliner tries each rule at each element, which takes 30 to 140 ns."""

_FEW, _SOME = 500, 2000
"""Elements that are fast to read where about as many end: in any order, and with little formatting."""

_UNENDED = 100

# Tags as in the HTML Living Standard, 13.2.5. Possessive, so that an endless tag is not read again and again.
_ATTRIBUTE = r"""=?[^\s/>=]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s>"'][^\s>]*+)?)?+"""
_TAG = re.compile(rf"<(/?)([a-zA-Z][^\s/>]*+)((?>[\s/]++|{_ATTRIBUTE})*+)>")
_STYLES = re.compile(r"<style[^>]*+>[^<]*+", re.IGNORECASE)
_COMMENT_ENDS = re.compile(r"--!?>")

_VOID = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
_ENDS_BY_ITSELF = frozenset(
    {"html", "head", "body", "p", "li", "dt", "dd", "tr", "td", "th", "thead", "tbody", "tfoot", "colgroup", "option"}
)
_FORMATTING = ("a", "b", "big", "code", "em", "font", "i", "nobr", "s", "small", "strike", "strong", "tt", "u")
_FORMATS = re.compile(rf"<(?:{'|'.join(_FORMATTING)})[\s/>]", re.IGNORECASE)
_RAW = frozenset({"style", "title", "textarea", "xmp", "iframe", "noembed", "noframes"})
_OTHERWISE = frozenset({"script", "svg", "math", "template", "select", "frameset", "plaintext"})
"""Other parsing rules hold within these. From the first of them on, the check ignores end tags."""


class Unreadable(Exception):
    """The page exceeds a bound. ``str()`` names the bound."""


def check(html: str) -> None:
    """Check a page in one pass. A page with few elements and short tags needs no pass.

    Raises:
        Unreadable: the page exceeds a bound of this module.

    """
    ends = html.count("</")
    begins = html.count("<") - ends
    if begins + ends > MAX_MARKS:
        raise Unreadable(f"more than {MAX_MARKS} tags and comments")
    rules = sum(it.count("{") for it in _STYLES.findall(html))
    if rules * begins > MAX_STYLED:
        raise Unreadable(f"{rules} rules of style for {begins} elements, at most {MAX_STYLED} in all")
    simple = begins <= _FEW or (begins <= _SOME and len(_FORMATS.findall(html)) <= _UNENDED)
    if not simple or begins - ends > _UNENDED or _has_long_tag(html):
        _Reader(html).read()


def cut_unended(html: str) -> str:
    """Cut a page before the first tag or comment that never ends.

    No browser shows the rest either. Python's parser would read the rest again from each ``<`` in it.
    """
    place = html.find("<")
    while place >= 0:
        end = _end(html, place)
        if end is None or end - place > LONGEST_TAG:
            return html[:place]
        place = html.find("<", end)
    return html


def _end(html: str, place: int) -> int | None:
    """Find the end of the tag or comment at ``place``; None: it never ends; ``place + 1``: it is neither."""
    if html.startswith("<!--", place):
        if html.startswith((">", "->"), place + 4):
            return place + 4
        ends = _COMMENT_ENDS.search(html, place + 4)
        return ends.end() if ends else None
    tag = _TAG.match(html, place)
    if tag is not None:
        return tag.end()
    first, second = html[place + 1 : place + 2], html[place + 2 : place + 3]
    if first in {"!", "?"} or (first == "/" and not second.isalpha()):
        end = html.find(">", place)
        return end + 1 if end >= 0 else None
    return None if first == "/" or first.isalpha() else place + 1


def _has_long_tag(html: str) -> bool:
    """Whether a tag may be too long: so many characters without a ``<``."""
    return len(html) > LONGEST_TAG and max(map(len, html.split("<"))) > LONGEST_TAG


class _Reader:
    def __init__(self, html: str) -> None:
        self._html = html
        self._open: Counter[str] = Counter()
        self._depth = self._formatting = self._elements = 0
        self._trusts_ends = True

    def read(self) -> None:
        place = self._html.find("<")
        while place >= 0:
            place = self._html.find("<", self._step(place))

    def _step(self, place: int) -> int:
        """Read the tag or comment at ``place`` and return its end."""
        end = _end(self._html, place)
        if end is None:
            end = len(self._html)
        tag = _TAG.match(self._html, place)
        if (tag or self._html[place + 1 : place + 2].isalpha()) and end - place > LONGEST_TAG:
            raise Unreadable(f"a tag of more than {LONGEST_TAG} characters")
        if tag is None:
            return end
        name = tag[2].lower()
        if tag[1]:
            self._ended(name)
            return end
        self._begun(name)
        return self._after_raw(name, end) if name in _RAW else end

    def _after_raw(self, name: str, place: int) -> int:
        ends = re.compile(rf"</{name}[\s/>]", re.IGNORECASE).search(self._html, place)
        return ends.start() if ends else len(self._html)

    def _begun(self, name: str) -> None:
        self._elements += 1 + self._formatting
        if self._elements > MAX_ELEMENTS:
            raise Unreadable(f"more than {MAX_ELEMENTS} elements")
        self._trusts_ends = self._trusts_ends and name not in _OTHERWISE
        if name in _VOID or name in _ENDS_BY_ITSELF:
            return
        self._open[name] += 1
        self._depth += 1
        self._formatting += name in _FORMATTING
        if self._depth > MAX_OPEN:
            raise Unreadable(f"more than {MAX_OPEN} elements open at once")

    def _ended(self, name: str) -> None:
        if self._trusts_ends and self._open[name]:
            self._open[name] -= 1
            self._depth -= 1
            self._formatting -= name in _FORMATTING
