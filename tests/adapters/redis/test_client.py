"""The connection: many commands in few writes, and what is seen of it when the server goes away."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from importlib import import_module
from urllib.parse import urlsplit

import pytest
from redis.exceptions import ConnectionError, OutOfMemoryError, RedisError, ResponseError  # noqa: A004 - redis names it so

from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.client import Redis, store_at
from notification_sender.adapters.redis.errors import translated
from notification_sender.adapters.redis.scripts import Script
from notification_sender.model.errors import ConfigurationFault, Unready
from tests.patience import patience, stretched
from tests.services.redis import Redis as Server

TIMEOUT = 0.4


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    redis = Redis(url=redis_server, timeout=stretched(TIMEOUT))
    await redis.connect()
    yield redis
    await redis.close()


async def reads(redis: Redis) -> int:
    """How often the server has read from its sockets."""
    info = (await redis.execute("INFO", "stats")).decode()
    return int(info.partition("total_reads_processed:")[2].split()[0])


async def test_commands_of_one_turn_of_the_loop_leave_in_few_writes_and_get_their_own_replies(redis: Redis) -> None:
    before = await reads(redis)
    replies = await asyncio.gather(*(redis.execute("ECHO", f"{number}") for number in range(500)))
    assert replies == [b"%d" % number for number in range(500)]
    assert await reads(redis) - before < 20


async def test_whoever_stops_waiting_takes_nobody_elses_reply(redis: Redis) -> None:
    asking = [asyncio.create_task(redis.execute("ECHO", f"{number}")) for number in range(100)]
    await asyncio.sleep(0)
    for task in asking[::2]:
        task.cancel()
    replies = await asyncio.gather(*asking, return_exceptions=True)
    assert replies[1::2] == [b"%d" % number for number in range(1, 100, 2)]
    assert all(isinstance(reply, asyncio.CancelledError) for reply in replies[::2])
    assert await redis.execute("ECHO", "next") == b"next"


async def test_an_error_is_the_error_of_one_command_alone(redis: Redis) -> None:
    replies = await asyncio.gather(
        redis.execute("ECHO", "before"),
        redis.execute("NONSENSE"),
        redis.run(Script.of("return redis.call('NONSENSE')"), (), ()),
        redis.execute("ECHO", "after"),
        return_exceptions=True,
    )
    assert (replies[0], replies[3]) == (b"before", b"after")
    assert all(isinstance(reply, RuntimeError) for reply in replies[1:3])
    assert redis.ready


async def test_bytes_are_kept_as_they_are(redis: Redis) -> None:
    large = bytes(range(256)) * 8192
    await redis.execute("SET", "large", large)
    assert await redis.execute("MGET", "large", "none") == [large, None]


async def test_a_process_that_was_stopped_reads_what_was_answered_meanwhile(
    redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    loop = asyncio.get_running_loop()
    selector, time = loop._selector, loop.time  # type: ignore[attr-defined]
    asked = asyncio.create_task(redis.execute("PING"))
    await asyncio.sleep(0)

    def stopped(_: float | None) -> list[object]:
        # As of PEP 475: an interrupted wait whose time is over has seen nothing.
        monkeypatch.setattr(selector, "select", select)
        monkeypatch.setattr(loop, "time", lambda: time() + 3600)
        return []

    select = selector.select
    monkeypatch.setattr(selector, "select", stopped)
    await asked
    assert redis.ready


async def test_a_server_that_hangs_is_noticed_and_taken_up_again_by_itself(redis: Redis, redis_service: Server) -> None:
    redis_service.freeze()
    try:
        replies = await asyncio.gather(*(redis.execute("PING") for _ in range(3)), return_exceptions=True)
        assert all(isinstance(reply, Unready) for reply in replies)
        assert not redis.ready
        with pytest.raises(Unready, match="not connected"):
            await redis.ping()
    finally:
        redis_service.thaw()
    await redis.wait_ready()
    await redis.ping()


async def test_a_server_that_hangs_is_noticed_although_nobody_asks(redis: Redis, redis_service: Server) -> None:
    redis_service.freeze()
    try:
        async with patience(10 * TIMEOUT):
            while redis.ready:  # noqa: ASYNC110 - nobody needs an event for that but this test
                await asyncio.sleep(0)
    finally:
        redis_service.thaw()
    await redis.wait_ready()


async def test_a_server_that_is_killed_is_away_until_it_is_started_again(redis: Redis, redis_service: Server) -> None:
    redis_service.freeze()
    lost = asyncio.create_task(redis.execute("PING"))
    await asyncio.sleep(0)
    redis_service.kill()
    try:
        with pytest.raises(Unready):
            await lost
        assert not redis.ready
    finally:
        redis_service.start()
    await redis.wait_ready()
    assert await redis.execute("ECHO", "back") == b"back"


@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_connection_that_is_cut_between_any_two_commands_is_taken_up_again(redis_server: str, loop: str) -> None:
    """A write to a socket that is closed by then raises another error on each loop, and may be the first to know."""

    async def cut_often() -> None:
        redis = Redis(url=redis_server)
        await redis.connect()
        for turns in range(30):
            asking = [asyncio.create_task(_ask_in_turn(redis)) for _ in range(3)]
            for _ in range(turns):
                await asyncio.sleep(0)
            _reset(redis)
            await asyncio.gather(*asking)
            async with patience(10):
                await redis.wait_ready()
        await redis.ping()
        # Else none of its deadlines would end again, before Python 3.11.4.
        assert redis._keeper is not None
        assert redis._keeper.cancelling() == 0
        await redis.close()

    with asyncio.Runner(loop_factory=import_module(loop).new_event_loop) as runner:
        runner.run(cut_often())


async def _ask_in_turn(redis: Redis) -> None:
    with suppress(Unready):
        for _ in range(100):
            await redis.ping()


def _reset(redis: Redis) -> None:
    """As by the peer: whoever reads or writes next is told."""
    wire = redis._wire
    assert wire is not None
    wire._transport.abort()


async def test_a_server_that_became_a_replica_is_left_until_it_takes_writes_again(redis: Redis) -> None:
    await redis.execute("REPLICAOF", "127.0.0.1", "1")
    with pytest.raises(Unready):
        await redis.execute("SET", "a", "1")
    assert not redis.ready
    await redis.wait_ready()
    await redis.execute("REPLICAOF", "NO", "ONE")
    assert await redis.execute("SET", "a", "1") == b"OK"


async def test_whoever_waits_while_it_is_closed_is_told(redis: Redis, redis_service: Server) -> None:
    redis_service.freeze()
    try:
        asking = asyncio.create_task(redis.execute("PING"))
        await asyncio.sleep(0)
        await redis.close()
    finally:
        redis_service.thaw()
    with pytest.raises(Unready):
        await asking
    assert not redis.ready


async def test_the_right_password_is_let_in_and_any_other_is_a_fault_of_the_configuration(
    redis: Redis, redis_url: str
) -> None:
    server = urlsplit(redis_url)
    await redis.execute("CONFIG", "SET", "requirepass", "pass/word")
    try:
        trusted = Redis(url=f"redis://:pass%2Fword@{server.netloc}/1")
        await trusted.connect()
        await trusted.ping()
        await trusted.close()
        for login in ("", ":wrong@", "nobody:pass%2Fword@"):
            with pytest.raises(ConfigurationFault, match="refuses the user or the password") as fault:
                await Redis(url=f"redis://{login}{server.netloc}/0").connect()
            assert "pass/word" not in str(fault.value)
    finally:
        await redis.execute("CONFIG", "SET", "requirepass", "")


async def test_a_user_who_may_run_no_scripts_is_a_fault_of_the_configuration(redis: Redis, redis_url: str) -> None:
    await redis.execute("ACL", "SETUSER", "reader", "on", ">word", "~*", "+@all", "-@scripting")
    try:
        with pytest.raises(ConfigurationFault, match="scripts"):
            await Redis(url=f"redis://reader:word@{urlsplit(redis_url).netloc}/0").connect()
    finally:
        await redis.execute("ACL", "DELUSER", "reader")


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://a:26379,b:26379/mymaster",
        "redis+cluster://a:7000",
        "unix:///run/redis.sock",
        "redis://:secret@host:port/0",
        "redis://:secret@host/0?nonsense=1",
    ],
)
def test_a_url_that_cannot_be_used_is_a_fault_that_tells_no_secret(url: str) -> None:
    with pytest.raises(ConfigurationFault, match="NS_REDIS_URL") as fault:
        store_at(url)
    assert "secret" not in str(fault.value)


async def test_the_embedded_one_answers_as_a_server_does() -> None:
    store = store_at("memory://")
    assert isinstance(store, EmbeddedRedis)
    await store.connect()
    assert await store.execute("SET", "a", b"\x00\xff", "PX", 5000) == b"OK"
    assert await store.run(Script.of("return {redis.call('GET', KEYS[1]), ARGV[1], 3}"), ("a",), (7,)) == [
        b"\x00\xff",
        b"7",
        3,
    ]
    with pytest.raises(RuntimeError, match="refuses a command"):
        await store.run(Script.of("return redis.call('NONSENSE')"), (), ())
    await store.close()


@pytest.mark.parametrize(
    ("answer", "waits"),
    [
        (ResponseError("value is not an integer or out of range"), False),
        (ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"), False),
        (ResponseError("MISCONF Redis is configured to save RDB snapshots"), True),
        (ResponseError("BUSY Redis is busy running a script"), True),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'"), True),
        (ConnectionError("reset"), True),
    ],
)
def test_only_what_ends_by_itself_is_waited_for(answer: RedisError, waits: bool) -> None:  # noqa: FBT001 - a table
    assert isinstance(translated(answer), Unready) is waits
