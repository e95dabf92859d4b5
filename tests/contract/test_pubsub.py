"""Pub/sub: the listeners of a topic hear what is published, on Redis and on the embedded default."""

import asyncio
from collections.abc import AsyncIterator

import pytest

from notification_sender.adapters.memory.pubsub import MemoryPubSub
from notification_sender.adapters.redis.client import Redis
from notification_sender.adapters.redis.pubsub import RedisPubSub
from tests.patience import patience

Any = RedisPubSub | MemoryPubSub


@pytest.fixture(params=["embedded", "redis"])
async def pubsub(request: pytest.FixtureRequest) -> AsyncIterator[Any]:
    if request.param == "embedded":
        yield MemoryPubSub()
        return
    redis = Redis(url=request.getfixturevalue("redis_server"))
    await redis.connect()
    pubsub = RedisPubSub(redis=redis, prefix="ns")
    yield pubsub
    await pubsub.stop()
    await redis.close()


async def heard(pubsub: Any, topic: str, texts: asyncio.Queue[str]) -> str:
    """Publish until it is heard: a subscription may need a moment."""
    async with patience(10):
        while texts.empty():
            await pubsub.publish(topic, f"of {topic}")
            await asyncio.sleep(0.01)
    return texts.get_nowait()


async def test_a_listener_hears_its_topic_alone(pubsub: Any) -> None:
    ours, theirs = asyncio.Queue[str](), asyncio.Queue[str]()
    pubsub.subscribe("ours", ours.put_nowait)
    pubsub.subscribe("theirs", theirs.put_nowait)
    await pubsub.start()
    assert await heard(pubsub, "ours", ours) == "of ours"
    assert theirs.empty()


@pytest.mark.parametrize("before", [(), ("early",)], ids=["first", "later"])
async def test_a_listener_that_comes_after_the_start_hears_its_topic(pubsub: Any, before: tuple[str, ...]) -> None:
    for topic in before:
        pubsub.subscribe(topic, lambda _: None)
    await pubsub.start()
    texts = asyncio.Queue[str]()
    pubsub.subscribe("late", texts.put_nowait)
    assert await heard(pubsub, "late", texts) == "of late"


async def test_several_listeners_of_a_topic_all_hear_it(pubsub: Any) -> None:
    first, late = asyncio.Queue[str](), asyncio.Queue[str]()
    pubsub.subscribe("topic", first.put_nowait)
    await pubsub.start()
    pubsub.subscribe("topic", late.put_nowait)
    assert await heard(pubsub, "topic", late) == "of topic"
    assert not first.empty()
