"""Lanes are subscribed together, and take what the loop bears."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import cast

import pytest

from notification_sender.adapters.memory.broker import MemoryBroker
from notification_sender.model.errors import Unready
from notification_sender.ports.broker import Envelope, Intake, Lane
from notification_sender.telemetry.metrics import Metrics
from notification_sender.worker import lanes as module
from notification_sender.worker.bulkheads import Slots
from notification_sender.worker.drain import Drain
from notification_sender.worker.handled import SETTLED, Settled
from notification_sender.worker.lanes import Lanes
from notification_sender.worker.prefetch import RESTING
from notification_sender.worker.retry_unready import UnreadyRetry
from tests.virtual import VirtualClock
from tests.worker.platform import Platform

SLOTS = 8


class Broker(MemoryBroker):
    """Tells what it was asked, and lets a lane be subscribed when the test says so."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(clock=clock)
        self.asked: list[tuple[Lane, int]] = []
        self.holds: dict[Lane, asyncio.Event] = {}
        self.refuses = False

    async def consume(self, lane: Lane, prefetch: int, take: Callable[[Envelope], None]) -> None:
        self.asked.append((lane, prefetch))
        if self.refuses:
            raise Unready("away")
        if lane in self.holds:
            await self.holds[lane].wait()
        await super().consume(lane, prefetch, take)


class Stand:
    """Lanes on a broker in memory; what is begun stays under way until ``let_go``."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.broker = Broker(self.clock)
        self.begun: list[bytes] = []
        self._over = asyncio.Event()
        self.lanes = Lanes(
            intake=cast("Intake", self.broker),
            outbox=self.broker,
            handlers=dict.fromkeys(Lane, self._handle),
            slots=Slots(SLOTS, Platform()),
            retry=UnreadyRetry(clock=self.clock),
            drain=Drain(clock=self.clock, send_timeout=15.0),
            clock=self.clock,
            metrics=Metrics(),
        )

    async def _handle(self, envelope: Envelope) -> Settled:
        self.begun.append(envelope.body)
        await self._over.wait()
        return SETTLED

    def let_go(self) -> None:
        self._over.set()

    async def publish(self, count: int) -> None:
        for number in range(count):
            await self.broker.publish(str(number).encode())


@pytest.fixture
async def stand() -> AsyncIterator[Stand]:
    made = Stand()
    yield made
    await made.lanes.close(0.0)


async def turns(times: int = 50) -> None:
    for _ in range(times):
        await asyncio.sleep(0)


@pytest.mark.parametrize("last", list(Lane))
async def test_nothing_is_begun_before_every_lane_is_subscribed(stand: Stand, last: Lane) -> None:
    stand.broker.holds[last] = asyncio.Event()
    await stand.publish(20)
    await stand.broker.publish(b"due", lane=Lane.NOTIFICATIONS)
    opening = asyncio.create_task(stand.lanes.open(SLOTS))
    await turns()
    assert stand.begun == []
    stand.broker.holds[last].set()
    await opening
    await turns()
    assert len(stand.begun) == SLOTS
    assert b"due" in stand.begun


async def test_a_lane_that_cannot_be_had_does_not_keep_the_others_out_for_ever(
    stand: Stand, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SUBSCRIBE_SECONDS", 0.0)
    stand.broker.holds[Lane.NOTIFICATIONS] = asyncio.Event()
    await stand.publish(1)
    opening = asyncio.create_task(stand.lanes.open(SLOTS))
    await turns()
    assert stand.begun == [b"0"]
    opening.cancel()
    await asyncio.wait({opening})


async def test_less_is_begun_and_taken_and_what_waits_here_goes_back_for_others(stand: Stand) -> None:
    await stand.publish(40)
    await stand.lanes.open(SLOTS)
    await turns()
    assert (len(stand.begun), stand.lanes.unsettled) == (SLOTS, 2 * SLOTS)
    stand.lanes.allow(2, taken=4)
    await turns()
    assert stand.broker.asked[2:] == [(Lane.UNITS, 4), (Lane.NOTIFICATIONS, 4 + RESTING)]
    assert stand.lanes.unsettled == SLOTS + 4
    stand.let_go()
    await turns(200)
    assert len(stand.begun) == 40
    assert (await stand.broker.depths()).units == 0


async def test_more_is_begun_at_once(stand: Stand) -> None:
    await stand.lanes.open(SLOTS)
    stand.lanes.allow(1, taken=2)
    await turns()
    await stand.publish(40)
    await turns()
    assert len(stand.begun) == 1
    stand.lanes.allow(SLOTS, taken=2 * SLOTS)
    await turns()
    assert (len(stand.begun), stand.lanes.unsettled) == (SLOTS, 2 * SLOTS)


async def test_a_broker_that_is_away_is_asked_once_for_each_change(stand: Stand) -> None:
    await stand.lanes.open(SLOTS)
    stand.broker.refuses = True
    for _ in range(3):
        stand.lanes.allow(2, taken=4)
        await turns()
    assert len(stand.broker.asked) == 4


async def test_who_is_to_stop_subscribes_no_more(stand: Stand) -> None:
    await stand.lanes.open(SLOTS)
    stand.lanes.allow(2, taken=4)
    await stand.lanes.close(0.0)
    stand.lanes.allow(SLOTS, taken=2 * SLOTS)
    await turns()
    await stand.publish(3)
    await turns()
    assert stand.begun == []
    assert (await stand.broker.depths()).units == 3
