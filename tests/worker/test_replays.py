"""What becomes of dead letters that are moved back to their queue: once each, however often they are handed out."""

from typing import Any

import orjson
import pytest

from notification_sender.adapters.memory.broker import Message
from notification_sender.model.destination import recipient_hash
from notification_sender.model.errors import Gone, Rejected, SendFailed, Sent
from notification_sender.ports.broker import Lane
from notification_sender.ports.ledger import Key
from tests.worker.conftest import WorkerHarness

REFUSED = SendFailed("answered 500", sent=Sent.ANSWERED)
NOT_FOUND = Rejected("answered 404")
READER = Key("org-1", "recipient", recipient_hash("https://hooks.example/x"))


async def move_back(harness: WorkerHarness, letter: Message, lane: Lane = Lane.NOTIFICATIONS) -> None:
    await harness.broker.publish(letter.body, letter.headers, lane)
    await harness.clock.until(harness.idle)


async def dead(harness: WorkerHarness, *ends: Exception) -> Message:
    """The one dead letter of what is published now."""
    harness.channel.ends.extend(ends)
    await harness.publish()
    await harness.clock.until(harness.idle)
    [letter] = harness.broker.dead
    harness.broker.dead.clear()
    return letter  # type: ignore[no-any-return]


def numbers(harness: WorkerHarness) -> list[tuple[int, int]]:
    return [(sent.replays, sent.attempt) for _, sent in harness.channel.sends]


def record(harness: WorkerHarness) -> Any:
    [found] = [it for key, it in harness.memory.records.items() if key.kind == "notification"]
    return found


async def test_a_letter_that_is_handed_out_again_after_its_replay_died_opens_nothing(harness: WorkerHarness) -> None:
    letter = await dead(harness, NOT_FOUND, REFUSED, NOT_FOUND)
    await move_back(harness, letter)
    await move_back(harness, letter)
    assert numbers(harness) == [(0, 1), (1, 1), (1, 2)]
    assert [it.headers["x-replayed"] for it in harness.broker.dead] == [1]


async def test_a_letter_that_is_handed_out_twice_at_once_makes_one_chain_of_attempts(harness: WorkerHarness) -> None:
    letter = await dead(harness, NOT_FOUND)
    harness.channel.ends.append(REFUSED)
    await harness.broker.publish(letter.body, letter.headers, Lane.NOTIFICATIONS)
    await move_back(harness, letter)
    assert numbers(harness) == [(0, 1), (1, 1), (1, 2)]
    assert record(harness).state == "delivered"


async def test_each_replay_has_the_whole_schedule_and_can_be_moved_back_itself(harness: WorkerHarness) -> None:
    letter = await dead(harness, *[REFUSED] * 8)
    await move_back(harness, letter)
    [again] = harness.broker.dead
    await move_back(harness, again)
    tries = [(replays, attempt) for replays in (0, 1) for attempt in (1, 2, 3, 4)]
    assert numbers(harness) == [*tries, (2, 1)]
    assert record(harness).state == "delivered"


async def test_a_letter_of_the_version_before_opens_what_is_dead(harness: WorkerHarness) -> None:
    letter = await dead(harness, NOT_FOUND)
    old = orjson.loads(letter.body)
    del old["replays"]
    await move_back(harness, Message(orjson.dumps(old | {"attempt": 9}), letter.headers))
    assert numbers(harness) == [(0, 1), (1, 1)]
    assert record(harness).state == "delivered"


async def test_a_unit_moved_back_that_is_worked_on_twice_opens_its_dead_notifications_once(
    harness: WorkerHarness,
) -> None:
    await dead(harness, NOT_FOUND, NOT_FOUND)
    for _ in range(2):
        # Its worker died with it, and had no time to say so.
        harness.memory.records.pop(Key("org-1", "unit", "wu-1"))
        await harness.publish(headers={"x-reason": "crashed"})
        await harness.clock.until(harness.idle)
    assert numbers(harness) == [(0, 1), (1, 1)]
    assert record(harness).state == "dead"


@pytest.mark.parametrize("way", ["disabled", "unsubscribed", "expired"])
async def test_what_is_moved_back_and_not_wanted_any_more_is_suppressed_and_recorded_so(
    harness: WorkerHarness, way: str
) -> None:
    letter = await dead(harness, Gone("answered 410") if way == "disabled" else NOT_FOUND)
    if way == "unsubscribed":
        harness.memory.unsubscribed.add(READER)
    if way == "expired":
        late = orjson.loads(letter.body) | {"expires_at": "2026-03-06T08:26:00Z"}
        letter = Message(orjson.dumps(late), letter.headers)
    await move_back(harness, letter)
    assert record(harness).state == "suppressed"
    assert harness.broker.dead == []
    await move_back(harness, letter)
    assert len(harness.channel.sends) == 1
