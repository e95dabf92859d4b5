"""What is told of an end, and of which."""

from pathlib import Path
from typing import Any

import jsonschema
import orjson
import pytest

from notification_sender.model.cause import Cause, Phase
from notification_sender.model.errors import ContextUnavailable, Gone, Rejected, SendFailed, Sent
from notification_sender.ports.broker import Lane
from tests.worker.conftest import WorkerHarness

REFERENCE = Path(__file__).parents[2] / "docs" / "reference"
SCHEMA = orjson.loads((REFERENCE / "event.schema.json").read_bytes())
ATTRIBUTES = {"specversion", "id", "source", "type", "subject", "time", "datacontenttype", "data"}
REFUSED = SendFailed("503 from hooks.example", sent=Sent.ANSWERED, status=503)


def published_events(harness: WorkerHarness) -> list[tuple[str, dict[str, Any]]]:
    """Each is as the reference says, and says nothing else."""
    events = [(topic, orjson.loads(event)) for topic, event in harness.broker.events]
    for _, event in events:
        check(event)
    return events


def check(event: dict[str, Any]) -> None:
    jsonschema.validate(event["data"], SCHEMA)
    assert event["data"].keys() <= SCHEMA["properties"].keys()
    assert event.keys() == ATTRIBUTES


def topics(harness: WorkerHarness) -> list[str]:
    return [topic for topic, _ in harness.broker.events]


def test_the_example_in_the_reference_is_one() -> None:
    _, _, example = (REFERENCE / "events.md").read_text().partition("```json")
    check(orjson.loads(example.partition("```")[0]))


async def test_each_attempt_tells_how_it_ended(harness: WorkerHarness) -> None:
    harness.channel.ends.append(REFUSED)
    await harness.publish()
    await harness.clock.until(harness.idle)
    (_, failed), (_, delivered) = published_events(harness)
    assert topics(harness) == ["webhook.failed", "webhook.delivered"]
    assert failed["type"] == "notification-sender.notification.failed"
    assert failed["subject"] == delivered["subject"] == harness.channel.sends[0][1].notification_id
    assert {"attempt": 1, "sent": "answered", "status": 503, "delay_ms": 5000.0}.items() <= failed["data"].items()
    assert {"attempt": 2, "work_unit_id": "wu-1", "event": "incident.updated"}.items() <= delivered["data"].items()
    assert delivered["data"]["age_ms"] == 5000.0


async def test_what_is_given_up_is_told_with_its_last_answer(harness: WorkerHarness) -> None:
    harness.channel.ends.extend([REFUSED] * 4)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert topics(harness) == ["webhook.failed"] * 3 + ["webhook.dead"]
    data = published_events(harness)[-1][1]["data"]
    assert (data["outcome"], data["reason"], data["sent"], data["status"]) == ("dead", "exhausted", "answered", 503)


async def test_a_unit_has_no_channel(harness: WorkerHarness) -> None:
    harness.composer.refusals["wu-bad"] = "incident_id: missing"
    await harness.publish(work_unit_id="wu-bad")
    await harness.publish(destinations=0)
    await harness.broker.publish(b"nonsense")
    await harness.clock.until(harness.idle)
    reasons = sorted((topic, event["data"]["reason"]) for topic, event in published_events(harness))
    assert reasons == [("unit.dead", "malformed"), ("unit.dead", "schema"), ("unit.suppressed", "no_destinations")]


async def test_a_destination_that_turns_is_told_beside_the_attempt_that_turned_it(harness: WorkerHarness) -> None:
    harness.channel.ends.extend([Gone("410", status=410)] * 2)
    for unit in ("wu-1", "wu-2", "wu-3"):
        await harness.publish(work_unit_id=unit)
        await harness.clock.until(harness.idle)
        harness.clock.jump(8 * 86_400)
    off = ["webhook.disabled", "webhook.dead"]
    assert topics(harness) == [*off, *off, "webhook.recovered", "webhook.delivered"]
    (_, disabled), _, (_, again), _, (_, recovered), _ = published_events(harness)
    assert disabled["id"] != again["id"]
    assert disabled["type"] == "notification-sender.destination.disabled"
    assert disabled["subject"] == recovered["subject"] == "hook-0"
    assert [it["data"]["reason"] for it in (disabled, recovered)] == ["gone", "accepted"]
    assert disabled["data"]["organization_id"] == "org-1"


