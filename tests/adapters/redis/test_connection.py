"""What a connection makes of the bytes that come, however they come, and which bytes leave when."""

import asyncio
from collections.abc import Awaitable
from importlib import import_module
from pathlib import Path
from typing import Any

import hiredis
import pytest
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import InvalidResponse, NoScriptError, OutOfMemoryError, ReadOnlyError, RedisError

from notification_sender.adapters.redis.client import Redis
from notification_sender.adapters.redis.connection import PipelinedConnection
from notification_sender.adapters.redis.scripts import Script
from notification_sender.adapters.tls import Tls, TlsFile, TlsOptions
from notification_sender.model.errors import Unready
from tests.patience import patience
from tests.services.certificates import certificate
from tests.services.program import HOST, free_port
from tests.services.redis import running_redis

SCRIPT = Script.of("return 1")
FORGOTTEN = b"-NOSCRIPT No matching script. Please use EVAL.\r\n"


class Transport:
    """Keeps what is written. ``fault``: of a write to a socket that is closed."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.protocol: Any = None
        self.closed = False
        self.fault: Exception | None = None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def write(self, data: bytes) -> None:
        if self.fault is not None:
            raise self.fault
        self.written.append(data)

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed


class Opened:
    """A connection as redis-py hands it over. ``unread``: the server has sent something, or has gone."""

    def __init__(self, *, unread: bool = False) -> None:
        self._writer = self
        self.transport = Transport()
        self.unread = unread
        self.disconnected = False

    async def can_read(self) -> bool:
        return self.unread

    async def disconnect(self, *, nowait: bool) -> None:
        assert nowait
        self.disconnected = True


class Wire:
    """A connection without a server: the test says what comes."""

    def __init__(self) -> None:
        self.opened = Opened()
        self.transport = self.opened.transport
        self.own = PipelinedConnection(self.opened, 3600.0)

    def say(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.transport.protocol.data_received(piece)

    def sent(self) -> list[list[list[bytes]]]:
        """The commands of each write."""
        return [_commands(batch) for batch in self.transport.written]


def _commands(batch: bytes) -> list[list[bytes]]:
    reader = hiredis.Reader(notEnoughData=None)
    reader.feed(batch)
    return list(iter(reader.gets, None))


@pytest.fixture
async def wire() -> Wire:
    wire = Wire()
    await wire.own.take_over()
    return wire


async def outcome(reply: Awaitable[Any]) -> Any:
    [it] = await asyncio.gather(reply, return_exceptions=True)
    return it


REPLIES = b"+OK\r\n$13\r\nline\r\n$3\r\nend\r\n*3\r\n$-1\r\n:-7\r\n*1\r\n$0\r\n\r\n*0\r\n-ERR wrong\r\n"


async def test_replies_may_be_cut_at_any_byte(wire: Wire) -> None:
    for cut in range(1, len(REPLIES)):
        asked = [wire.own.send(("ECHO", number)) for number in range(5)]
        await asyncio.sleep(0)
        wire.say(REPLIES[:cut], REPLIES[cut:])
        *replies, error = [await outcome(reply) for reply in asked]
        assert replies == [b"OK", b"line\r\n$3\r\nend", [None, -7, [b""]], []]
        assert isinstance(error, RuntimeError)


async def test_replies_may_come_byte_by_byte(wire: Wire) -> None:
    asked = [wire.own.send(("ECHO", number)) for number in range(5)]
    await asyncio.sleep(0)
    wire.say(*(REPLIES[at : at + 1] for at in range(len(REPLIES))))
    assert await asked[1] == b"line\r\n$3\r\nend"
    assert isinstance(await outcome(asked[4]), RuntimeError)


async def test_commands_of_a_turn_leave_in_one_write_and_the_next_after_all_replies(wire: Wire) -> None:
    for number in range(3):
        wire.own.send(("ECHO", number))
    assert wire.sent() == []
    await asyncio.sleep(0)
    wire.own.send(("ECHO", 3))
    wire.say(b"+0\r\n+1\r\n")
    wire.own.send(("ECHO", 4))
    await asyncio.sleep(0)
    assert wire.sent() == [[[b"ECHO", b"0"], [b"ECHO", b"1"], [b"ECHO", b"2"]]]
    wire.say(b"+2\r\n")
    wire.own.send(("ECHO", 5))
    await asyncio.sleep(0)
    assert wire.sent()[1:] == [[[b"ECHO", b"3"], [b"ECHO", b"4"], [b"ECHO", b"5"]]]


async def test_the_reply_of_whoever_stopped_waiting_is_dropped_in_its_turn(wire: Wire) -> None:
    asked = [wire.own.send(("ECHO", number)) for number in range(3)]
    await asyncio.sleep(0)
    asked[1].cancel()
    wire.say(b"+0\r\n-ERR wrong\r\n+2\r\n")
    assert (await asked[0], await asked[2]) == (b"0", b"2")


async def test_a_push_message_is_the_reply_to_no_command(wire: Wire) -> None:
    pushed = b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n"
    wire.say(pushed)
    asked = wire.own.send(("GET", "a"))
    await asyncio.sleep(0)
    wire.say(pushed, b"+a\r\n", pushed)
    assert await asked == b"a"
    assert wire.own.open


@pytest.mark.parametrize("queued", [False, True])
async def test_a_reply_to_no_command_ends_the_connection(wire: Wire, queued: bool) -> None:  # noqa: FBT001 - a table
    asked = wire.own.send(("GET", "a")) if queued else None
    wire.say(b"+OK\r\n")
    await asyncio.sleep(0)
    assert isinstance(await wire.own.wait_lost(), InvalidResponse)
    assert wire.opened.disconnected
    if asked is not None:
        assert isinstance(await outcome(asked), Unready)
        assert wire.sent() == []


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        (b"nonsense\r\n", InvalidResponse),
        (b"-LOADING Redis is loading the dataset in memory\r\n", ConnectionLost),
        (b"-NOAUTH Authentication required.\r\n", ConnectionLost),
        (b"-READONLY You can't write against a read only replica.\r\n", ReadOnlyError),
    ],
)
async def test_what_makes_a_connection_useless_ends_it(wire: Wire, said: bytes, fault: type[RedisError]) -> None:
    first, second = wire.own.send(("GET", "a")), wire.own.send(("GET", "b"))
    await asyncio.sleep(0)
    later = wire.own.send(("GET", "c"))
    wire.say(said, b"+OK\r\n")
    assert isinstance(await wire.own.wait_lost(), fault)
    assert [type(await outcome(it)) for it in (first, second, later)] == [Unready] * 3
    assert wire.transport.closed
    with pytest.raises(Unready):
        wire.own.send(("GET", "a"))


async def test_who_waits_while_the_connection_breaks_off_in_the_middle_of_a_reply_is_told(wire: Wire) -> None:
    first, second = wire.own.send(("GET", "a")), wire.own.send(("GET", "b"))
    await asyncio.sleep(0)
    wire.say(b"$2\r\nab\r\n$2\r\na")
    wire.transport.protocol.connection_lost(ConnectionResetError())
    assert await first == b"ab"
    assert isinstance(await outcome(second), Unready)
    assert isinstance(await wire.own.wait_lost(), ConnectionResetError)
    wire.say(b"b\r\n")


async def test_a_write_to_a_socket_that_is_closed_ends_the_connection(wire: Wire) -> None:
    wire.transport.fault = RuntimeError("unable to perform operation; the handler is closed")
    asked = wire.own.send(("GET", "a"))
    await asyncio.sleep(0)
    assert isinstance(await outcome(asked), Unready)
    assert await wire.own.wait_lost() is wire.transport.fault


async def test_an_error_is_told_as_the_workers_own_with_its_cause(wire: Wire) -> None:
    full, wrong = wire.own.send(("SET", "a", "b")), wire.own.send(("SET", "a"))
    await asyncio.sleep(0)
    wire.say(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n-ERR wrong number of arguments\r\n")
    refused, bug = await outcome(full), await outcome(wrong)
    assert isinstance(refused, Unready)
    assert isinstance(refused.__cause__, OutOfMemoryError)
    assert isinstance(bug, RuntimeError)
    assert wire.own.open


async def test_a_script_that_the_server_does_not_have_is_sent_once(wire: Wire) -> None:
    asked, other = wire.own.send(("EVALSHA", SCRIPT.digest, 1, "k", "a"), SCRIPT), wire.own.send(("GET", "a"))
    await asyncio.sleep(0)
    wire.say(FORGOTTEN, b"+a\r\n")
    await asyncio.sleep(0)
    assert await other == b"a"
    assert wire.sent()[1:] == [[[b"EVAL", SCRIPT.source.encode(), b"1", b"k", b"a"]]]
    wire.say(b":1\r\n")
    assert await asked == 1


async def test_a_server_that_takes_no_script_is_waited_for(wire: Wire) -> None:
    asked = wire.own.send(("EVALSHA", SCRIPT.digest, 0), SCRIPT)
    await asyncio.sleep(0)
    wire.say(FORGOTTEN)
    await asyncio.sleep(0)
    wire.say(FORGOTTEN)
    fault = await outcome(asked)
    assert isinstance(fault, Unready)
    assert isinstance(fault.__cause__, NoScriptError)


async def test_a_script_is_not_sent_for_who_stopped_waiting(wire: Wire) -> None:
    wire.own.send(("EVALSHA", SCRIPT.digest, 0), SCRIPT).cancel()
    await asyncio.sleep(0)
    wire.say(FORGOTTEN)
    await asyncio.sleep(0)
    assert len(wire.sent()) == 1


async def test_what_was_not_written_when_the_connection_was_lost_is_not_written(wire: Wire) -> None:
    asked = wire.own.send(("SET", "a", "b"))
    wire.transport.protocol.connection_lost(None)
    await asyncio.sleep(0)
    assert wire.transport.written == []
    assert isinstance(await outcome(asked), Unready)


async def test_a_command_that_cannot_be_written_down_is_its_callers_error_alone(wire: Wire) -> None:
    with pytest.raises(TypeError):
        wire.own.send(("SET", "a", object()))
    asked = wire.own.send(("GET", "a"))
    await asyncio.sleep(0)
    wire.say(b"+a\r\n")
    assert await asked == b"a"


@pytest.mark.parametrize("lost", ["unread", "closing"])
async def test_a_connection_that_was_lost_before_its_first_use_is_not_taken_over(lost: str) -> None:
    opened = Opened(unread=lost == "unread")
    opened.transport.closed = lost == "closing"
    with pytest.raises(ConnectionLost):
        await PipelinedConnection(opened, 60.0).take_over()
    assert opened.transport.protocol is None


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_tls_carries_large_replies_and_is_taken_up_again(tmp_path: Path, loop: str) -> None:
    made, port = certificate(tmp_path / "tls", f"IP:{HOST}"), free_port()
    tls = {"tls-cert-file": made.certificate, "tls-key-file": made.key, "tls-ca-cert-file": made.certificate}
    more = {"tls-port": str(port), "tls-auth-clients": "no"} | {name: str(file) for name, file in tls.items()}
    large = bytes(range(256)) * 16384
    trusting = Tls(TlsOptions("Redis", "NS_REDIS", ca=TlsFile(made.certificate, "NS_REDIS_CA")))

    async def use(url: str) -> None:
        redis = Redis(url=url, tls=trusting, timeout=20.0, connect_timeout=20.0)
        await redis.connect()
        async with patience(60):
            await redis.execute("SET", "large", large)
            replies = await asyncio.gather(*(redis.execute("GET", "large") for _ in range(3)), redis.execute("PING"))
            assert replies == [large, large, large, b"PONG"]
            await redis.execute("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "no")
            with pytest.raises(Unready):
                await redis.ping()
            await redis.wait_ready()
            await redis.ping()
        await redis.close()

    with running_redis(**more), asyncio.Runner(loop_factory=import_module(loop).new_event_loop) as runner:
        runner.run(use(f"rediss://{HOST}:{port}/0"))
