"""A proxy that breaks things: between workers and one service, faithful until it is told otherwise.

``async with Proxy(port, Redis) as proxy:`` workers connect to ``proxy.port``. Knobs and verbs act on everything that
passes; a rule acts on one thing: ``proxy.when(asked("claim", ":unit:", nth=3), kill(worker))``.
"""

import asyncio
import random
import socket
import struct
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Protocol, Self

from notification_sender.sandbox.serving import accept_no_more
from tests.services.program import HOST

CHUNK = 65_536


@dataclass(frozen=True, slots=True, kw_only=True)
class Passing:
    """What passes as a whole: a command or its reply, a frame with its content, any piece of another stream.

    ``about`` has everything that tells it from others of its name; a reply knows what it is the reply to.
    """

    asked: bool
    name: str
    about: tuple[str, ...]
    raw: bytes
    twice: Callable[[], bytes] | None = None
    """The bytes that have it happen twice, where repeating it is not enough."""


class Conversation(Protocol):
    """What one connection says, understood; each side in the order in which it is passed on."""

    def asked(self, data: bytes) -> Iterator[Passing]: ...

    def replied(self, data: bytes) -> Iterator[Passing]: ...


class Stream:
    """Bytes that nobody understands: HTTP, SMTP. Each piece is called ``bytes``."""

    def asked(self, data: bytes) -> Iterator[Passing]:
        yield Passing(asked=True, name="bytes", about=(text(data),), raw=data)

    def replied(self, data: bytes) -> Iterator[Passing]:
        yield Passing(asked=False, name="bytes", about=(text(data),), raw=data)


def text(data: bytes) -> str:
    return data.decode("utf-8", "replace")


class Pieces:
    """Cuts a stream: ``end`` says where the piece that begins at a place ends, None while that is not there yet."""

    def __init__(self, end: Callable[[bytes, int], int | None]) -> None:
        self._end = end
        self._left = b""

    def cut(self, data: bytes) -> list[bytes]:
        data, pieces, at = self._left + data, [], 0
        while at < len(data) and (end := self._end(data, at)) is not None and end <= len(data):
            pieces.append(data[at:end])
            at = end
        self._left = data[at:]
        return pieces


# --- rules: one thing that passes, and what becomes of it ---------------------------------------------------------

Verb = Callable[[Passing], Awaitable[bytes]]
"""What is passed on instead. A ``Cut`` ends the connection: neither this nor anything after it is passed on."""


class Cut(ConnectionAbortedError):
    """Reset both sides."""


@dataclass(frozen=True, slots=True)
class Sight:
    """The ``nth`` thing of this name whose ``about`` has all of these words, from then on each if ``every``."""

    asked: bool
    name: str
    words: tuple[str, ...]
    nth: int
    every: bool

    def fits(self, passing: Passing) -> bool:
        if (passing.asked, passing.name) != (self.asked, self.name):
            return False
        return all(any(word in part for part in passing.about) for word in self.words)


def asked(name: str, *words: str, nth: int = 1, every: bool = False) -> Sight:
    """From a worker; the verb acts before the service has it."""
    return Sight(True, name, words, nth, every)  # noqa: FBT003 - the side


def replied(name: str, *words: str, nth: int = 1, every: bool = False) -> Sight:
    """From the service, which has done it; the verb acts before the worker knows."""
    return Sight(False, name, words, nth, every)  # noqa: FBT003 - the side


@dataclass(slots=True)
class Rule:
    """``await rule.happened.wait()``; ``at`` is when it did, in seconds since the epoch."""

    sight: Sight
    verb: Verb
    seen: int = 0
    at: float = 0.0
    happened: asyncio.Event = field(default_factory=asyncio.Event)

    def counts(self, passing: Passing) -> bool:
        """Whether it is this one's turn."""
        if not self.sight.fits(passing):
            return False
        self.seen += 1
        return self.seen == self.sight.nth or (self.sight.every and self.seen > self.sight.nth)

    async def act(self, passing: Passing) -> bytes:
        self.at = self.at or time.time()
        try:
            return await self.verb(passing)
        finally:
            self.happened.set()


class Victim(Protocol):
    """A process that may be ended or stopped at what passes: ``e2e.fleet.Worker``."""

    def kill(self) -> None: ...

    def freeze(self) -> None: ...

    async def ended(self) -> int: ...


def kill(victim: Victim) -> Verb:
    """SIGKILL: it is over before anything else passes."""

    async def verb(_: Passing) -> bytes:
        victim.kill()
        await victim.ended()
        raise Cut

    return verb


def freeze(victim: Victim) -> Verb:
    """SIGSTOP, then pass it on: the process finds it when it goes on."""

    async def verb(passing: Passing) -> bytes:
        victim.freeze()
        return passing.raw

    return verb


async def drop(_: Passing) -> bytes:
    return b""


async def reset(_: Passing) -> bytes:
    """Of a reply: it was done, and nobody is told."""
    raise Cut


async def duplicate(passing: Passing) -> bytes:
    return passing.twice() if passing.twice else 2 * passing.raw


