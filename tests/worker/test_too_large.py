"""What cannot be parked is dead without its content, and holds up nothing: neither its siblings nor its worker."""

from typing import Any

import orjson
import pytest

from notification_sender.adapters.memory.broker import Message
from notification_sender.model.errors import SendFailed, Sent
from notification_sender.model.notification import decode
from notification_sender.policy.limits import Limit
from notification_sender.ports.broker import Lane
from notification_sender.worker import settle
from tests.worker.conftest import WorkerHarness

REFUSED = SendFailed("answered 500", sent=Sent.ANSWERED)
BROKER = "of the broker"
OURS = "of our own"


@pytest.fixture(params=[BROKER, OURS])
def small(request: pytest.FixtureRequest, harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Nothing may be as large as a parked copy."""
    if request.param == BROKER:
        harness.broker._largest = 100
    else:
        monkeypatch.setattr(settle, "MAX_READ", 100)
    return harness


def letters(harness: WorkerHarness) -> list[Message]:
    return list(harness.broker.dead)


def states(harness: WorkerHarness) -> dict[str, str]:
    return {key.kind: record.state for key, record in harness.memory.records.items()}


async def test_a_next_attempt_that_cannot_be_parked_is_dead_with_its_story_and_without_content(small: Any) -> None:
    small.channel.ends.append(REFUSED)
    await small.publish()
    await small.clock.until(small.idle)
    [letter] = letters(small)
    left = decode(letter.body)
    assert letter.headers["x-reason"] == "too_large"
    assert "100" in letter.headers["x-detail"]
    assert left.content == {}
    assert [it.error for it in left.tries] == ["answered 500"]
    assert len(small.channel.sends) == 1
    assert states(small) == {"unit": "done", "notification": "dead"}


async def test_what_is_not_its_turn_and_cannot_wait_is_dead(small: Any) -> None:
    small.limits.append(Limit("webhook", burst=1, interval=3600.0))
    await small.publish(destinations=2)
    await small.clock.until(small.idle)
    assert [it.headers["x-reason"] for it in letters(small)] == ["too_large"]
    assert len(small.channel.sends) == 1


async def test_a_unit_that_cannot_be_cut_is_dead_and_nobody_is_told(small: Any) -> None:
    await small.publish(destinations=40)
    await small.clock.until(small.idle)
    assert [it.headers["x-reason"] for it in letters(small)] == ["too_large"]
    assert small.channel.sends == []


async def test_one_that_is_moved_back_is_dead_again_and_not_sent_empty(small: Any) -> None:
    small.channel.ends.append(REFUSED)
    await small.publish()
    await small.clock.until(small.idle)
    letter = small.broker.dead.pop()
    small.broker._largest = None
    await small.broker.publish(letter.body, letter.headers, Lane.NOTIFICATIONS)
    await small.clock.until(small.idle)
    assert [it.headers["x-reason"] for it in letters(small)] == ["render"]
    assert len(small.channel.sends) == 1


async def test_a_unit_that_cannot_wait_leaves_a_letter_that_names_it_and_tells_nobody(harness: WorkerHarness) -> None:
    harness.broker._largest = 100
    harness.composer.faults.append(harness.not_found)
    await harness.publish()
    await harness.clock.until(harness.idle)
    [letter] = letters(harness)
    assert letter.headers["x-reason"] == "too_large"
    assert orjson.loads(letter.body) == {"organization_id": "org-1", "work_unit_id": "wu-1"}


async def test_what_cannot_be_read_and_is_too_large_as_it_is_keeps_its_reason_in_words(harness: WorkerHarness) -> None:
    harness.broker._largest = 100
    await harness.broker.publish(b"x" * 200)
    await harness.clock.until(harness.idle)
    [letter] = letters(harness)
    assert (letter.body, letter.headers["x-reason"]) == (b"", "too_large")
    assert "malformed" in letter.headers["x-detail"]


async def test_what_an_error_of_ours_puts_off_and_the_broker_takes_no_more_leaves_a_letter(
    harness: WorkerHarness,
) -> None:
    """It took the message once."""
    harness.broker._largest = 100
    harness.composer.faults.append(RuntimeError("an error of ours"))
    await harness.publish()
    await harness.clock.until(harness.idle)
    [letter] = letters(harness)
    assert letter.headers["x-reason"] == "too_large"
    assert "100" in letter.headers["x-detail"]
    assert harness.channel.sends == []
    assert (await harness.broker.depths()).units == 0
