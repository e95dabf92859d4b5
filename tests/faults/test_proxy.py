"""What the proxy does to what passes, and that it understands it."""

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from notification_sender.adapters.redis.ledger import ADMIT, CLAIM
from tests.faults import proxy as verbs
from tests.faults.amqp import Amqp
from tests.faults.proxy import Passing, Proxy, asked, replied
from tests.faults.resp import Redis
from tests.patience import patience
from tests.services.program import HOST

Client = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@asynccontextmanager
async def through(proxy_at: Callable[[int], Proxy] = Proxy) -> AsyncIterator[tuple[Proxy, Client]]:
    """A client of a server that says everything again."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1000):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, HOST, 0)
    async with server, proxy_at(server.sockets[0].getsockname()[1]) as proxy:
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        yield proxy, (reader, writer)
        writer.close()


async def says(client: Client, word: bytes, within: float = 2.0) -> bytes:
    reader, writer = client
    writer.write(word)
    async with patience(within):
        return await reader.readexactly(len(word))


async def test_left_alone_it_passes_everything_on_and_the_end_too() -> None:
    async with through() as (_, client):
        assert await says(client, b"x" * 200_000) == b"x" * 200_000
        client[1].write_eof()
        assert await client[0].read() == b""


@pytest.mark.parametrize(("knob", "value"), [("latency", 0.1), ("rate", 50.0), ("slice", 1)])
async def test_its_knobs_slow_it_down_and_change_nothing(knob: str, value: float) -> None:
    async with through() as (proxy, client):
        setattr(proxy, knob, value)
        began = time.monotonic()
        assert await says(client, b"0123456789") == b"0123456789"
        assert time.monotonic() - began >= (0 if knob == "slice" else 0.2)


async def test_while_it_hangs_nothing_passes_and_nothing_ends() -> None:
    async with through() as (proxy, client):
        proxy.hang()
        with pytest.raises(TimeoutError):
            await says(client, b"word", within=0.2)
        proxy.resume()
        assert await client[0].readexactly(4) == b"word"


async def test_a_reset_is_one() -> None:
    async with through() as (proxy, (reader, writer)):
        assert await says((reader, writer), b"word") == b"word"
        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await reader.read()


async def test_after_a_half_close_the_service_still_listens() -> None:
    async with through() as (proxy, (reader, writer)):
        assert await says((reader, writer), b"word") == b"word"
        rule = proxy.when(asked("bytes"), verbs.drop)
        proxy.half_close()
        assert await reader.read() == b""
        writer.write(b"more")
        async with patience(2):
            await rule.happened.wait()


@pytest.mark.parametrize(
    ("sight", "verb", "heard"),
    [
        (asked("bytes", "two"), verbs.drop, b"one three"),
        (replied("bytes", "two"), verbs.drop, b"one three"),
        (asked("bytes", "two"), verbs.duplicate, b"one two two three"),
        (replied("bytes", nth=2), verbs.reset, b"one "),
    ],
)
async def test_a_rule_acts_on_one_thing_alone(
    sight: verbs.Sight, verb: Callable[[Passing], Awaitable[bytes]], heard: bytes
) -> None:
    async with through() as (proxy, client):
        rule, back = proxy.when(sight, verb), proxy.when(replied("bytes", every=True), _as_it_is)
        listening = asyncio.create_task(_heard(client[0]))
        for number, word in enumerate((b"one ", b"two ", b"three"), 1):
            client[1].write(word)
            async with patience(2):
                # Before it is through, another word could be of one piece with it.
                while back.seen < number and not rule.happened.is_set():  # noqa: ASYNC110 - only asked
                    await asyncio.sleep(0)
        client[1].write_eof()
        assert await listening == heard
        assert rule.happened.is_set()


async def _as_it_is(passing: Passing) -> bytes:
    return passing.raw


async def _heard(reader: asyncio.StreamReader) -> bytes:
    heard = b""
    try:
        while data := await reader.read(1000):
            heard += data
    except ConnectionResetError:
        pass
    return heard


def command(*words: str) -> bytes:
    said = [word.encode() for word in words]
    return b"*%d\r\n" % len(said) + b"".join(b"$%d\r\n%s\r\n" % (len(it), it) for it in said)


def test_scripts_have_their_names_and_a_reply_that_of_its_command() -> None:
    redis = Redis()
    said = command("EVALSHA", CLAIM.digest, "1", "key:unit:1") + command("PING") + command("EVAL", ADMIT.source, "0")
    heard = b"*2\r\n$4\r\nmine\r\n:1\r\n+PONG\r\n*0\r\n$-1\r\n"
    asked_for = [it for at in range(len(said)) for it in redis.asked(said[at : at + 1])]
    answered = [it for at in range(len(heard)) for it in redis.replied(heard[at : at + 1])]
    assert [it.name for it in asked_for] == ["claim", "PING", "admit"]
    assert [it.name for it in answered] == ["claim", "PING", "admit", "message"]
    assert b"".join(it.raw for it in answered) == heard
    assert "key:unit:1" in answered[0].about
    assert "mine" in answered[0].about[-1]


def test_a_command_done_twice_is_answered_once() -> None:
    redis = Redis()
    [only] = redis.asked(command("PING"))
    assert only.twice is not None
    assert only.twice() == 2 * only.raw
    assert [it.raw for it in redis.replied(b"+ONE\r\n+TWO\r\n")] == [b"+TWO\r\n"]


def frame(kind: int, payload: bytes) -> bytes:
    return struct.pack(">BHI", kind, 1, len(payload)) + payload + b"\xce"


def method(number: tuple[int, int], arguments: bytes) -> bytes:
    return frame(1, struct.pack(">HH", *number) + arguments)


def content(body: bytes) -> bytes:
    header = frame(2, struct.pack(">HHQH", 60, 0, len(body), 0))
    return header + frame(3, body[:4]) + frame(3, body[4:])


def test_a_confirm_knows_what_it_confirms_and_an_ack_what_was_delivered() -> None:
    amqp = Amqp()
    published = [method((60, 40), b"\0\0\5delay\3key\0") + content(body) for body in (b"first one", b"second one")]
    said = b"AMQP\x00\x00\x09\x01" + method((20, 10), b"\0") + b"".join(published)
    names = [it.name for at in range(len(said)) for it in amqp.asked(said[at : at + 1])]
    assert names == ["header", "channel.open", "basic.publish", "basic.publish"]
    [confirm] = amqp.replied(method((60, 80), struct.pack(">QB", 2, 1)))
    assert (confirm.name, confirm.about) == ("confirm", ("delay", "key", "first one", "delay", "key", "second one"))
    delivery = b"\3tag" + struct.pack(">QB", 7, 0) + b"\0\5units"
    [delivered] = amqp.replied(method((60, 60), delivery) + content(b"work unit"))
    assert delivered.about == ("", "units", "work unit")
    [ack] = amqp.asked(method((60, 80), struct.pack(">QB", 7, 0)))
    assert (ack.name, ack.about) == ("basic.ack", ("", "units", "work unit"))
