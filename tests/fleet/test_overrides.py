"""Every process follows the overrides: at once where it is told, and soon where it is not."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.memory.pubsub import MemoryPubSub
from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.overrides import RedisOverrides
from notification_sender.fleet.background import run_forever
from notification_sender.fleet.overrides import OverrideWatch
from notification_sender.model.errors import Unready
from notification_sender.model.override import Override, PauseScope
from tests.patience import patience

ORG = PauseScope("org-1")


class Followed:
    """One process that follows the overrides, and what it was given."""

    def __init__(self, *, told: bool, period: float) -> None:
        store = EmbeddedRedis()
        self.pubsub = MemoryPubSub()
        self.overrides = RedisOverrides(redis=store, prefix="ns", pubsub=self.pubsub if told else MemoryPubSub())
        self.given: asyncio.Queue[Sequence[Override]] = asyncio.Queue()
        self.watch = OverrideWatch(
            overrides=self.overrides,
            pubsub=self.pubsub,
            clock=SystemClock(),
            listeners=[self.given.put_nowait],
            period=period,
        )


@pytest.fixture(params=[(True, 3600.0), (False, 0.01)], ids=["told", "not told"])
async def followed(request: pytest.FixtureRequest) -> AsyncIterator[Followed]:
    told, period = request.param
    followed = Followed(told=told, period=period)
    task = run_forever(followed.watch.follow, "overrides")
    await asyncio.sleep(0)
    yield followed
    task.cancel()
    await asyncio.wait([task])


async def test_what_begins_and_what_ends_is_given_once_each(followed: Followed) -> None:
    async with patience(10):
        paused = await followed.overrides.pause(ORG, seconds=60.0, by="anna")
        assert await followed.given.get() == [paused]
        assert [(it["kind"], it["subject"]) for it in followed.watch.summary()] == [("pause", ORG.subject)]
        await followed.overrides.resume(ORG)
        assert await followed.given.get() == []
    assert followed.given.empty()


async def test_while_redis_is_away_the_known_overrides_hold(
    followed: Followed, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with patience(10):
        paused = await followed.overrides.pause(ORG, seconds=60.0, by="anna")
        assert await followed.given.get() == [paused]
        asked = asyncio.Event()

        async def away() -> list[Override]:
            asked.set()
            raise Unready("away")

        monkeypatch.setattr(followed.overrides, "active", away)
        await followed.pubsub.publish("overrides", "")
        await asked.wait()
    assert followed.given.empty()
