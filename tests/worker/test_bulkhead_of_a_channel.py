"""A channel whose server takes only so much at once: no more than that is rendered, and organizations have turns."""

import asyncio
import gc
from collections import deque
from typing import Any

import pytest

from notification_sender.model.errors import SendFailed, Sent
from notification_sender.model.notification import Notification
from notification_sender.worker.bulkheads import ChannelBulkhead
from tests.patience import patience
from tests.virtual import VirtualClock
from tests.worker.conftest import WorkerHarness

PLACES = 6
MANY = 400


class Crowded(WorkerHarness):
    """``most``: notifications that were alive at once, with their content, whenever one was sent."""

    def __init__(self, clock: VirtualClock, bulkheads: dict[str, ChannelBulkhead] | None = None) -> None:
        self.bulkheads = (
            {"webhook": ChannelBulkhead(PLACES, longest=60.0, later=5.0)} if bulkheads is None else bulkheads
        )
        self.most = 0
        super().__init__(clock)
        self.channel.takes = self._takes
        self.channel.sends = deque(maxlen=1)  # type: ignore[assignment]  # it would keep them all
        self.order: list[str] = []

    def _takes(self, notification: Notification) -> float:
        self.order.append(notification.organization_id)
        gc.collect()
        self.most = max(self.most, sum(type(it) is Notification for it in gc.get_objects()))
        return 1.0


@pytest.fixture
async def crowded() -> Any:
    gc.collect()
    gc.freeze()  # what was there before need not be looked at, hundreds of times
    harness = Crowded(VirtualClock())
    await harness.worker.start()
    yield harness
    await harness.worker.close(0.0)
    await harness.broker.close()
    gc.unfreeze()


async def test_of_a_unit_no_more_is_rendered_than_there_is_room_for(crowded: Crowded) -> None:
    await crowded.publish(destinations=MANY)
    await crowded.clock.until(crowded.idle)
    assert len(crowded.order) == MANY
    assert crowded.most <= PLACES + 1, "and the last of the channel"


@pytest.mark.long
async def test_of_what_comes_back_no_more_is_read_than_there_is_room_for(crowded: Crowded) -> None:
    """All at once, after a server that was away."""
    away = iter(range(MANY))
    crowded.channel.fails = lambda _: None if next(away, None) is None else SendFailed("away", sent=Sent.NOTHING)
    await crowded.publish(destinations=MANY)
    await crowded.clock.until(lambda: len(crowded.order) == MANY)
    crowded.most = 0
    await crowded.clock.until(crowded.idle)
    assert len(crowded.order) == 2 * MANY
    assert crowded.most <= PLACES + 1


async def test_one_message_of_another_organization_does_not_wait_for_a_backlog(crowded: Crowded) -> None:
    await crowded.publish(destinations=MANY, work_unit_id="many")
    await crowded.clock.until(lambda: len(crowded.order) >= 2 * PLACES)
    before = len(crowded.order)
    await crowded.publish(work_unit_id="password", organization_id="org-2")
    await crowded.clock.until(lambda: "org-2" in crowded.order)
    assert crowded.order.index("org-2") - before <= PLACES


async def test_who_gets_no_place_in_time_gives_its_slot_back_and_has_used_no_attempt() -> None:
    bulkhead = ChannelBulkhead(1, longest=0.01, later=5.0)
    harness = Crowded(VirtualClock(), {"webhook": bulkhead})
    await harness.worker.start()
    async with bulkhead.place("other"), patience(10):
        await harness.publish()
        while not harness.broker._delayed:  # noqa: ASYNC110 - only asked
            await asyncio.sleep(0)
        assert sum(harness.worker.slots.held.values()) == 0
    assert not harness.order
    await harness.clock.until(harness.idle)
    [(_, sent)] = harness.channel.sends
    assert sent.attempt == 1
    await harness.worker.close(0.0)
    await harness.broker.close()
