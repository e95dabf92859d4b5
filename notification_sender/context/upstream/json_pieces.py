"""A long JSON text → its value, piece by piece: a reader in C cannot be interrupted, and nothing else runs meanwhile.

8 MB hold the loop for 50 ms as they usually are, and for a second where they are made of small lists. So a long text is
cut at the commas of its own containers, each piece is read by itself, and the loop is given up between two of them.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any

from notification_sender.checkpoint import STRETCH

PIECE = 64 * 1024
"""Bytes: a text of no more is read at once, in 5 ms where it consists of brackets alone."""

Read = Callable[[bytes], Any]

MOST = 500_000
"""Lists and objects in one text: their map takes 8 MB. To free a larger map at once would hold the loop for 0.2 s."""

_LOOK = 256
"""Marks between two looks at the clock."""

_WINDOW = 4 * PIECE
"""Bytes that are searched for marks at once: 5 ms."""

# What has a meaning outside of strings, and what can be passed over in one: a short string, a short list or object with
# nothing within, as nearly all in a long answer are. Possessive: nothing is looked at twice.
_SHORT = rb'(?:[^][{}"]{1,256}+|"[^"\\]{0,256}+"){0,64}+'
_MARK = re.compile(rb'"(?:[^"\\]{0,256}+")?+|\{' + _SHORT + rb"\}|\[" + _SHORT + rb"\]|[][{},]")
_IN_STRING = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_NAME = re.compile(rb'\s*+("(?:[^"\\]++|\\.)*+")\s*+:\s*+', re.DOTALL)
_COMMA, _QUOTE, _LIST, _OBJECT = b',"[{'
_CLOSED_BY = {_LIST: ord("]"), _OBJECT: ord("}")}
_BLANKS = b" \t\n\r"


class Unbalanced(ValueError):
    """The text is no JSON."""


class TooMuch(ValueError):
    """The text is too deep, or has too many lists and objects; ``str()`` says which."""


async def read_in_pieces(body: bytes, read: Read, deepest: int) -> Any:
    """The value of a text, of which ``read`` is given a list or an object at a time, and makes what it wants of them.

    Raises:
        Unbalanced, TooMuch: what only the whole can be; besides, whatever ``read`` raises.

    """
    text, clock = _Text(body, read, deepest), asyncio.get_running_loop().time
    since, looked = clock(), count(1)
    for start, end in _marks(body):
        long = start == end or text.take(start, end)
        if (long or next(looked) % _LOOK == 0) and clock() - since >= STRETCH:
            await asyncio.sleep(0)
            since = clock()
    return text.end()


def _marks(body: bytes) -> Iterator[tuple[int, int]]:
    """Where each begins and ends; after some bytes without one an empty one, to look at the clock."""
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
            # A backslash at the very end is nobody's.
            at = max(_IN_STRING.match(body, at, at + _WINDOW).end(), at + (at + 1 == size))  # type: ignore[union-attr]
            yield at, at
        at += 1


class _Container:
    """One that is open. ``value`` once it is known to be long: until then it is a part of a piece."""

    __slots__ = ("comma", "fresh", "kind", "start", "value")

    def __init__(self, kind: int, start: int) -> None:
        self.kind = kind
        self.start = start
        """Of its members."""
        self.comma = -1
        """The last one between its members."""
        self.fresh = True
        """Nothing of it was read so far, and no comma passed."""
        self.value: Any = None

    def add(self, text: bytes, read: Read, *, last: bool) -> None:
        """Members, with the commas between them."""
        found = read(b"[" + text + b"]" if self.kind == _LIST else b"{" + text + b"}")
        if not found and found is not None and not (last and self.fresh):
            raise Unbalanced("a comma with nothing beside it")
        self.fresh = False
        if found and self.kind == _LIST:
            self.value += found
        elif found:
            self.value.update(found)

    def open(self, head: bytes, child: "_Container", read: Read) -> None:
        """``child`` is a member; ``head`` is what stands before it."""
        self.fresh = False
        child.value = [] if child.kind == _LIST else {}
        if self.kind == _LIST and not head.strip(_BLANKS):
            self.value.append(child.value)
        elif self.kind == _OBJECT and (name := _NAME.fullmatch(head)):
            self.value |= dict.fromkeys(read(b"[" + name[1] + b"]") or (), child.value)
        else:
            raise Unbalanced("a container where there can be none")


class _Text:
    """How far it is read. All that is open stands in a list that is not there, so that a comma beside it is one."""

    def __init__(self, body: bytes, read: Read, deepest: int) -> None:
        self._body = body
        self._read = read
        self._deepest = deepest
        self._root = _Container(_LIST, 0)
        self._root.value = []
        self._open = [self._root]
        self._containers = 0
        self._long = 1
        """So many of those that are open have a value."""
        self._from = 0
        """What follows belongs to the innermost of these, and is not read."""
        self._ended = False
        """A long one ended right there: a comma must follow, or another end."""

    def take(self, start: int, end: int) -> bool:
        """A mark; whether something was read."""
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
        """Read what is whole by now; else the first that is open is long, and what is in it can be."""
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
