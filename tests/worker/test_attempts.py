"""What is looked at before the first byte, and what an attempt leaves behind."""

from typing import Any

import pytest

from notification_sender.model.errors import Rejected, SendFailed, Sent, SlowDown
from notification_sender.policy.limits import SECOND
from notification_sender.ports.broker import Lane
from tests.virtual import START
from tests.worker.conftest import WorkerHarness

DAY, LEASE = 86_400.0, 30.0
REFUSED = SendFailed("answered 500", sent=Sent.ANSWERED, answer="we are busy")
BROKEN_OFF = SendFailed("the connection was closed without an answer", sent=Sent.UNKNOWN)


def offsets(harness: WorkerHarness) -> list[float]:
    return [round(moment - START, 3) for moment, _ in harness.channel.sends]


def reasons(harness: WorkerHarness) -> list[str]:
    return [message.headers["x-reason"] for message in harness.broker.dead]


def attempts(harness: WorkerHarness) -> list[dict[str, Any]]:
    """The attempts of all stories, without what the ledger adds to each event, and without the origin of the facts."""
    told = [event for story in harness.memory.stories.told.values() for event in story if event["step"] == "send"]
    names = ("outcome", "reason", "attempt", "at", "ms", "error", "answer", "receipt")
    return [{name: it[name] for name in names if name in it} for it in told]


async def test_a_claim_that_is_lost_before_the_first_byte_sends_nothing_and_asks_again(harness: WorkerHarness) -> None:
    async def store_forgets() -> None:
        harness.memory.records.clear()

    harness.channel.before.append(store_forgets)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert offsets(harness) == [1.0]
    assert reasons(harness) == []


async def test_a_claim_that_begins_the_send_is_checked_again_after_a_tenth_of_its_lease(harness: WorkerHarness) -> None:
    async def dials_and_the_store_forgets() -> None:
        await harness.clock.sleep(LEASE / 10)
        harness.memory.records.clear()

    harness.channel.connected = True
    harness.channel.before.append(dials_and_the_store_forgets)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert offsets(harness) == [LEASE / 10 + 1.0]


@pytest.mark.parametrize(
    ("connected", "held", "questions"),
    [
        (True, set(), ["claim", "admit", "finish"]),
        (False, set(), ["claim", "admit", "begin", "finish"]),
        (True, {"webhook"}, ["claim", "admit", "begin", "finish"]),
    ],
)
async def test_a_unit_with_one_webhook_asks_the_ledger_for_claim_admission_and_end(
    harness: WorkerHarness,
    connected: bool,  # noqa: FBT001 - a parameter
    held: set[str],
    questions: list[str],
) -> None:
    harness.channel.connected = connected
    harness.hold_unknown |= held
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1
    assert harness.ledger.asked == questions


async def test_a_claim_is_held_for_as_long_as_its_send_takes(harness: WorkerHarness) -> None:
    async def for_long() -> None:
        await harness.clock.sleep(200)

    harness.channel.ends.append(for_long)
    await harness.publish()
    await harness.clock.until(lambda: harness.clock.now() > START + 150)
    [record] = [it for key, it in harness.memory.records.items() if key.kind == "notification"]
    assert record.state == "transmitting"
    assert record.lease > harness.clock.now() * SECOND
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1


@pytest.mark.parametrize(("held", "sends", "dead"), [({"webhook"}, 1, ["unknown"]), (set(), 2, [])])
async def test_a_send_without_a_known_end_is_repeated_unless_it_is_to_be_held(
    harness: WorkerHarness, held: set[str], sends: int, dead: list[str]
) -> None:
    harness.hold_unknown |= held
    harness.channel.ends.append(BROKEN_OFF)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == sends
    assert reasons(harness) == dead


async def test_a_receiver_that_asks_for_time_gets_nothing_from_anybody_until_then(harness: WorkerHarness) -> None:
    harness.channel.ends.append(SendFailed("answered 429", sent=Sent.ANSWERED, retry_after=60))
    await harness.publish(work_unit_id="wu-1")
    await harness.clock.until(lambda: len(harness.channel.sends) == 1)
    for number in range(2, 6):
        await harness.publish(work_unit_id=f"wu-{number}")
    await harness.clock.until(harness.idle)
    first, *later = offsets(harness)
    assert len(later) == 5
    assert min(later) >= first + 60
    assert max(later) <= first + 67


async def test_a_service_on_the_way_that_asks_for_time_costs_no_attempt(harness: WorkerHarness) -> None:
    harness.channel.ends.append(SlowDown("421 4.7.28", seconds=15))
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert [it.attempt for _, it in harness.channel.sends] == [1, 1]
    assert offsets(harness)[1] >= 15


async def test_what_accepts_nothing_for_five_days_gets_nothing_for_a_week_and_then_recovers(
    harness: WorkerHarness,
) -> None:
    for day in range(14):
        harness.channel.ends.extend([Rejected("answered 404")] if day < 6 else [])
        await harness.publish(work_unit_id=f"wu-{day}")
        await harness.clock.until(harness.idle)
        harness.clock.jump(START + (day + 1) * DAY - harness.clock.now())
    assert [round(moment / DAY) for moment in offsets(harness)] == [0, 1, 2, 3, 4, 5, 12, 13]
    assert reasons(harness) == ["rejected"] * 6
    [place] = harness.memory.places.places.values()
    assert (place.off, place.failing) == ("", None)


async def test_every_attempt_leaves_its_line_in_the_ledger(harness: WorkerHarness) -> None:
    harness.channel.ends.append(REFUSED)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert attempts(harness) == [
        {
            "attempt": 1,
            "at": START,
            "ms": 0.0,
            "outcome": "failed",
            "error": "answered 500",
            "reason": "sent_answered",
            "answer": "we are busy",
        },
        {"attempt": 2, "at": START + 5, "ms": 0.0, "outcome": "delivered", "receipt": "200"},
    ]


async def test_a_parked_copy_that_comes_twice_makes_one_chain_of_attempts(harness: WorkerHarness) -> None:
    harness.channel.ends.append(REFUSED)
    await harness.publish()
    await harness.clock.until(lambda: len(harness.broker._delayed) == 1)
    copy = harness.broker._delayed[0][3]
    await harness.broker.publish(copy.body, copy.headers, lane=Lane.NOTIFICATIONS)
    await harness.clock.until(harness.idle)
    assert [it.attempt for _, it in harness.channel.sends] == [1, 2]


async def test_what_is_claimed_already_when_the_store_comes_back_is_sent_though_its_host_went_out(
    harness: WorkerHarness,
) -> None:
    async def store_goes_and_the_host_too() -> None:
        harness.ledger.methods.add("begin")
        permit = await harness.hosts.acquire("https://hooks.example/x", "org")
        permit.wish = 60.0
        harness.hosts.release(permit)

    harness.channel.before.append(store_goes_and_the_host_too)
    await harness.publish()
    await harness.clock.until(lambda: harness.clock.now() > START + 3)
    harness.ledger.methods.clear()
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1
    assert offsets(harness)[0] < 5
