"""Our own parts go away at the worst moment, or somebody made a mistake: nothing multiplies, nothing loops."""

import asyncio
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest

from notification_sender.model.errors import ContextUnavailable, Rejected, SendFailed, Sent, SetupFault, Unready
from notification_sender.ports.broker import COUNTED, Lane
from notification_sender.ports.ledger import Key
from tests.virtual import START
from tests.worker.conftest import WorkerHarness

REFUSED = SendFailed("500", sent=Sent.ANSWERED)
DAY = 86_400.0


def reasons(harness: WorkerHarness) -> list[str]:
    return [message.headers["x-reason"] for message in harness.broker.dead]


@pytest.mark.parametrize(("end", "sends"), [(Rejected("404"), 1), (REFUSED, 2)])
async def test_a_step_that_was_durable_is_not_repeated_while_the_next_one_waits(
    harness: WorkerHarness, end: Exception, sends: int
) -> None:
    harness.channel.ends.append(end)
    harness.ledger.methods |= {"finish", "release"}
    await harness.publish()
    await harness.clock.until(lambda: harness.clock.now() > START + 60)
    harness.ledger.methods.clear()
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == sends
    assert reasons(harness) == (["rejected"] if sends == 1 else [])


@pytest.mark.long
async def test_a_token_that_cannot_be_had_for_a_destination_comes_to_an_end(harness: WorkerHarness) -> None:
    harness.channel.ends.extend([ContextUnavailable("aaa: 400")] * 30_000)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert reasons(harness) == ["context_unavailable"]
    assert DAY < harness.clock.now() - START < 1.1 * DAY


MISSING = SetupFault("the signing secret 'acme/noc' cannot be used", reason="secret_missing")
HOUR = 3600.0


@pytest.mark.parametrize("after", [1.0, 90.0, HOUR, 20 * HOUR])
async def test_a_file_of_ours_that_is_missing_uses_no_attempt_and_is_used_within_a_minute_of_its_coming(
    harness: WorkerHarness, after: float
) -> None:
    harness.channel.lacks = lambda *_: MISSING if harness.clock.now() < START + after else None
    await harness.publish()
    await harness.clock.until(harness.idle)
    [(at, notification)] = harness.channel.sends
    assert START + after <= at <= START + after + 60
    assert (notification.attempt, notification.tries, reasons(harness)) == (1, (), [])


async def test_a_file_that_goes_away_between_the_look_and_the_send_uses_no_attempt_either(
    harness: WorkerHarness,
) -> None:
    harness.channel.ends.append(MISSING)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert [notification.attempt for _, notification in harness.channel.sends] == [1, 1]
    assert reasons(harness) == []


@pytest.mark.long
async def test_a_file_that_never_comes_makes_it_dead_with_its_reason_at_the_age_limit(harness: WorkerHarness) -> None:
    harness.channel.lacks = lambda *_: MISSING
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert (harness.channel.sends, reasons(harness)) == ([], ["secret_missing"])
    assert "'acme/noc'" in harness.broker.dead[0].headers["x-detail"]
    assert DAY < harness.clock.now() - START < 1.1 * DAY


async def test_what_is_too_old_for_anything_still_says_which_file_it_waited_for(harness: WorkerHarness) -> None:
    harness.channel.lacks = lambda *_: MISSING
    await harness.publish()
    await harness.clock.until(lambda: len(harness.broker._delayed) == 1)
    harness.clock.jump(8 * DAY)
    await harness.clock.until(harness.idle)
    assert reasons(harness) == ["secret_missing"]


@pytest.mark.long
async def test_what_a_long_pause_took_is_not_counted_as_waiting_for_a_file(harness: WorkerHarness) -> None:
    later = SendFailed("503", sent=Sent.ANSWERED, retry_after=DAY)
    harness.channel.ends.extend([later, later])
    harness.channel.lacks = lambda *_: MISSING if 47 * HOUR < harness.clock.now() - START < 70 * HOUR else None
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert reasons(harness) == []
    assert [notification.attempt for _, notification in harness.channel.sends] == [1, 2, 3]


async def test_what_waits_for_a_file_takes_none_of_its_organizations_limit(harness: WorkerHarness) -> None:
    asked: list[Any] = []
    admit = harness.memory.admit
    harness.memory.admit = lambda ask: asked.append(ask) or admit(ask)
    harness.channel.lacks = lambda *_: MISSING if harness.clock.now() < START + HOUR else None
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert len(asked) == len(harness.channel.sends) == 1


