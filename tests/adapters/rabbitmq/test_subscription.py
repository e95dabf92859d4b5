"""A consumer that is replaced by one with another prefetch, while the broker is slow to answer."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.subscription import Subscription
from notification_sender.model.errors import Unready

QUEUE = "q"


class Channel:
    """Counts who consumes; cancels nobody while it is ``slow``."""

    is_closed = False

    def __init__(self) -> None:
        self.consumers: dict[str, Any] = {}
        self.consuming: list[str] = []
        self.made = 0
        self.slow = False
        self.cancels = False
        """Cancelled with the reply that they are consuming: the queue was deleted."""

    async def basic_qos(self, *, prefetch_count: int) -> None:
        assert prefetch_count

    async def consume(self, _queue: str, take: Any) -> str:
        self.made += 1
        tag = f"tag-{self.made}"
        self.consuming.append(tag)
        if not self.cancels:
            self.consumers[tag] = take
        return tag

    async def basic_cancel(self, tag: str) -> None:
        if self.slow:
            await asyncio.Event().wait()
        self.consuming.remove(tag)
        del self.consumers[tag]


async def test_a_consumer_that_could_not_be_cancelled_is_so_when_the_next_one_comes_or_none() -> None:
    channel = Channel()

    async def open_() -> Channel:
        return channel

    async def declare(_: Any) -> None:
        """It is there."""

    link: Any = SimpleNamespace(channel=open_)
    one = Subscription(link=link, queue=QUEUE, declare=declare, clock=SystemClock(), timeout=0.05)
    await one.start(1, lambda _: None)
    channel.slow = True
    with pytest.raises(Unready):
        await one.start(2, lambda _: None)
    channel.slow = False
    assert channel.consuming == ["tag-1", "tag-2"]
    await one.start(3, lambda _: None)
    assert channel.consuming == ["tag-3"]
    channel.slow = True
    with pytest.raises(Unready):
        await one.start(4, lambda _: None)
    channel.slow = False
    await one.stop()
    assert channel.consuming == []


async def test_a_consumer_that_is_cancelled_as_soon_as_it_consumes_is_not_alive() -> None:
    channel = Channel()
    channel.cancels = True

    async def open_() -> Channel:
        return channel

    async def declare(_: Any) -> None:
        """It is there."""

    link: Any = SimpleNamespace(channel=open_)
    one = Subscription(link=link, queue=QUEUE, declare=declare, clock=SystemClock(), timeout=5.0)
    await one.start(1, lambda _: None)
    assert not one.alive
