"""What a worker and Redis say to each other: commands, scripts by the names of their files, replies in order."""

import re
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial

from notification_sender.adapters.redis.scripts import LUA_FOLDERS, Script, load
from tests.faults.proxy import Passing, Pieces, Proxy, asked, replied, text

EVALS = {b"EVAL", b"EVALSHA"}


def _digests() -> dict[bytes, str]:
    """Every script of the product: its own file, alone or behind the text that goes before each of its family."""
    stems = {file.stem for folder in LUA_FOLDERS for file in folder.glob("*.lua")}
    families = ((), *((head,) for head in stems))
    return {load(*head, name).digest.encode(): name for head in families for name in stems}


SCRIPTS = _digests()
UNKNOWN = "?"
"""A script that is not one of the files: the one by which a worker looks whether the server runs any."""

EVERY = {*SCRIPTS.values(), UNKNOWN}
SERVER_TIME = b"redis.call('TIME')"
FORGOTTEN = b"0" * 40
"""The digest of no script: the server asks for its text."""


class Redis:
    """A command is called by its name in capitals, a script by its own: ``claim``, ``admit``, ``settle``."""

    def __init__(self) -> None:
        self._commands, self._replies = Pieces(_end), Pieces(_end)
        self._unanswered: deque[Passing | None] = deque()

    def asked(self, data: bytes) -> Iterator[Passing]:
        for raw in self._commands.cut(data):
            name, *arguments = _words(raw)
            if name in EVALS:
                name, *arguments = _script(name, arguments[0]), *arguments[1:]
            about = tuple(map(text, arguments))
            command = Passing(asked=True, name=text(name), about=about, raw=raw, twice=partial(self._twice, raw))
            self._unanswered.append(command)
            yield command

    def replied(self, data: bytes) -> Iterator[Passing]:
        for raw in self._replies.cut(data):
            # To nothing: what a channel says that was subscribed to.
            command = self._unanswered.popleft() if self._unanswered else _MESSAGE
            if command is not None:
                yield Passing(asked=False, name=command.name, about=(*command.about, text(raw)), raw=raw)

    def _twice(self, raw: bytes) -> bytes:
        """Carried out twice, answered once: the first reply goes to nobody."""
        self._unanswered.insert(len(self._unanswered) - 1, None)
        return 2 * raw


_MESSAGE = Passing(asked=False, name="message", about=(), raw=b"")


def _script(command: bytes, which: bytes) -> bytes:
    digest = which if command == b"EVALSHA" else Script.of(text(which)).digest.encode()
    return SCRIPTS.get(digest, UNKNOWN).encode()


def _end(data: bytes, at: int) -> int | None:
    """Where the value ends that begins ``at``."""
    line = data.find(b"\r\n", at)
    if line < 0:
        return None
    end: int | None = line + 2
    if data[at : at + 1] == b"$":
        size = int(data[at + 1 : line])
        return line + 2 if size < 0 else line + 2 + size + 2
    if data[at : at + 1] == b"*":
        for _ in range(int(data[at + 1 : line])):
            if end is None or end >= len(data):
                return None
            end = _end(data, end)
    return end


def _words(command: bytes) -> list[bytes]:
    """Its parts: an array of strings."""
    words, at = [], command.index(b"\r\n") + 2
    while at < len(command):
        line = command.index(b"\r\n", at)
        size = int(command[at + 1 : line])
        words.append(command[line + 2 : line + 2 + size])
        at = line + 2 + size + 2
    return words


def _command(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in words)


# --- what a server may be besides slow or gone --------------------------------------------------------------------

PING, PONG = _command(b"PING"), b"+PONG\r\n"


def refusing(proxy: Proxy, why: str) -> Callable[[], None]:
    """From now on it runs no script, and says ``why``; until the answer is called."""
    over = False

    async def not_carried_out(passing: Passing) -> bytes:
        return passing.raw if over else PING

    async def refused(passing: Passing) -> bytes:
        return f"-{why}\r\n".encode() if passing.raw == PONG else passing.raw

    for name in EVERY:
        proxy.when(asked(name, every=True), not_carried_out)
        proxy.when(replied(name, every=True), refused)

    def end() -> None:
        nonlocal over
        over = True

    return end


def ahead(proxy: Proxy, seconds: int) -> None:
    """From now on its clock is so far ahead, or behind. What it keeps still ends by the true one."""
    said = b"(function() local t = redis.call('TIME') return {t[1] + %d, t[2]} end)()" % seconds

    async def on_that_clock(passing: Passing) -> bytes:
        verb, which, *rest = _words(passing.raw)
        if verb == b"EVALSHA":
            return _command(verb, FORGOTTEN, *rest)
        return _command(verb, which.replace(SERVER_TIME, said), *rest)

    async def by_that_clock(passing: Passing) -> bytes:
        return re.sub(rb"(?<=\$10\r\n)\d+", lambda it: b"%d" % (int(it[0]) + seconds), passing.raw, count=1)

    for name in EVERY:
        proxy.when(asked(name, every=True), on_that_clock)
    proxy.when(replied("TIME", every=True), by_that_clock)