async def test_a_bug_that_comes_each_time_is_dead_the_fifth_time(harness: WorkerHarness) -> None:
    harness.composer.check = lambda _: 1 / 0
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert reasons(harness) == ["crashed"]
    assert "ZeroDivisionError" in harness.broker.dead[0].headers["x-detail"]


async def test_the_age_of_a_unit_counts_from_when_it_was_due(harness: WorkerHarness) -> None:
    harness.composer.faults.append(ContextUnavailable("aaa: 503"))
    await harness.publish(not_before="2026-03-08T08:26:00Z")
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1
    assert reasons(harness) == []


async def test_every_unit_of_a_batch_that_could_be_read_is_seen(harness: WorkerHarness) -> None:
    batch = {"id": "nightly", "size": 4}
    await harness.publish(work_unit_id="good")
    await harness.clock.until(harness.idle)
    await harness.publish(work_unit_id="good", batch=batch)
    await harness.publish(work_unit_id="expired", expires_at="2026-03-01T00:00:00Z", batch=batch)
    await harness.publish(work_unit_id="not-yet", not_before="2027-03-01T00:00:00Z", batch=batch)
    harness.composer.refusals["odd"] = "no such recipe"
    await harness.publish(work_unit_id="odd", batch=batch)
    await harness.clock.until(lambda: len(harness.broker.dead) == 1)
    outcomes = await harness.memory.unit_states("nightly", "org-1")
    assert sorted(its[0].state for its in outcomes.values()) == ["dead", "delivered", "suppressed", "waiting"]


async def test_a_delivered_unit_that_comes_again_after_it_expired_is_no_dead_letter(harness: WorkerHarness) -> None:
    harness.composer.faults.append(ContextUnavailable("aaa: 503"))
    await harness.publish(expires_at="2026-03-06T08:27:00Z")
    await harness.clock.until(harness.idle)
    harness.clock.jump(120)
    await harness.publish(expires_at="2026-03-06T08:27:00Z", headers={"x-attempt": 2})
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1
    assert reasons(harness) == []


@pytest.mark.parametrize("attempt", [COUNTED - 1, COUNTED, COUNTED + 1, 2**52 - 1, 2**52, 2**52 + 1, 2**53])
async def test_a_unit_is_put_off_and_goes_on_however_often_somebody_says_it_was_tried(
    harness: WorkerHarness, attempt: int
) -> None:
    harness.composer.faults += [ContextUnavailable("aaa: 503"), ContextUnavailable("aaa: 503")]
    await harness.publish(headers={"x-attempt": attempt})
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1
    assert reasons(harness) == []


async def test_what_expires_while_somebody_holds_it_ends_once_that_lease_has(harness: WorkerHarness) -> None:
    harness.channel.ends.append(REFUSED)
    await harness.publish(expires_at="2026-03-06T08:26:30Z")
    await harness.clock.until(lambda: len(harness.broker._delayed) == 1)
    [key] = [it for it in harness.memory.records if it.kind == "notification"]
    harness.clock.jump(20)
    await harness.memory.claim(key, "died with it", 2, replays=0)
    harness.clock.jump(15)
    await harness.clock.until(harness.idle)
    assert harness.memory.records[key].state == "suppressed"
    assert len(harness.channel.sends) == 1


