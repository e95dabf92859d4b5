"""A consumer that is replaced: by one with another prefetch, or because the broker may have lost it."""

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.deliveries import Delivery
from notification_sender.adapters.rabbitmq.subscription import Subscription
from notification_sender.model.errors import Unready
from tests.virtual import VirtualClock

QUEUE, QUIET = "q", 60.0


class Channel:
    """Counts who consumes; cancels nobody while it is ``slow``."""

    is_closed = False
    unsettled = 0

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

    def deliver(self) -> Delivery:
        """To the latest consumer."""
        self.made += 1
        delivery: Any = Delivery(self, self.made, QUEUE, {}, b"")  # type: ignore[arg-type]
        self.consumers[self.consuming[-1]](delivery)
        return cast("Delivery", delivery)

    def ack(self, tag: int) -> None:
        assert not self.is_closed, tag

    async def close(self) -> None:
        self.is_closed = True


class Link:
    """Opens a channel after the other."""

    def __init__(self) -> None:
        self.opened: list[Channel] = []

    async def channel(self) -> Channel:
        self.opened.append(Channel())
        return self.opened[-1]


async def declared(_: Any) -> None:
    """It is there."""


def subscription(link: Any, clock: Any) -> Subscription:
    return Subscription(link=link, queue=QUEUE, declare=declared, clock=clock, timeout=5.0)


async def test_a_silent_consumer_is_replaced_while_deliveries_wait_and_they_stay_in_hand() -> None:
    link, clock = Link(), VirtualClock()
    one = subscription(link, clock)
    await one.start(2, lambda _: None)
    [first] = link.opened
    waiting = first.deliver()
    clock.jump(QUIET)
    assert one.lost(QUIET)
    await one.renew(QUIET)
    assert not one.lost(QUIET)
    assert [len(it.consuming) for it in link.opened] == [0, 1]
    assert not first.is_closed
    await one.settle(waiting, done=True)
    assert [it.is_closed for it in link.opened] == [True, False]


async def test_a_consumer_whose_prefetch_is_in_hand_is_silent_by_right() -> None:
    link, clock = Link(), VirtualClock()
    one = subscription(link, clock)
    await one.start(2, lambda _: None)
    [channel] = link.opened
    held = [channel.deliver(), channel.deliver()]
    clock.jump(QUIET)
    assert not one.lost(QUIET)
    await one.settle(held.pop(), done=True)
    assert not one.lost(QUIET), "the broker could not deliver until now"
    clock.jump(QUIET)
    assert one.lost(QUIET)


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
