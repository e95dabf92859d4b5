from collections.abc import AsyncIterator
from typing import Any

import pytest

from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.scripts import Script, load

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


async def test_scripts_do_not_share_their_locals(store: EmbeddedRedis) -> None:
    claim, renew = load("record", "claim"), load("record", "renew")
    first = await store.run(claim, ["r"], ["token", "0", "1", 10_000_000, 60_000, 0])
    assert first[0] == b"mine"
    assert await store.run(renew, ["r"], ["token", first[1], 10_000_000, 60_000]) == 1
    assert (await store.run(claim, ["r"], ["other", "0", "1", 10_000_000, 60_000, 0]))[0] == b"busy"
