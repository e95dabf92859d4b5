"""However it is held up, a notification comes to an end, and the end says what held it up."""

from typing import Any

from notification_sender.model.errors import SendFailed, Sent
from notification_sender.policy.limits import Limit
from notification_sender.ports.broker import Lane
from tests.virtual import START

REFUSED = SendFailed("HTTP 500", sent=Sent.ANSWERED)
DAY = 86_400.0
WEEK = 7 * DAY


def ends(body: Any) -> list[tuple[str, str]]:
    return [(message.headers["x-reason"], message.headers["x-detail"]) for message in body.broker.dead]


async def test_a_retry_that_would_come_too_late_is_not_waited_for(body: Any) -> None:
    async def answer_late() -> None:
        body.clock.jump(WEEK - 60)
        raise REFUSED

    body.channel.ends.extend([answer_late, REFUSED])
    await body.publish()
    await body.clock.until(body.idle)
    assert [round(moment - START) for moment, _ in body.channel.sends] == [0, WEEK - 55]
    assert ends(body) == [("exhausted", "2 attempts in 604745 s; the last: HTTP 500")]


async def test_what_never_has_its_turn_is_dead_after_its_age_and_once(body: Any) -> None:
    body.limits.append(Limit.per("destination:hook-0", 1, DAY, 1))
    for number in range(10):
        await body.publish(work_unit_id=f"wu-{number}")
    await body.clock.until(lambda: len(body.broker._delayed) == 9)
    body.clock.jump(WEEK + 1)
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1
    assert {reason for reason, _ in ends(body)} == {"exhausted"}
    assert [detail.partition(" in ")[0] for _, detail in ends(body)] == ["0 attempts"] * 9
    assert all("never its turn" in detail for _, detail in ends(body))


async def test_what_comes_back_too_old_is_not_tried_and_says_what_held_it_up(body: Any) -> None:
    body.channel.ends.append(REFUSED)
    await body.publish()
    await body.clock.until(lambda: len(body.channel.sends) == 1)
    body.clock.jump(WEEK + 1)
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1
    [(reason, detail)] = ends(body)
    assert (reason, detail.partition(" in ")[0], detail.partition("; ")[2]) == (
        "exhausted",
        "1 attempts",
        "the last: HTTP 500",
    )


async def test_what_was_given_up_is_tried_again_when_it_is_moved_back(body: Any) -> None:
    body.channel.ends.append(REFUSED)
    await body.publish()
    await body.clock.until(lambda: len(body.channel.sends) == 1)
    body.clock.jump(WEEK + 1)
    await body.clock.until(body.idle)
    [letter] = body.broker.dead
    await body.broker.publish(letter.body, letter.headers, Lane.NOTIFICATIONS)
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 2


async def test_the_age_of_a_notification_counts_from_when_its_unit_was_due(body: Any) -> None:
    body.channel.ends.append(REFUSED)
    await body.publish(not_before="2026-03-26T08:26:00Z")
    await body.clock.until(lambda: len(body.broker._delayed) == 1)
    body.clock.jump(20 * DAY)
    await body.clock.until(body.idle)
    assert [round((moment - START) / DAY, 2) for moment, _ in body.channel.sends] == [20, 20]
    assert body.broker.dead == []