async def test_an_acceptance_that_is_remembered_is_recorded_when_another_copy_comes(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> None:
        raise Unready("the broker is away")

    harness.ledger.methods.add("finish")
    monkeypatch.setattr(harness.broker, "park", away)
    await harness.publish()
    await harness.clock.until(lambda: harness.metrics.unrecorded._value.get() == 1)
    harness.ledger.methods.clear()
    monkeypatch.undo()
    [(_, notification)] = harness.channel.sends
    await harness.broker.publish(notification.encode(), lane=Lane.NOTIFICATIONS)
    await harness.clock.until(harness.idle)
    [record] = [it for key, it in harness.memory.records.items() if key.kind == "notification"]
    assert (record.state, record.text) == ("suppressed", "already_delivered hook-0")
    assert len(harness.channel.sends) == 1


async def test_what_was_never_rendered_is_not_sent_when_it_comes_back(harness: WorkerHarness) -> None:
    await harness.publish()
    await harness.clock.until(harness.idle)
    [(_, notification)] = harness.channel.sends
    empty = replace(notification, notification_id="n-1", content={})
    await harness.broker.publish(empty.encode(), lane=Lane.NOTIFICATIONS)
    await harness.clock.until(harness.idle)
    assert reasons(harness) == ["render"]
    assert len(harness.channel.sends) == 1


async def test_a_unit_whose_lease_ends_in_a_moment_waits_for_that_in_hand(harness: WorkerHarness) -> None:
    await harness.memory.claim(Key("org-1", "unit", "wu-1"), "died with it", 1, replays=0)
    harness.clock.jump(29.5)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert [moment for moment, _ in harness.channel.sends] == [START + 30]
    assert harness.outcomes("unit", "deferred", "claimed_elsewhere") == 0


async def test_a_dead_unit_moved_back_opens_every_dead_notification_again(harness: WorkerHarness) -> None:
    harness.channel.ends.extend([Rejected("404")] * 40)
    await harness.publish(destinations=40)
    await harness.clock.until(harness.idle)
    assert len(harness.broker.dead) == 40
    harness.memory.records.pop(Key("org-1", "unit", "wu-1"))
    harness.composer.faults.append(ContextUnavailable("aaa: 503"))
    await harness.publish(destinations=40, headers={"x-reason": "rejected"})
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 80


async def test_copies_of_a_unit_whose_subject_is_missing_do_not_multiply_the_asking(harness: WorkerHarness) -> None:
    harness.composer.faults.extend([harness.not_found] * 3)
    for _ in range(75):
        await harness.publish()
    await harness.clock.until(harness.idle)
    assert len(harness.composer.composed) == 3


async def test_redeliveries_do_not_pile_up_while_nothing_can_be_done(harness: WorkerHarness) -> None:
    harness.ledger.methods.add("*")
    for number in range(3000):
        await harness.publish(work_unit_id=f"wu-{number}")
    await harness.clock.until(lambda: harness.worker.lanes.unsettled >= 400, limit=10)
    for _ in range(5):
        harness.reconnect()
        await asyncio.sleep(0)
    await harness.clock.until(lambda: True)
    assert harness.worker.lanes.unsettled <= 2 * 200 + 200


async def test_what_gets_its_store_back_too_late_to_be_sent_is_given_back(harness: WorkerHarness) -> None:
    harness.ledger.methods.add("admit")
    await harness.publish()
    await harness.clock.until(lambda: harness.ledger.calls > 0)
    closing = asyncio.create_task(harness.worker.close(10.0))
    await asyncio.sleep(0)
    harness.ledger.methods.clear()
    await harness.clock.until(closing.done)
    assert harness.channel.sends == []
    assert harness.pending == 1


async def test_what_has_no_slot_is_given_back_at_once(harness: WorkerHarness) -> None:
    answer = asyncio.Event()
    harness.channel.ends.extend([answer.wait] * 200)
    for number in range(300):
        await harness.publish(work_unit_id=f"wu-{number}", organization_id=f"org-{number % 10}")
    await harness.clock.until(lambda: len(harness.channel.sends) == 200)
    closing = asyncio.create_task(harness.worker.close(25.0))
    await harness.clock.until(lambda: harness.worker.lanes.unsettled == 200)
    assert (await harness.broker.depths()).units == 100
    answer.set()
    await closing
    assert len(harness.channel.sends) == 200


async def test_units_whose_workers_died_twice_are_worked_on_one_at_a_time_beside_others(harness: WorkerHarness) -> None:
    harness.channel.takes = lambda _: 1.0
    for number in range(3):
        for copy in range(2):
            await harness.memory.claim(Key("org-1", "unit", f"wu-{number}"), f"died {copy}", 1, replays=0)
            harness.clock.jump(30)
    start = harness.clock.now()
    for number in range(6):
        await harness.publish(work_unit_id=f"wu-{number}")
    await harness.clock.until(harness.idle)
    began = {notification.work_unit_id: moment - start for moment, notification in harness.channel.sends}
    assert [began[f"wu-{number}"] for number in range(3, 6)] == [0.0] * 3
    suspects = sorted(began[f"wu-{number}"] for number in range(3))
    assert all(later - earlier >= 1 for earlier, later in pairwise(suspects))
    assert len(harness.channel.sends) == 6
