"""Make the text part from the HTML part, for templates without a text part: line by line, with the links.

No library, because those for it are a third as large as all dependencies of the worker, and bring an HTTP client.
"""

import re
from collections import Counter, deque
from contextlib import suppress
from html.parser import HTMLParser

from notification_sender.render.markup import cut_unended

_UNSEEN = frozenset({"head", "style", "script", "template", "svg", "math", "object", "iframe"})
_APART = frozenset({"p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "dl", "blockquote", "pre", "table", "hr"})
_LINES = frozenset(
    {"div", "tr", "li", "dt", "dd", "section", "article", "header", "footer", "main", "nav", "aside", "address"}
    | {"caption", "figure", "figcaption", "center", "form", "fieldset", "tbody", "thead", "tfoot", "body"}
)
_CELLS = frozenset({"td", "th"})
_EMPTY = frozenset({"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "wbr"})
_HIDDEN = re.compile(r"(?:^|;)\s*(?:display\s*:\s*none|visibility\s*:\s*hidden|mso-hide\s*:\s*all)", re.IGNORECASE)
_LINK = re.compile(r"(?:https?://|mailto:|tel:)", re.IGNORECASE)


def plain(html: str) -> str:
    """Return the text of a page: two spaces between cells, ``- `` before items, links as ``text (link)``.

    Elements that an attribute or their own style hides are left out. Faulty HTML is no error.
    """
    page = _Page()
    with suppress(AssertionError):  # for a declaration that Python does not know: the text before it is kept
        page.feed(cut_unended(html))
        page.close()
    return page.text()


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self._written: list[str] = []
        self._gap = 0
        self._space = ""
        self._item = False
        self._unseen: list[str] = []
        self._unseen_names: Counter[str] = Counter()
        self._verbatim = 0
        self._links: deque[tuple[str, int]] = deque(maxlen=1)  # links do not nest

    def text(self) -> str:
        return "".join(self._written) + "\n" if self._written else ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self._unseen or tag in _UNSEEN or "hidden" in given or _HIDDEN.search(given.get("style") or ""):
            if tag not in _EMPTY:
                self._unseen.append(tag)
                self._unseen_names[tag] += 1
        else:
            self._part(tag)
            self._begin(tag, given)

    def _begin(self, tag: str, given: dict[str, str | None]) -> None:
        match tag:
            case "li":
                self._write("-")
                self._item, self._space = True, " "
            case "hr":
                self._write("---")
                self._part(tag)
            case "br":
                self._gap = min(self._gap + 1, 2)
            case "img":
                self._words(f" {given.get('alt') or ''} ")
            case "pre":
                self._verbatim += 1
            case "a":
                self._links.append(("".join((given.get("href") or "").split()), len(self._written)))

    def handle_endtag(self, tag: str) -> None:
        if self._unseen:
            self._see_again(tag)
            return
        self._item = self._item and tag != "li"
        self._part(tag)
        if tag == "pre":
            self._verbatim = max(self._verbatim - 1, 0)
        elif tag == "a" and self._links:
            link, start = self._links.pop()
            shown = "".join(self._written[start:]).strip()
            if _LINK.match(link) and shown not in {link, link.partition(":")[2]}:
                self._space = self._space or " "
                self._write(f"({link})" if shown else link)

    def handle_data(self, data: str) -> None:
        if self._unseen:
            return
        if not self._verbatim:
            self._words(data)
            return
        for number, line in enumerate(data.splitlines()):
            self._gap = max(self._gap, min(number, 1))
            self._write(line.rstrip())

    def _see_again(self, tag: str) -> None:
        """End the innermost hidden element of that name, and all elements within it."""
        while self._unseen_names[tag]:
            last = self._unseen.pop()
            self._unseen_names[last] -= 1
            if last == tag:
                return

    def _part(self, tag: str) -> None:
        """End a line before and after an element, but not between an item's dash and its first words."""
        if self._item:
            return
        if tag in _APART:
            self._gap = 2
        elif tag in _LINES:
            self._gap = max(self._gap, 1)
        elif tag in _CELLS:
            self._space = "  "

    def _words(self, text: str) -> None:
        """Write words with one space between them, however the source spaces them."""
        words = text.split()
        if not words or text[:1].isspace():
            self._space = self._space or " "
        if words:
            self._write(" ".join(words))
            self._space = " " if text[-1:].isspace() else ""

    def _write(self, text: str) -> None:
        if self._written:
            self._written.append("\n" * self._gap or self._space)
        self._written.append(text)
        self._gap, self._space, self._item = 0, "", False
