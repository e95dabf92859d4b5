"""Our own platform is out: what could not be finished is not begun, and nothing of it is lost."""

from notification_sender.model.errors import ContextUnavailable
from notification_sender.ports.broker import Lane
from tests.virtual import START
from tests.worker.conftest import WorkerHarness


async def test_a_backlog_waits_for_the_platform_instead_of_being_churned(harness: WorkerHarness) -> None:
    harness.platform.turn(out=True)
    for number in range(300):
        await harness.publish(work_unit_id=f"wu-{number}")
    await harness.clock.until(lambda: harness.clock.now() > START + 120)
    assert harness.composer.composed == []
    harness.platform.turn(out=False)
    await harness.clock.until(harness.idle)
    assert len(harness.composer.composed) == len(harness.channel.sends) == 300


async def test_whatever_made_a_unit_wait_is_blamed(harness: WorkerHarness) -> None:
    fault = ContextUnavailable("aaa: out")
    harness.composer.faults.append(fault)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert harness.platform.blamed == [fault]
    assert len(harness.channel.sends) == 1


async def test_nothing_is_kept_in_hand_for_as_long_as_an_outage_lasts(harness: WorkerHarness) -> None:
    harness.platform.turn(out=True)
    for number in range(50):
        await harness.publish(work_unit_id=f"wu-{number}")
    await harness.clock.until(lambda: harness.clock.now() > START + 290)
    assert harness.worker.lanes.unsettled == 50
    await harness.clock.until(lambda: len(harness.broker._delayed) == 50, limit=30.0)
    assert harness.worker.lanes.unsettled == 0
    await harness.clock.until(lambda: harness.clock.now() > START + 3600)
    assert len(harness.broker._queues[Lane.UNITS].unsettled) + len(harness.broker._delayed) == 50
    harness.platform.turn(out=False)
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 50
    assert not harness.broker.dead
