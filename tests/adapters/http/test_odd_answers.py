"""Answers whose status can be read, whatever comes with it; and connections that no answer may be left over on."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notification_sender.adapters.http.exchange import Answer
from notification_sender.adapters.http.raw_answer import MAX_HEAD_BYTES, MAX_HEADERS, raw_answer
from notification_sender.adapters.http.transport import AiohttpTransport
from notification_sender.model.errors import Sent, TransportError
from tests.patience import patience, patient
from tests.services.listening import serving

PUSHED = b"HTTP/1.1 299 Pushed\r\ncontent-length: 0\r\n\r\n"
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"


@dataclass
class Talker:
    """Says these pieces, each answer to one request. ``closes``: after an answer, and not when the client does."""

    answers: list[list[bytes]]
    closes: bool = False
    port: int = 0
    connections: int = 0
    requests: int = 0
    said: asyncio.Event = field(default_factory=asyncio.Event)

    async def take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                self.requests += 1
                for piece in self.answers.pop(0):
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)  # so that they come one by one, if only mostly
                self.said.set()
                if self.closes:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def asked(self, transport: AiohttpTransport, method: str = "GET", **options: float) -> Answer:
        return await transport.exchange(method, f"http://127.0.0.1:{self.port}/", [], b"", **options)  # type: ignore[arg-type]


@asynccontextmanager
async def talking(*answers: list[bytes], closes: bool = False) -> AsyncIterator[Talker]:
    talker = Talker(list(answers), closes)
    async with serving(talker.take) as server:
        talker.port = server.sockets[0].getsockname()[1]
        yield talker


# --- a status that can be read counts -----------------------------------------------------------------------------

VERSIONS = st.sampled_from([b"HTTP/1.1", b"HTTP/1.1", b"HTTP/1.0", b"http/1.1", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/9.9"])
REASONS = st.sampled_from([b"", b" ", b" OK", b" 404 No", b" \xff\xfe", b"\tx", b" \0", b" " + b"long " * 20_000])
ENDS = st.sampled_from([b"\r\n", b"\r\n", b"\n", b"\r\r\n"])
NAMES = st.sampled_from([b"server", b"x y", b"", b"\xe9", b"x\0", b" x", b"content-length", b"transfer-encoding"])
VALUES = st.sampled_from(
    [b"", b"5", b"-1", b"5, 6", b"9" * 30, b"chunked", b"gzip, chunked", b"\0", b"a\rb", b"\xff", b"x" * 9000]
)
LINES = st.tuples(NAMES, st.sampled_from([b": ", b":", b"", b" : "]), VALUES).map(b"".join)
BODIES = st.binary(max_size=40) | st.sampled_from(
    [b"hello", b"5\r\nhello\r\n0\r\n\r\n", b"zz\r\nx", b"5\nhello\n0\n\n", b"x" * 9000, PUSHED, b"\r\n" * 50]
)
INTERIM = st.sampled_from([b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 \r\nlink: </a>\r\n\r\n" * 3])


@st.composite
def answers(draw: st.DrawFn) -> tuple[int, list[bytes]]:
    """A status line that can be read, and then anything, in pieces."""
    status = draw(st.integers(200, 999))
    line = b"%b %d%b" % (draw(VERSIONS), status, draw(REASONS))
    end = draw(ENDS)
    rest = [it + end for it in draw(st.lists(LINES, max_size=4))] * draw(st.sampled_from([1, 1, 1, 300]))
    whole = draw(INTERIM) + line + end + b"".join(rest) + draw(st.sampled_from([end, b""])) + draw(BODIES)
    cuts = sorted(draw(st.lists(st.integers(1, len(whole)), max_size=3)))
    return status, [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]


@settings(max_examples=3 * settings().max_examples // 2)
@given(answers(), st.sampled_from(["GET", "POST", "HEAD"]))
async def test_after_a_status_line_anything_may_follow_and_the_status_is_heard(
    answer: tuple[int, list[bytes]], method: str
) -> None:
    status, pieces = answer
    transport = AiohttpTransport(partial=True, deadline=patient(5))
    async with talking(pieces, closes=True) as talker, aclosing(transport):
        assert (await talker.asked(transport, method)).status == status


ODD = {
    "a 204 with a body": [b"HTTP/1.1 204 Taken\r\ncontent-length: 2\r\n\r\n{}"],
    "a length that is too short": [b"HTTP/1.1 410 Gone\r\ncontent-length: 5\r\n\r\nsch\xc3\xb6n"],
    "no length that counts": [b"HTTP/1.1 429 Later\r\nretry-after: 7\r\ncontent-length: -1\r\n\r\nx"],
    "two lengths": [b"HTTP/1.1 400 No\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nxy"],
    "a chunk of no length": [b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", b"zz\r\n"],
    "too many headers": [b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * (MAX_HEADERS + 1) + b"\r\n"],
    "a head that is too long": [b"HTTP/1.1 200 OK\r\na: " + b"x" * MAX_HEAD_BYTES, b"x" * MAX_HEAD_BYTES],
    "headers without an end": [b"HTTP/1.1 503 Busy\r\n" + b"a: b\r\n" * 100_000],
    "a status line without an end": [b"HTTP/1.1 200 " + b"x" * 2 * MAX_HEAD_BYTES],
    "an end that does not come": [b"HTTP/1.1 200 OK\r\ncontent-le"],
    "nothing but a status line": [b"HTTP/1.1 202\r\n"],
    "another protocol from then on": [b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n", b"\x81\x00"],
}


@pytest.mark.parametrize("pieces", ODD.values(), ids=ODD)
async def test_an_odd_answer_is_heard_and_its_connection_is_not_used_again(pieces: list[bytes]) -> None:
    transport = AiohttpTransport(partial=True, deadline=patient(0.5))
    async with talking(list(pieces), [OK]) as talker, aclosing(transport):
        status = int(pieces[0][9:12])
        assert (await talker.asked(transport)).status == status
        assert (await talker.asked(transport, deadline=patient(5))).status == 200
        assert (talker.connections, talker.requests) == (2, 2)


@pytest.mark.parametrize(
    "said",
    [
        *(b"220 mail.example ESMTP\r\n", b"ICY 200 OK\r\n\r\n", b"HTTP/1.1 20 No\r\n\r\n", b"HTTP/1.1 2000 No\r\n\r\n"),
        *(
            b"HTTP/1.1 2x0 No\r\n\r\n",
            b"HTTP/1.1 099 No\r\n\r\n",
            b"HTTP/1.1 200",
            b"HTTP 200 OK\r\n\r\n",
            b"200 OK\r\n",
        ),
        *(b"HTTP/1.1 103 Hints\r\n\r\n", b"HTTP/1.1 103 Hints\r\n\r\nHTTP/1.1 20", b"<html>HTTP/1.1 200 OK\r\n\r\n"),
        b"HTTP/1.1 103 Hints\r\n\r\n" * 20 + OK,
    ],
)
async def test_what_has_no_status_that_can_be_read_is_not_heard(said: bytes) -> None:
    transport = AiohttpTransport(partial=True, deadline=patient(5))
    async with talking([said], closes=True) as talker, aclosing(transport):
        with pytest.raises(TransportError) as caught:
            await talker.asked(transport)
    assert caught.value.sent is Sent.UNKNOWN


@pytest.mark.parametrize("size", [8_191, 30_000, 60_000])
async def test_a_head_within_its_limits_is_read_whole_and_its_connection_kept(size: int) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n%bset-cookie: %b\r\n\r\n" % (b"a: b\r\n" * 500, b"x" * size)
    async with talking([head], [head]) as talker, aclosing(AiohttpTransport()) as transport:
        for _ in range(2):
            answer = await talker.asked(transport)
            assert (answer.partial, len(answer.headers)) == (False, 502)
        assert talker.connections == 1


def test_what_is_read_of_an_odd_head_is_what_was_written_as_a_header() -> None:
    odd = b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 429 \xff\r\n"
    odd += b"Retry-After:\t7 \r\nx y: 1\r\nnone\r\n: 2\r\na:b:c\r\n\r\nlater\r\n\r\n"
    read = raw_answer(odd)
    assert read is not None
    assert (read.status, read.headers, read.body) == (429, [(b"Retry-After", b"7"), (b"a", b"b:c")], b"later\r\n\r\n")
    cut = raw_answer(b"HTTP/1.1 503 Busy\r\nserver: x\r\nretry-after: 12")
    assert cut is not None
    assert cut.headers == [(b"server", b"x")]  # it may have been 120


@given(st.binary(max_size=200) | answers().map(lambda it: b"".join(it[1])))
def test_any_bytes_are_an_answer_or_none(data: bytes) -> None:
    read = raw_answer(data)
    assert read is None or 101 <= read.status <= 999


# --- no answer is left over ---------------------------------------------------------------------------------------

FRAMED: list[Callable[[int], bytes]] = [
    lambda status: b"HTTP/1.1 %d A\r\ncontent-length: 2\r\n\r\nok" % status,
    lambda status: b"HTTP/1.1 %d A\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" % status,
    lambda status: b"HTTP/1.1 %d A\r\ncontent-length: 0\r\n\r\n" % status,
    lambda status: b"HTTP/1.1 103 A\r\n\r\nHTTP/1.1 %d A\r\ncontent-length: 2\r\n\r\nok" % status,
]
LEFT = st.sampled_from([b"", b"", b"\r\n", b"H", b"0\r\n\r\n", PUSHED, b"\r\n" + PUSHED, b"HTTP/1.1 100 A\r\n\r\n", OK])


@st.composite
def dialogues(draw: st.DrawFn) -> tuple[list[list[bytes]], int]:
    """Answers with the statuses 200, 201, …, and what is left over after each; how many connections that takes."""
    said, connections, clean = [], 0, False
    for number in range(draw(st.integers(2, 4))):
        left, cut = draw(LEFT), draw(st.booleans())
        whole = draw(st.sampled_from(FRAMED))(200 + number)
        pieces = [whole, *([left[: len(left) // 2], left[len(left) // 2 :]] if cut else [left])]
        said.append([it for it in pieces if it] if draw(st.booleans()) else [whole + left])
        connections += not clean
        clean = not left
    return said, connections


@settings(max_examples=3 * settings().max_examples // 2)
@given(dialogues())
async def test_what_is_left_over_is_never_the_answer_to_a_next_request(dialogue: tuple[list[list[bytes]], int]) -> None:
    said, connections = dialogue
    async with talking(*said) as talker, aclosing(AiohttpTransport(partial=True, deadline=patient(5))) as transport:
        for number in range(len(said)):
            talker.said.clear()
            assert (await talker.asked(transport)).status == 200 + number
            async with patience(20):
                await talker.said.wait()
        assert talker.connections == connections


async def test_an_answer_that_is_pushed_while_a_claim_is_looked_at_is_nobodys() -> None:
    push = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK)
        await push.wait()
        writer.write(PUSHED)
        gone.set()
        await reader.read()
        writer.close()

    gone = asyncio.Event()

    async def look() -> None:
        push.set()
        await gone.wait()

    async with serving(serve) as server, aclosing(AiohttpTransport()) as transport:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        await transport.exchange("POST", url, [], b"")
        with pytest.raises(TransportError) as caught:
            await transport.exchange("POST", url, [], b"", begin=look)
    assert caught.value.sent is Sent.NOTHING


async def test_what_a_server_says_before_it_is_asked_is_no_answer() -> None:
    said = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(PUSHED)
        said.set()
        await reader.read()
        writer.close()

    async def look() -> None:
        await said.wait()

    async with serving(serve) as server, aclosing(AiohttpTransport()) as transport:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(TransportError) as caught:
            await transport.exchange("POST", url, [], b"", begin=look)
    assert caught.value.sent is Sent.NOTHING