async def hang(_: Passing) -> bytes:
    """It never comes, nor anything behind it."""
    return await asyncio.get_running_loop().create_future()


# --- the proxy ----------------------------------------------------------------------------------------------------


class Proxy:
    """Knobs, for both ways.

    ``latency`` and ``jitter`` in seconds, ``rate`` in bytes a second, ``slice`` in bytes a write; ``target``: the port
    that the next connections lead to. ``dialled``: how many there were.
    """

    def __init__(self, target: int, speaks: Callable[[], Conversation] = Stream) -> None:
        self.latency = 0.0
        self.jitter = 0.0
        self.rate: float | None = None
        self.slice = CHUNK
        self.target = target
        self.dialled = 0
        self._speaks = speaks
        self._rules: list[Rule] = []
        self._lines: dict[asyncio.Task[None], tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = {}
        self._said_all: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()
        self.made = 0
        """Connections so far."""

    @property
    def connections(self) -> int:
        """That are open."""
        return len(self._lines)

    def when(self, sight: Sight, verb: Verb) -> Rule:
        """From now on."""
        rule = Rule(sight, verb)
        self._rules.append(rule)
        return rule

    def hang(self) -> None:
        """Nothing passes, no connection ends, until ``resume``."""
        self._flowing.clear()

    def resume(self) -> None:
        self._flowing.set()

    def reset(self) -> None:
        """Every connection, as by a firewall that forgot it."""
        for writers in self._lines.values():
            for writer in writers:
                abort(writer)

    def half_close(self) -> None:
        """The service says no more, and still listens."""
        for to_worker, _ in self._lines.values():
            to_worker.write_eof()
            self._said_all.add(to_worker)

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, HOST, 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await accept_no_more(self._server)
        self._server.close()
        lines = list(self._lines)
        for line in lines:
            line.cancel()
        await asyncio.gather(*lines, return_exceptions=True)

    async def _serve(self, worker: asyncio.StreamReader, to_worker: asyncio.StreamWriter) -> None:
        self.dialled += 1
        try:
            service, to_service = await asyncio.open_connection(HOST, self.target)
        except OSError:
            abort(to_worker)
            return
        line = asyncio.current_task()
        assert line is not None
        self._lines[line] = (to_worker, to_service)
        self.made += 1
        try:
            await self._carry_both(worker, to_service, service, to_worker)
        except asyncio.CancelledError:
            pass  # by us, at the end: the server would complain
        finally:
            del self._lines[line]
            for writer in (to_worker, to_service):
                abort(writer)

    async def _carry_both(
        self,
        worker: asyncio.StreamReader,
        to_service: asyncio.StreamWriter,
        service: asyncio.StreamReader,
        to_worker: asyncio.StreamWriter,
    ) -> None:
        """Until both sides have ended, or one of them is lost."""
        conversation = self._speaks()
        try:
            async with asyncio.TaskGroup() as both:  # noqa: TID251 - has no deadline after it
                both.create_task(self._carry(worker, to_service, conversation.asked))
                both.create_task(self._carry(service, to_worker, conversation.replied))
        except* OSError:
            pass

    async def _carry(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        understand: Callable[[bytes], Iterator[Passing]],
    ) -> None:
        """One direction. Two tasks, so that what is under way does not delay what comes behind it."""
        under_way: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(1024)
        async with asyncio.TaskGroup() as group:  # noqa: TID251 - has no deadline after it
            group.create_task(self._read(reader, under_way))
            group.create_task(self._write(writer, under_way, understand))

    async def _read(self, reader: asyncio.StreamReader, under_way: "asyncio.Queue[tuple[float, bytes]]") -> None:
        data = b"before the first"
        while data:
            data = await reader.read(CHUNK)
            await under_way.put((time.monotonic() + self.latency + self.jitter * random.random(), data))

    async def _write(
        self,
        writer: asyncio.StreamWriter,
        under_way: "asyncio.Queue[tuple[float, bytes]]",
        understand: Callable[[bytes], Iterator[Passing]],
    ) -> None:
        while True:
            due, data = await under_way.get()
            await asyncio.sleep(due - time.monotonic())
            await self._flowing.wait()
            if not data:
                writer.write_eof()
                return
            for passing in understand(data):
                await self._pass_on(writer, await self._judge(passing))

    async def _judge(self, passing: Passing) -> bytes:
        acting = [rule for rule in self._rules if rule.counts(passing)]
        return await acting[0].act(passing) if acting else passing.raw

    async def _pass_on(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        size = self.slice if self.rate is None else min(self.slice, max(1, int(self.rate / 20)))
        for start in range(0, len(data), size):
            piece = data[start : start + size]
            await asyncio.sleep(len(piece) / self.rate if self.rate else 0)
            await self._flowing.wait()
            if writer not in self._said_all:
                writer.write(piece)
                await writer.drain()


def abort(writer: asyncio.StreamWriter) -> None:
    """RST instead of FIN: with this option there is nothing left to linger for."""
    connection = writer.get_extra_info("socket")
    if connection is not None and connection.fileno() != -1:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
