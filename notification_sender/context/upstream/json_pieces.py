"""Reads a long JSON text in pieces, because a JSON reader in C blocks the event loop until it has finished.

8 MB of usual JSON block the loop for 50 ms, and 8 MB of small lists for 1 s. So a long text is cut at the commas of its
own lists and objects. Each piece is read by itself, and other tasks run between two pieces.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from notification_sender.checkpoint import STRETCH

PIECE = 64 * 1024
"""Bytes of a piece at most. To read one takes 5 ms if it consists of brackets alone."""

Read = Callable[[bytes], Any]

MOST = 500_000
"""Lists and objects in one text at most: their map takes 8 MB. Freeing a larger map blocks the loop for 0.2 s."""

_CLOCK_INTERVAL = 256
"""Marks between two checks of the clock."""

_WINDOW = 4 * PIECE
"""Bytes that are searched for marks without a pause, in 5 ms."""

# A mark is a character with a meaning outside strings, or a text to skip at once: a short string, or a short list or
# object without nested ones. Most parts of a long answer are such. The quantifiers are possessive: no backtracking.
_SHORT = rb'(?:[^][{}"]{1,256}+|"[^"\\]{0,256}+"){0,64}+'
_MARK = re.compile(rb'"(?:[^"\\]{0,256}+")?+|\{' + _SHORT + rb"\}|\[" + _SHORT + rb"\]|[][{},]")
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_NAME = re.compile(rb'\s*+("(?:[^"\\]++|\\.)*+")\s*+:\s*+', re.DOTALL)
_COMMA, _QUOTE, _LIST, _OBJECT = b',"[{'
_CLOSED_BY = {_LIST: ord("]"), _OBJECT: ord("}")}
_BLANKS = b" \t\n\r"


class Unbalanced(ValueError):
    """The text is not JSON."""


class TooMuch(ValueError):
    """The text is too deep, or has too many lists and objects; ``str()`` says which."""


async def read_in_pieces(body: bytes, read: Read, deepest: int) -> Any:
    """Return the value of a text. ``read`` gets one list or object at a time, and returns its value.

    Raises:
        Unbalanced, TooMuch: faults of the whole text. Errors of ``read`` are passed on.

    """
    text, clock = _Text(body, read, deepest), asyncio.get_running_loop().time
    since, looked = clock(), count(1)
    for start, end in _marks(body):
        long = start == end or text.take(start, end)
        if (long or next(looked) % _CLOCK_INTERVAL == 0) and clock() - since >= STRETCH:
            await asyncio.sleep(0)
            since = clock()
    return text.end()


def _marks(body: bytes) -> Iterator[tuple[int, int]]:
    """Yield start and end of each mark, and an empty one after many bytes, so that the caller checks the clock."""
    at, size = 0, len(body)
    while at < size:
        until = at + _WINDOW
        for mark in _MARK.finditer(body, at, until):
            start, end = mark.span()
            if body[start] != _QUOTE:
                yield start, end
            elif end - start == 1:
                at = end
                break
        else:
            at = until
            yield at, at
            continue
        while at < size and body[at] != _QUOTE:
            # A backslash at the very end escapes nothing.
            at = max(_IN_STRING.match(body, at, at + _WINDOW).end(), at + (at + 1 == size))  # type: ignore[union-attr]
            yield at, at
        at += 1


class _Container:
    """A list or an object that is still open. It gets a ``value`` once it is too long to be part of one piece."""

    __slots__ = ("comma", "fresh", "kind", "start", "value")

    def __init__(self, kind: int, start: int) -> None:
        self.kind = kind
        self.start = start
        """The place of its first member."""
        self.comma = -1
        """The place of the last comma between its members."""
        self.fresh = True
        """No member was read so far, and no comma was passed."""
        self.value: Any = None

    def add(self, text: bytes, read: Read, *, last: bool) -> None:
        """Read members, with the commas between them, and add them to the value."""
        found = read(b"[" + text + b"]" if self.kind == _LIST else b"{" + text + b"}")
        if not found and found is not None and not (last and self.fresh):
            raise Unbalanced("a comma with nothing beside it")
        self.fresh = False
        if found and self.kind == _LIST:
            self.value += found
        elif found:
            self.value.update(found)

    def open(self, head: bytes, child: "_Container", read: Read) -> None:
        """Add an open ``child``. ``head`` is the text before it: blanks, or the name of a field."""
        self.fresh = False
        child.value = [] if child.kind == _LIST else {}
        if self.kind == _LIST and not head.strip(_BLANKS):
            self.value.append(child.value)
        elif self.kind == _OBJECT and (name := _NAME.fullmatch(head)):
            self.value |= dict.fromkeys(read(b"[" + name[1] + b"]") or (), child.value)
        else:
            raise Unbalanced("a container where there can be none")


class _Text:
    """The state of the reading. An imagined list around the text takes its value, so that extra commas are found."""

    def __init__(self, body: bytes, read: Read, deepest: int) -> None:
        self._body = body
        self._read = read
        self._deepest = deepest
        self._root = _Container(_LIST, 0)
        self._root.value = []
        self._open = [self._root]
        self._containers = 0
        self._long = 1
        """The number of open containers that have a value."""
        self._from = 0
        """The place from which on the innermost container with a value is not read yet."""
        self._ended = False
        """Whether a container with a value ended at ``_from``: a comma or another end must follow."""

    def take(self, start: int, end: int) -> bool:
        """Process a mark. Return whether a piece was read."""
        body = self._body
        kind = body[start]
        if kind == _COMMA:
            self._comma(start)
        elif kind in _CLOSED_BY:
            self._begin(kind, start, end)
        else:
            return self._close(kind, start)
        return end - self._from > PIECE and self._cut()

    def end(self) -> Any:
        if len(self._open) > 1:
            raise Unbalanced("it ends too early")
        self._finish(self._root, len(self._body))
        if len(self._root.value) > 1:
            raise Unbalanced("more than one value")
        return self._root.value[0] if self._root.value else None

    def _begin(self, kind: int, start: int, end: int) -> None:
        if len(self._open) > self._deepest:
            raise TooMuch(f"nested deeper than {self._deepest}")
        self._containers += 1
        if self._containers > MOST:
            raise TooMuch(f"more than {MOST} lists and objects")
        if end - start == 1:
            self._open.append(_Container(kind, end))

    def _comma(self, at: int) -> None:
        self._open[-1].comma = at
        if self._ended and len(self._open) == self._long:
            self._nothing_until(at)
            self._ended = False
            self._from = at + 1

    def _close(self, kind: int, at: int) -> bool:
        closed = self._open.pop()
        if _CLOSED_BY[closed.kind] != kind or not self._open:
            raise Unbalanced("an end of something else")
        if closed.value is None:
            return False
        self._finish(closed, at)
        self._long -= 1
        self._from, self._ended = at + 1, True
        return True

    def _finish(self, container: _Container, at: int) -> None:
        if self._ended:
            self._nothing_until(at)
        else:
            container.add(self._body[self._from : at], self._read, last=True)

    def _nothing_until(self, at: int) -> None:
        if self._body[self._from : at].strip(_BLANKS):
            raise Unbalanced("a value right after another")

    def _cut(self) -> bool:
        """Read the complete members so far. Without any, give the next open container a value, to cut it later."""
        long = self._open[self._long - 1]
        if self._ended:
            return False
        if long.comma >= self._from:
            long.add(self._body[self._from : long.comma], self._read, last=False)
            self._from = long.comma + 1
            return True
        if len(self._open) > self._long:
            child = self._open[self._long]
            long.open(self._body[self._from : child.start - 1], child, self._read)
            self._long += 1
            self._from = child.start
        return False
