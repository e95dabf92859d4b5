"""Our own platform is out: what could not be finished is not begun, and nothing of it is lost."""

from typing import Any

from notification_sender.model.errors import ContextUnavailable
from notification_sender.ports.broker import Lane
from tests.virtual import START


async def test_a_backlog_waits_for_the_platform_instead_of_being_churned(body: Any) -> None:
    body.platform.turn(out=True)
    for number in range(300):
        await body.publish(work_unit_id=f"wu-{number}")
    await body.clock.until(lambda: body.clock.now() > START + 120)
    assert body.composer.composed == []
    body.platform.turn(out=False)
    await body.clock.until(body.idle)
    assert len(body.composer.composed) == len(body.channel.sends) == 300


async def test_whatever_made_a_unit_wait_is_blamed(body: Any) -> None:
    fault = ContextUnavailable("aaa: out")
    body.composer.faults.append(fault)
    await body.publish()
    await body.clock.until(body.idle)
    assert body.platform.blamed == [fault]
    assert len(body.channel.sends) == 1


async def test_nothing_is_kept_in_hand_for_as_long_as_an_outage_lasts(body: Any) -> None:
    body.platform.turn(out=True)
    for number in range(50):
        await body.publish(work_unit_id=f"wu-{number}")
    await body.clock.until(lambda: body.clock.now() > START + 290)
    assert body.heart.lanes.unsettled == 50
    await body.clock.until(lambda: len(body.broker._delayed) == 50, limit=30.0)
    assert body.heart.lanes.unsettled == 0
    await body.clock.until(lambda: body.clock.now() > START + 3600)
    assert len(body.broker._queues[Lane.UNITS].unsettled) + len(body.broker._delayed) == 50
    body.platform.turn(out=False)
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 50
    assert not body.broker.dead