async def test_what_is_only_put_off_is_not_told(harness: WorkerHarness) -> None:
    harness.composer.faults.append(ContextUnavailable("aaa: 503"))
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert topics(harness) == ["webhook.delivered"]


@pytest.mark.long
async def test_of_what_our_own_apis_held_up_for_too_long_it_is_told_which_and_how(harness: WorkerHarness) -> None:
    cause = Cause("organization", "aaa", 503, Phase.READ)
    harness.composer.faults.extend([ContextUnavailable("organization: aaa answered 503", cause=cause)] * 10_000)
    await harness.publish()
    await harness.clock.until(harness.idle)
    [(topic, event)] = published_events(harness)
    assert (topic, event["data"]["reason"]) == ("unit.dead", "context_unavailable")
    assert event["data"]["cause"] == {"source": "organization", "api": "aaa", "status": 503, "phase": "read"}
    assert event["data"]["because"] == "context_unavailable:organization aaa 503 read"


async def test_the_same_end_told_twice_has_one_id_and_another_end_another(harness: WorkerHarness) -> None:
    for _ in range(3):
        await harness.publish()
    for _ in range(2):
        await harness.publish(organization_id="org-2")
    await harness.clock.until(harness.idle)
    ids = [event["id"] for _, event in published_events(harness)]
    assert sorted(topics(harness)) == ["unit.suppressed"] * 3 + ["webhook.delivered"] * 2
    assert len(set(ids)) == 4


async def test_what_ends_as_before_when_it_is_moved_back_is_another_end(harness: WorkerHarness) -> None:
    harness.channel.ends.extend([Rejected("404", status=404)] * 2)
    await harness.publish()
    await harness.clock.until(harness.idle)
    [letter] = harness.broker.dead
    await harness.broker.publish(letter.body, letter.headers, Lane.NOTIFICATIONS)
    await harness.clock.until(harness.idle)
    (_, first), (_, again) = published_events(harness)
    assert (first["data"]["replays"], again["data"]["replays"]) == (0, 1)
    assert first["id"] != again["id"]


async def test_tries_are_counted_on_when_a_dead_letter_is_moved_back(harness: WorkerHarness) -> None:
    harness.channel.ends.extend([REFUSED] * 5)
    await harness.publish()
    await harness.clock.until(harness.idle)
    [letter] = harness.broker.dead
    await harness.broker.publish(letter.body, letter.headers, Lane.NOTIFICATIONS)
    await harness.clock.until(harness.idle)
    events = [event for _, event in published_events(harness)]
    assert [(event["data"]["attempt"], event["data"]["try"]) for event in events[-2:]] == [(1, 5), (2, 6)]
    assert len({event["id"] for event in events}) == len(events) == 6


@pytest.mark.parametrize("end", [None, REFUSED, Gone("410 whsec_canary")])
async def test_an_event_says_nothing_that_only_the_recipient_knows(
    harness: WorkerHarness, end: Exception | None
) -> None:
    if end is not None:
        harness.channel.ends.append(end)
    hook = {"destination_id": "hook", "channel": "webhook", "url": "https://hooks.example/canary", "secret": "canary"}
    unit = {"work_unit_id": "wu-1", "organization_id": "org-1", "incident_id": "inc-1", "destinations": [hook]}
    await harness.broker.publish(orjson.dumps(unit))
    await harness.clock.until(harness.idle)
    assert harness.broker.events
    for _, event in harness.broker.events:
        for word in (b"canary", b"hooks.example", b"whsec", b"composition"):
            assert word not in event
