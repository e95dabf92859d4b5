"""However it is held up, a notification comes to an end, and the end says what held it up."""

from notification_sender.model.errors import SendFailed, Sent
from notification_sender.policy.limits import Limit
from notification_sender.ports.broker import Lane
from tests.virtual import START
from tests.worker.conftest import WorkerHarness

REFUSED = SendFailed("HTTP 500", sent=Sent.ANSWERED)
DAY = 86_400.0
WEEK = 7 * DAY


def ends(harness: WorkerHarness) -> list[tuple[str, str]]:
    return [(message.headers["x-reason"], message.headers["x-detail"]) for message in harness.broker.dead]


async def test_a_retry_that_would_come_too_late_is_not_waited_for(harness: WorkerHarness) -> None:
    async def answer_late() -> None:
        harness.clock.jump(WEEK - 60)
        raise REFUSED

    harness.channel.ends.extend([answer_late, REFUSED])
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert [round(moment - START) for moment, _ in harness.channel.sends] == [0, WEEK - 55]
    assert ends(harness) == [("exhausted", "2 attempts in 604745 s; the last: HTTP 500")]


async def test_what_never_has_its_turn_is_dead_after_its_age_and_once(harness: WorkerHarness) -> None:
    harness.limits.append(Limit.per("destination:hook-0", 1, DAY, 1))
    for number in range(10):
        await harness.publish(work_unit_id=f"wu-{number}")
    await harness.clock.until(lambda: len(harness.broker._delayed) == 9)
    harness.clock.jump(WEEK + 1)
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1
    assert {reason for reason, _ in ends(harness)} == {"exhausted"}
    assert [detail.partition(" in ")[0] for _, detail in ends(harness)] == ["0 attempts"] * 9
    assert all("never its turn" in detail for _, detail in ends(harness))


async def test_what_comes_back_too_old_is_not_tried_and_says_what_held_it_up(harness: WorkerHarness) -> None:
    harness.channel.ends.append(REFUSED)
    await harness.publish()
    await harness.clock.until(lambda: len(harness.channel.sends) == 1)
    harness.clock.jump(WEEK + 1)
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1
    [(reason, detail)] = ends(harness)
    assert (reason, detail.partition(" in ")[0], detail.partition("; ")[2]) == (
        "exhausted",
        "1 attempts",
        "the last: HTTP 500",
    )


async def test_what_was_given_up_is_tried_again_when_it_is_moved_back(harness: WorkerHarness) -> None:
    harness.channel.ends.append(REFUSED)
    await harness.publish()
    await harness.clock.until(lambda: len(harness.channel.sends) == 1)
    harness.clock.jump(WEEK + 1)
    await harness.clock.until(harness.idle)
    [letter] = harness.broker.dead
    await harness.broker.publish(letter.body, letter.headers, Lane.NOTIFICATIONS)
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 2


async def test_the_age_of_a_notification_counts_from_when_its_unit_was_due(harness: WorkerHarness) -> None:
    harness.channel.ends.append(REFUSED)
    await harness.publish(not_before="2026-03-26T08:26:00Z")
    await harness.clock.until(lambda: len(harness.broker._delayed) == 1)
    harness.clock.jump(20 * DAY)
    await harness.clock.until(harness.idle)
    assert [round((moment - START) / DAY, 2) for moment, _ in harness.channel.sends] == [20, 20]
    assert harness.broker.dead == []
