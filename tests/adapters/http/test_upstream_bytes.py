"""What an API may send us: each row of docs/reference/upstreams.md, over real connections."""

import asyncio
import gzip
import resource
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from notification_sender.adapters.http.transport import AiohttpTransport
from notification_sender.context.cache.facts import Kind, Wanted
from notification_sender.context.upstream.client import Upstream
from notification_sender.context.upstream.errors import BadAnswer, BadRecord, NotFound, Refused
from notification_sender.context.upstream.guard import Guard
from notification_sender.context.upstream.responses import Call
from notification_sender.model.errors import ContextUnavailable, NotificationSenderError
from tests.context.fakes import CountingSharedCache, LoopClock, cache_of, guard_of
from tests.faults.rows import row
from tests.patience import stretched

LIMIT = 8 * 1024 * 1024
DEADLINE = 1.0
BASELINE = 64 * 1024 * 1024

Say = Callable[[asyncio.StreamWriter], Awaitable[None]]


def head(status: int = 200, length: int | None = None, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} X", "content-type: application/json"]
    lines += [f"content-length: {length}"] if length is not None else ["connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def whole(status: int, body: bytes = b"{}", **headers: str) -> Say:
    async def say(to: asyncio.StreamWriter) -> None:
        to.write(head(status, len(body), **headers) + body)

    return say


def oddly(status: int, **headers: str) -> Say:
    """With two lengths, so that nobody knows where it ends."""

    async def say(to: asyncio.StreamWriter) -> None:
        to.write(head(status, 2, content_length="3", **headers) + b"{}\n")

    return say


async def hang(_: asyncio.StreamWriter) -> None:
    await asyncio.Event().wait()


async def drip(to: asyncio.StreamWriter) -> None:
    to.write(head(200, 1000))
    while True:
        to.write(b" ")
        await to.drain()
        await asyncio.sleep(0.05)


async def truncated(to: asyncio.StreamWriter) -> None:
    to.write(head(200, 1000) + b'{"a": 1')
    to.close()


async def gigabyte(to: asyncio.StreamWriter) -> None:
    to.write(head(200))
    for _ in range(1024):
        to.write(b"x" * 1024 * 1024)
        await to.drain()
    to.close()


BOMB = gzip.compress(b"0" * 200 * 1024 * 1024, 9)

ROWS = [
    ("401", whole(401), ContextUnavailable, "answered 401: our credentials are refused", 1, True),
    ("403", whole(403), ContextUnavailable, "answered 403: our credentials are refused", 1, True),
    ("404", whole(404), NotFound, "answered 404", 1, False),
    ("429", whole(429, retry_after="7"), ContextUnavailable, "answered 429", 1, True),
    ("500", whole(500), ContextUnavailable, "answered 500", 3, True),
    ("timeout", hang, ContextUnavailable, "no answer in {deadline:g} s", 1, True),
    ("drip feed", drip, ContextUnavailable, "no answer in {deadline:g} s", 1, True),
    ("truncated", truncated, ContextUnavailable, "broke off after 7 bytes", 3, True),
    ("HTML login page", whole(200, b"<html>Sign in</html>"), BadAnswer, "not JSON", 1, True),
    ("wrong type", whole(200, b"[]"), BadAnswer, "list where the contract says dict", 1, True),
    ("1 GB body", gigabyte, BadAnswer, f"longer than {LIMIT} bytes", 1, True),
    ("gzip bomb", whole(200, BOMB, content_encoding="gzip"), BadAnswer, "encoded, though we did not ask", 1, True),
    ("deep JSON", whole(200, b'{"a":' * 100_000 + b"1" + b"}" * 100_000), BadRecord, "nested deeper", 1, False),
    ("half a pair", whole(200, b'{"a": "\\ud83d"}'), BadRecord, "of inc: cannot be read: no low surrogate", 1, False),
    ("not UTF-8", whole(200, b'{"a": "\xff"}'), BadRecord, "of inc: cannot be read: str is not valid UTF-8", 1, False),
    ("NaN", whole(200, b'{"a": NaN}'), BadRecord, "of inc: cannot be read: unexpected character", 1, False),
    ("404, framed oddly", oddly(404), NotFound, "answered 404", 1, False),
    ("429, framed oddly", oddly(429, retry_after="7"), ContextUnavailable, "answered 429", 1, True),
    ("500, framed oddly", oddly(500), ContextUnavailable, "answered 500", 3, True),
    ("success, framed oddly", oddly(200), ContextUnavailable, "broke off after 3 bytes", 3, True),
    ("422", whole(422), Refused, "of inc answered 422", 1, False),
]


class Server:
    def __init__(self, say: Say) -> None:
        self._say = say
        self.requests = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                await self._say(writer)
        except (asyncio.IncompleteReadError, OSError):
            return  # it has gone
        finally:
            writer.transport.abort()


@asynccontextmanager
async def client(say: Say) -> AsyncIterator[tuple[Upstream, Server, Guard, list[Call]]]:
    server, clock, calls = Server(say), LoopClock(), list[Call]()
    tasks: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.create_task(server.serve(reader, writer)))

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    transport = AiohttpTransport(deadline=stretched(DEADLINE), max_bytes=LIMIT, partial=True)
    guard = guard_of("incidents", clock)
    url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    yield (
        Upstream(
            base_url=url,
            transport=transport,
            guard=guard,
            deadline=stretched(DEADLINE),
            max_bytes=LIMIT,
            observe=calls.append,
        ),
        server,
        guard,
        calls,
    )
    await transport.aclose()
    listening.close()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@row(50, "each answer of an API that is none: bytes, kept, tries")
@pytest.mark.parametrize(("kind", "say", "error", "words", "tries", "ill"), ROWS, ids=[it[0] for it in ROWS])
async def test_each_answer_has_its_class_its_tries_and_its_effect(
    kind: str, say: Say, error: type[NotificationSenderError], words: str, tries: int, *, ill: bool
) -> None:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    async with client(say) as (upstream, server, guard, calls):
        clock = LoopClock()
        shared = CountingSharedCache(clock)

        async def load(_: object) -> dict[str, object]:
            return {"inc": await upstream.get("/incidents/{}", "inc")}

        with pytest.raises(error, match=words.format(deadline=stretched(DEADLINE))):
            await cache_of(clock, shared).get(Wanted(Kind("1:t:incident", 60.0, 600.0), "acme", load), ["inc"])
        assert server.requests == len(calls) == tries
        assert shared.kept == {}
        assert bool(guard._circuit._breaker._failed or guard.out) is ill, kind
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < BASELINE


def test_every_row_stands_in_the_reference() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "upstreams.md").read_text()
    assert all(f"| {it[0]} |" in page for it in ROWS)
