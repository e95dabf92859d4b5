"""What an operator paused is not begun, uses no attempt, and holds nothing of others up."""

import pytest

from notification_sender.model.cause import Cause
from notification_sender.model.errors import ContextUnavailable, SendFailed, Sent, SetupFault
from notification_sender.model.notification import decode, notification_id
from notification_sender.model.override import Override, PauseScope
from notification_sender.model.unit import WorkUnit
from notification_sender.ports.ledger import Key
from tests.worker.conftest import WorkerHarness

HOUR, DAY = 3600.0, 86_400.0
ORG = PauseScope("org-1")
HOOK = {"destination_id": "hook-0", "channel": "webhook", "url": "https://hooks.example/x"}


def pause(harness: WorkerHarness, *scopes: PauseScope, seconds: float = HOUR) -> None:
    now = harness.clock.now()
    harness.pauses.replace([Override("pause", it.subject, now, now + seconds, "anna") for it in scopes])


def owners(harness: WorkerHarness) -> list[str]:
    return [it.organization_id for _, it in harness.channel.sends]


async def publish(harness: WorkerHarness, organization: str, units: int) -> None:
    for number in range(units):
        await harness.publish(organization_id=organization, work_unit_id=f"{organization}-{number}")


@pytest.mark.parametrize(
    "scope",
    [
        PauseScope(),
        ORG,
        PauseScope(channel="webhook"),
        PauseScope("org-1", channel="webhook"),
        PauseScope("org-1", destination_id="hook-0"),
    ],
    ids=lambda it: it.subject,
)
async def test_what_is_paused_is_sent_after_the_pause_and_not_before(harness: WorkerHarness, scope: PauseScope) -> None:
    pause(harness, scope)
    ends = harness.clock.now() + HOUR
    await harness.publish()
    await harness.clock.until(harness.idle)
    [(at, notification)] = harness.channel.sends
    assert ends <= at <= ends + 0.1 * HOUR
    assert notification.attempt == 1


@pytest.mark.parametrize(
    "scope",
    [
        PauseScope("org-2"),
        PauseScope(channel="email"),
        PauseScope("org-1", channel="email"),
        PauseScope("org-1", destination_id="hook-1"),
        PauseScope("org-2", destination_id="hook-0"),
    ],
    ids=lambda it: it.subject,
)
async def test_nothing_else_waits_for_a_pause(harness: WorkerHarness, scope: PauseScope) -> None:
    pause(harness, scope)
    began = harness.clock.now()
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert [at for at, _ in harness.channel.sends] == [began]


async def test_a_paused_organization_holds_up_no_other_and_is_looked_at_a_few_times(harness: WorkerHarness) -> None:
    pause(harness, ORG)
    began = harness.clock.now()
    await publish(harness, "org-1", 500)
    await publish(harness, "org-2", 5)
    await harness.clock.until(lambda: len(harness.channel.sends) == 5)
    assert [(at, it.organization_id) for at, it in harness.channel.sends] == [(began, "org-2")] * 5
    await harness.clock.until(harness.idle)
    assert owners(harness)[5:] == ["org-1"] * 500
    assert min(at for at, _ in harness.channel.sends[5:]) >= began + HOUR
    assert {it.attempt for _, it in harness.channel.sends} == {1}
    assert harness.outcomes("unit", "deferred", "paused") <= 500 * 8
    assert harness.ledger.asked.count("claim") == 505


async def test_a_notification_that_comes_back_during_a_pause_keeps_its_attempt(harness: WorkerHarness) -> None:
    harness.channel.ends.append(SendFailed("answered 503", sent=Sent.ANSWERED, status=503))
    await harness.publish()
    await harness.clock.until(lambda: len(harness.channel.sends) == 1)
    pause(harness, ORG)
    ends = harness.clock.now() + HOUR
    await harness.clock.until(harness.idle)
    [(_, first), (at, second)] = harness.channel.sends
    assert at >= ends
    assert (first.attempt, second.attempt) == (1, 2)


