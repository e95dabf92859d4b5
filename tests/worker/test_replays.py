"""What becomes of dead letters that are moved back to their queue: once each, however often they are handed out."""

from typing import Any

import orjson
import pytest

from notification_sender.adapters.memory.broker import Message
from notification_sender.model.destination import recipient_hash
from notification_sender.model.errors import Gone, Rejected, SendFailed, Sent
from notification_sender.ports.broker import Lane
from notification_sender.ports.ledger import Key

REFUSED = SendFailed("answered 500", sent=Sent.ANSWERED)
NOT_FOUND = Rejected("answered 404")
READER = Key("org-1", "recipient", recipient_hash("https://hooks.example/x"))


async def move_back(body: Any, letter: Message, lane: Lane = Lane.NOTIFICATIONS) -> None:
    await body.broker.publish(letter.body, letter.headers, lane)
    await body.clock.until(body.idle)


async def dead(body: Any, *ends: Exception) -> Message:
    """The one dead letter of what is published now."""
    body.channel.ends.extend(ends)
    await body.publish()
    await body.clock.until(body.idle)
    [letter] = body.broker.dead
    body.broker.dead.clear()
    return letter  # type: ignore[no-any-return]


def numbers(body: Any) -> list[tuple[int, int]]:
    return [(sent.replays, sent.attempt) for _, sent in body.channel.sends]


def record(body: Any) -> Any:
    [found] = [it for key, it in body.memory.records.items() if key.kind == "notification"]
    return found


async def test_a_letter_that_is_handed_out_again_after_its_replay_died_opens_nothing(body: Any) -> None:
    letter = await dead(body, NOT_FOUND, REFUSED, NOT_FOUND)
    await move_back(body, letter)
    await move_back(body, letter)
    assert numbers(body) == [(0, 1), (1, 1), (1, 2)]
    assert [it.headers["x-replayed"] for it in body.broker.dead] == [1]


async def test_a_letter_that_is_handed_out_twice_at_once_makes_one_chain_of_attempts(body: Any) -> None:
    letter = await dead(body, NOT_FOUND)
    body.channel.ends.append(REFUSED)
    await body.broker.publish(letter.body, letter.headers, Lane.NOTIFICATIONS)
    await move_back(body, letter)
    assert numbers(body) == [(0, 1), (1, 1), (1, 2)]
    assert record(body).state == "delivered"


async def test_each_replay_has_the_whole_schedule_and_can_be_moved_back_itself(body: Any) -> None:
    letter = await dead(body, *[REFUSED] * 8)
    await move_back(body, letter)
    [again] = body.broker.dead
    await move_back(body, again)
    tries = [(replays, attempt) for replays in (0, 1) for attempt in (1, 2, 3, 4)]
    assert numbers(body) == [*tries, (2, 1)]
    assert record(body).state == "delivered"


async def test_a_letter_of_the_version_before_opens_what_is_dead(body: Any) -> None:
    letter = await dead(body, NOT_FOUND)
    old = orjson.loads(letter.body)
    del old["replays"]
    await move_back(body, Message(orjson.dumps(old | {"attempt": 9}), letter.headers))
    assert numbers(body) == [(0, 1), (1, 1)]
    assert record(body).state == "delivered"


async def test_a_unit_moved_back_that_is_worked_on_twice_opens_its_dead_notifications_once(body: Any) -> None:
    await dead(body, NOT_FOUND, NOT_FOUND)
    for _ in range(2):
        # Its worker died with it, and had no time to say so.
        body.memory.records.pop(Key("org-1", "unit", "wu-1"))
        await body.publish(headers={"x-reason": "crashed"})
        await body.clock.until(body.idle)
    assert numbers(body) == [(0, 1), (1, 1)]
    assert record(body).state == "dead"


@pytest.mark.parametrize("way", ["disabled", "unsubscribed", "expired"])
async def test_what_is_moved_back_and_not_wanted_any_more_is_suppressed_and_recorded_so(body: Any, way: str) -> None:
    letter = await dead(body, Gone("answered 410") if way == "disabled" else NOT_FOUND)
    if way == "unsubscribed":
        body.memory.unsubscribed.add(READER)
    if way == "expired":
        late = orjson.loads(letter.body) | {"expires_at": "2026-03-06T08:26:00Z"}
        letter = Message(orjson.dumps(late), letter.headers)
    await move_back(body, letter)
    assert record(body).state == "suppressed"
    assert body.broker.dead == []
    await move_back(body, letter)
    assert len(body.channel.sends) == 1
