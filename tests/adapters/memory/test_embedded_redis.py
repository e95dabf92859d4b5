import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.scripts import Script, load
from notification_sender.model.errors import Unready

ECHO = Script.of("local key = KEYS[1]\nreturn {key, ARGV[1], '{}'}")


@pytest.fixture
async def store() -> AsyncIterator[EmbeddedRedis]:
    store = EmbeddedRedis()
    yield store
    await store.close()


@pytest.fixture
def sent(store: EmbeddedRedis, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts that were given to the library to evaluate."""
    texts, execute = list[str](), store.execute

    async def spy(*command: Any) -> Any:
        texts.append(command[1])
        return await execute(*command)

    monkeypatch.setattr(store, "execute", spy)
    return texts


async def test_a_script_is_compiled_once_and_then_called_by_its_digest(store: EmbeddedRedis, sent: list[str]) -> None:
    assert await store.run(ECHO, ["a"], ["1"]) == [b"a", b"1", b"{}"]
    assert await store.run(ECHO, ["b"], ["2"]) == [b"b", b"2", b"{}"]
    assert [ECHO.source in text for text in sent] == [True, False]


async def test_a_call_collects_no_garbage(store: EmbeddedRedis) -> None:
    counting = Script.of("return collectgarbage('count')")
    assert await store.run(counting, [], []) is None


async def test_a_script_that_failed_can_be_called_again(store: EmbeddedRedis) -> None:
    failing = Script.of("return redis.call(ARGV[1])")
    for _ in range(2):
        with pytest.raises(RuntimeError, match="unknown command"):
            await store.run(failing, [], ["NONSENSE"])
    assert await store.run(failing, [], ["PING"]) == b"PONG"


async def test_a_script_that_leaves_a_global_variable_is_refused(store: EmbeddedRedis) -> None:
    with pytest.raises(RuntimeError, match="global variables"):
        await store.run(Script.of("left = redis.call('PING')"), [], [])


async def test_a_command_of_a_script_may_fail_without_ending_it(store: EmbeddedRedis) -> None:
    asking = Script.of("return redis.pcall(ARGV[1], KEYS[1], 2.5)['err'] or 'nothing'")
    assert await store.run(asking, ["a"], ["SET"]) == b"nothing"
    assert b"unknown command" in (await store.run(asking, ["a"], ["NONSENSE"])).lower()
    assert await store.execute("GET", "a") == b"2.5"


async def test_what_is_no_argument_for_a_server_is_refused(store: EmbeddedRedis) -> None:
    with pytest.raises(Unready, match="DataError"):
        await store.execute("SET", "a", True)  # noqa: FBT003 - what is refused


async def test_others_go_on_before_a_reply_is_there(store: EmbeddedRedis) -> None:
    seen = list[Any]()
    asking = asyncio.create_task(store.execute("PING"))
    asking.add_done_callback(lambda _: seen.append("reply"))
    asyncio.get_running_loop().call_soon(lambda: asyncio.get_running_loop().call_soon(seen.append, "others"))
    await asking
    await asyncio.sleep(0)
    assert seen == ["others", "reply"]


async def test_scripts_do_not_share_their_locals(store: EmbeddedRedis) -> None:
    claim, renew = load("record", "claim"), load("record", "renew")
    first = await store.run(claim, ["r"], ["token", "0", "1", 10_000_000, 60_000, 0, "pod", 60_000])
    assert first[0] == b"mine"
    assert await store.run(renew, ["r"], ["token", first[1], 10_000_000, 60_000]) == 1
    assert (await store.run(claim, ["r"], ["other", "0", "1", 10_000_000, 60_000, 0, "pod", 60_000]))[0] == b"busy"