async def test_a_pause_that_only_redis_knows_is_the_last_word_and_uses_no_attempt(harness: WorkerHarness) -> None:
    harness.memory.pauses["org-1", "organization"] = round((harness.clock.now() + 10.0) * 1_000_000)
    ends = harness.clock.now() + 10.0
    await harness.publish()
    await harness.clock.until(harness.idle)
    [(at, notification)] = harness.channel.sends
    assert ends <= at <= ends + 2.0
    assert notification.attempt == 1
    assert harness.outcomes("notification", "deferred", "paused") == 1
    key = Key("org-1", "notification", notification.notification_id)
    assert harness.memory.records[key].state == "delivered"


async def test_what_is_resumed_goes_on_at_its_next_look(harness: WorkerHarness) -> None:
    pause(harness, ORG)
    began = harness.clock.now()
    await harness.publish()
    await harness.clock.until(lambda: harness.outcomes("unit", "deferred", "paused") == 1)
    harness.pauses.replace([])
    await harness.clock.until(harness.idle)
    [(at, _)] = harness.channel.sends
    assert at - began <= 35.0


MISSING = SetupFault("no key noc", reason="secret_missing")
REFUSED = SendFailed("answered 503", sent=Sent.ANSWERED, status=503)


async def test_a_unit_that_was_paused_beyond_its_age_is_not_given_up_at_its_next_fault(harness: WorkerHarness) -> None:
    pause(harness, ORG, seconds=3 * DAY)  # NS_MAX_AGE: a day
    harness.composer.faults.append(ContextUnavailable("incidents: 503", cause=Cause("incident", "incidents", 503)))
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert (len(harness.channel.sends), harness.broker.dead) == (1, [])


async def test_a_notification_that_was_paused_beyond_its_age_is_tried_again(harness: WorkerHarness) -> None:
    harness.channel.ends.append(REFUSED)
    await harness.publish()
    await harness.clock.until(lambda: len(harness.channel.sends) == 1)
    pause(harness, ORG, seconds=8 * DAY)  # NS_DELIVERY_MAX_AGE: a week
    await harness.clock.until(harness.idle)
    assert ([it.attempt for _, it in harness.channel.sends], harness.broker.dead) == ([1, 2], [])


async def test_the_wait_for_a_file_of_the_operator_does_not_count_a_pause(harness: WorkerHarness) -> None:
    harness.channel.ends.append(REFUSED)
    await harness.publish()
    await harness.clock.until(lambda: len(harness.channel.sends) == 1)
    pause(harness, ORG, seconds=8 * DAY)
    ends = harness.clock.now() + 8 * DAY
    harness.channel.lacks = lambda *_: MISSING if harness.clock.now() < ends + 3 * HOUR else None
    await harness.clock.until(harness.idle)
    assert ([it.attempt for _, it in harness.channel.sends], harness.broker.dead) == ([1, 2], [])


async def test_only_the_time_of_the_pause_does_not_count(harness: WorkerHarness) -> None:
    harness.channel.ends.extend([REFUSED] * 4)  # the attempts of its schedule: 5 s, 5 min, 30 min
    pause(harness, ORG, seconds=8 * DAY)
    await harness.publish()
    await harness.clock.until(harness.idle)
    [dead] = harness.broker.dead
    seconds = float(dead.headers["x-detail"].removeprefix("4 attempts in ").partition(" s;")[0])
    assert 2105 <= seconds <= 2105 * 1.2


async def test_what_a_destination_that_is_off_is_not_sent_is_kept_without_content(harness: WorkerHarness) -> None:
    harness.memory.pauses["org-1", "off/hook-0"] = round((harness.clock.now() + HOUR) * 1_000_000)
    await harness.publish(fingerprint="2026-03-06T08:00:00Z")
    await harness.clock.until(harness.idle)
    [message] = harness.memory.withheld["org-1", "hook-0"]
    kept = decode(message)
    assert (harness.channel.sends, kept.content, len(message) < 1000) == ([], {}, True)
    assert kept.unit is not None
    assert notification_id(WorkUnit.model_validate(kept.unit), "hook-0") == kept.notification_id
    assert kept.unit["destinations"] == [HOOK | {"enabled": True}]
