"""The text of an HTML part, for templates that write none: what the page says, line by line, with its links.

Ours, because the libraries for it weigh a third of all that the worker needs, and bring an HTTP client of their own.
"""

import re
from html.parser import HTMLParser

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
    """What a reader without HTML reads: cells two spaces apart, ``- `` before items, ``text (link)``.

    What is hidden by an attribute or a style of its own is left out. No fault of HTML is one here; it had better have
    none, for what never ends may be read again from each of its beginnings.
    """
    page = _Page()
    page.feed(html)
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
        self._verbatim = 0
        self._links: list[tuple[str, int]] = []

    def text(self) -> str:
        return "".join(self._written) + "\n" if self._written else ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self._unseen or tag in _UNSEEN or "hidden" in given or _HIDDEN.search(given.get("style") or ""):
            if tag not in _EMPTY:
                self._unseen.append(tag)
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
        """Left open by mistake or not: the innermost of that name ends, and all within it."""
        for place in reversed(range(len(self._unseen))):
            if self._unseen[place] == tag:
                del self._unseen[place:]
                return

    def _part(self, tag: str) -> None:
        """A line ends, before an element and after it; not between an item's dash and its first words."""
        if self._item:
            return
        if tag in _APART:
            self._gap = 2
        elif tag in _LINES:
            self._gap = max(self._gap, 1)
        elif tag in _CELLS:
            self._space = "  "

    def _words(self, text: str) -> None:
        """Words with one space between them, wherever in the source they stand."""
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
