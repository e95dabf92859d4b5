"""What is looked at before the first byte, and what an attempt leaves behind."""

import json
from typing import Any

import pytest

from notification_sender.model.errors import Rejected, SendFailed, Sent, SlowDown
from notification_sender.policy.limits import SECOND
from notification_sender.ports.broker import Lane
from tests.virtual import START

DAY = 86_400.0
REFUSED = SendFailed("answered 500", sent=Sent.ANSWERED, answer="we are busy")
BROKEN_OFF = SendFailed("the connection was closed without an answer", sent=Sent.UNKNOWN)


def offsets(body: Any) -> list[float]:
    return [round(moment - START, 3) for moment, _ in body.channel.sends]


def reasons(body: Any) -> list[str]:
    return [message.headers["x-reason"] for message in body.broker.dead]


def stories(body: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for lines in body.memory.stories.values() for line in lines]


async def test_a_claim_that_is_lost_before_the_first_byte_sends_nothing_and_asks_again(body: Any) -> None:
    async def store_forgets() -> None:
        body.memory.records.clear()

    body.channel.before.append(store_forgets)
    await body.publish()
    await body.clock.until(body.idle)
    assert offsets(body) == [1.0]
    assert reasons(body) == []


async def test_a_claim_is_held_for_as_long_as_its_send_takes(body: Any) -> None:
    async def for_long() -> None:
        await body.clock.sleep(200)

    body.channel.ends.append(for_long)
    await body.publish()
    await body.clock.until(lambda: body.clock.now() > START + 150)
    [record] = [it for key, it in body.memory.records.items() if key.kind == "notification"]
    assert record.state == "transmitting"
    assert record.lease > body.clock.now() * SECOND
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1


@pytest.mark.parametrize(("held", "sends", "dead"), [({"webhook"}, 1, ["unknown"]), (set(), 2, [])])
async def test_a_send_without_a_known_end_is_repeated_unless_it_is_to_be_held(
    body: Any, held: set[str], sends: int, dead: list[str]
) -> None:
    body.hold_unknown |= held
    body.channel.ends.append(BROKEN_OFF)
    await body.publish()
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == sends
    assert reasons(body) == dead


async def test_a_receiver_that_asks_for_time_gets_nothing_from_anybody_until_then(body: Any) -> None:
    body.channel.ends.append(SendFailed("answered 429", sent=Sent.ANSWERED, retry_after=60))
    await body.publish(work_unit_id="wu-1")
    await body.clock.until(lambda: len(body.channel.sends) == 1)
    for number in range(2, 6):
        await body.publish(work_unit_id=f"wu-{number}")
    await body.clock.until(body.idle)
    first, *later = offsets(body)
    assert len(later) == 5
    assert min(later) >= first + 60
    assert max(later) <= first + 67


async def test_a_service_on_the_way_that_asks_for_time_costs_no_attempt(body: Any) -> None:
    body.channel.ends.append(SlowDown("421 4.7.28", seconds=15))
    await body.publish()
    await body.clock.until(body.idle)
    assert [it.attempt for _, it in body.channel.sends] == [1, 1]
    assert offsets(body)[1] >= 15


async def test_what_accepts_nothing_for_five_days_gets_nothing_for_a_week_and_then_recovers(body: Any) -> None:
    for day in range(14):
        body.channel.ends.extend([Rejected("answered 404")] if day < 6 else [])
        await body.publish(work_unit_id=f"wu-{day}")
        await body.clock.until(body.idle)
        body.clock.jump(START + (day + 1) * DAY - body.clock.now())
    assert [round(moment / DAY) for moment in offsets(body)] == [0, 1, 2, 3, 4, 5, 12, 13]
    assert reasons(body) == ["rejected"] * 6
    [place] = body.memory.places.places.values()
    assert (place.off, place.failing) == ("", None)


async def test_every_attempt_leaves_its_line_in_the_ledger(body: Any) -> None:
    body.channel.ends.append(REFUSED)
    await body.publish()
    await body.clock.until(body.idle)
    assert stories(body) == [
        {
            "attempt": 1,
            "at": START,
            "ms": 0.0,
            "class": "failed",
            "error": "answered 500",
            "sent": "answered",
            "answer": "we are busy",
        },
        {"attempt": 2, "at": START + 5, "ms": 0.0, "class": "delivered", "receipt": "200"},
    ]


async def test_a_parked_copy_that_comes_twice_makes_one_chain_of_attempts(body: Any) -> None:
    body.channel.ends.append(REFUSED)
    await body.publish()
    await body.clock.until(lambda: len(body.broker._delayed) == 1)
    copy = body.broker._delayed[0][3]
    await body.broker.publish(copy.body, copy.headers, lane=Lane.NOTIFICATIONS)
    await body.clock.until(body.idle)
    assert [it.attempt for _, it in body.channel.sends] == [1, 2]


async def test_what_is_claimed_already_when_the_store_comes_back_is_sent_though_its_host_went_out(body: Any) -> None:
    async def store_goes_and_the_host_too() -> None:
        body.ledger.methods.add("begin")
        permit = await body.hosts.acquire("https://hooks.example/x", "org")
        permit.wish = 60.0
        body.hosts.release(permit)

    body.channel.before.append(store_goes_and_the_host_too)
    await body.publish()
    await body.clock.until(lambda: body.clock.now() > START + 3)
    body.ledger.methods.clear()
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1
    assert offsets(body)[0] < 5
