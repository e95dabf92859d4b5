"""What becomes of a unit, whatever happens to it on the way."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest

from notification_sender.model.errors import (
    ContextUnavailable,
    Gone,
    Rejected,
    RenderFault,
    SendFailed,
    Sent,
    SubjectNotFound,
    TenantMismatch,
    Unready,
)
from notification_sender.model.notification import decode
from notification_sender.policy.limits import SECOND, Limit
from notification_sender.ports.broker import Lane
from tests.virtual import START
from tests.worker.conftest import WorkerHarness

REFUSED = SendFailed("500", sent=Sent.ANSWERED)


def at(offset: float) -> str:
    return datetime.fromtimestamp(START + offset, UTC).isoformat()


def offsets(harness: WorkerHarness) -> list[float]:
    return [round(moment - START, 3) for moment, _ in harness.channel.sends]


def reasons(harness: WorkerHarness) -> list[str]:
    return [message.headers["x-reason"] for message in harness.broker.dead]


async def test_a_unit_is_told_to_each_destination_once(harness: WorkerHarness) -> None:
    await harness.publish(destinations=3)
    await harness.clock.until(harness.idle)
    assert sorted(it.destination.destination_id for _, it in harness.channel.sends) == ["hook-0", "hook-1", "hook-2"]
    assert harness.broker.dead == []


async def test_copies_of_a_unit_are_composed_once_and_sent_once(harness: WorkerHarness) -> None:
    for _ in range(75):
        await harness.publish()
    await harness.clock.until(harness.idle)
    assert len(harness.composer.composed) == len(harness.channel.sends) == 1


async def test_the_same_unit_with_a_new_fingerprint_is_told_again(harness: WorkerHarness) -> None:
    for fingerprint in ("v1", "v2", "v1"):
        await harness.publish(fingerprint=fingerprint)
    await harness.clock.until(harness.idle)
    assert len({it.notification_id for _, it in harness.channel.sends}) == len(harness.channel.sends) == 2


async def test_a_failed_send_follows_the_schedule_with_the_same_bytes_and_no_new_context(
    harness: WorkerHarness,
) -> None:
    harness.channel.ends.extend([REFUSED, REFUSED])
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert offsets(harness) == [0, 5, 305]
    sent = [it for _, it in harness.channel.sends]
    assert len({it.notification_id for it in sent}) == len({str(it.content) for it in sent}) == 1
    assert len(harness.composer.composed) == 1


async def test_an_exhausted_schedule_is_dead_with_its_story(harness: WorkerHarness) -> None:
    harness.channel.ends.extend([REFUSED] * 4)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert reasons(harness) == ["exhausted"]
    assert [it.attempt for it in decode(harness.broker.dead[0].body).tries] == [1, 2, 3, 4]


async def test_a_receivers_wish_to_wait_longer_is_granted(harness: WorkerHarness) -> None:
    harness.channel.ends.append(SendFailed("429", sent=Sent.ANSWERED, retry_after=90))
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert offsets(harness) == [0, 90]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Rejected("404"), "rejected"), (Gone("410"), "gone")],
)
async def test_a_refusal_for_good_is_dead_at_once(harness: WorkerHarness, fault: Exception, reason: str) -> None:
    harness.channel.ends.append(fault)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert reasons(harness) == [reason]
    assert len(harness.channel.sends) == 1


async def test_a_destination_that_is_gone_gets_nothing_more_for_a_week(harness: WorkerHarness) -> None:
    harness.channel.ends.append(Gone("410"))
    for unit in ("wu-1", "wu-2"):
        await harness.publish(work_unit_id=unit)
        await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1
    harness.clock.jump(8 * 86_400)
    await harness.publish(work_unit_id="wu-3")
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 2


async def test_one_destinations_trouble_is_not_the_others(harness: WorkerHarness) -> None:
    harness.channel.ends.append(REFUSED)
    await harness.publish(destinations=3)
    await harness.clock.until(harness.idle)
    assert offsets(harness) == [0, 0, 0, 5]


async def test_a_unit_for_a_hundred_destinations_reaches_all_of_them_once(harness: WorkerHarness) -> None:
    await harness.publish(destinations=100)
    await harness.clock.until(harness.idle)
    assert len({it.notification_id for _, it in harness.channel.sends}) == len(harness.channel.sends) == 100


async def test_trouble_of_our_own_apis_defers_without_an_attempt(harness: WorkerHarness) -> None:
    harness.composer.faults.extend([ContextUnavailable("aaa: 503")] * 12)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1
    assert harness.channel.sends[0][1].attempt == 1
    assert 100 < offsets(harness)[0] < 13 * 60


async def test_trouble_for_longer_than_a_day_is_dead(harness: WorkerHarness) -> None:
    harness.composer.faults.extend([ContextUnavailable("aaa: 503")] * 10_000)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert reasons(harness) == ["context_unavailable"]
    assert 86_400 <= harness.clock.now() - START < 86_400 + 61


async def test_a_unit_that_expires_during_our_trouble_is_dead_and_says_so(harness: WorkerHarness) -> None:
    harness.composer.faults.extend([ContextUnavailable("aaa: 503")] * 100)
    await harness.publish(expires_at=at(90))
    await harness.clock.until(harness.idle)
    assert reasons(harness) == ["context_unavailable"]


async def test_a_missing_subject_is_asked_for_three_times(harness: WorkerHarness) -> None:
    harness.composer.faults.extend([SubjectNotFound("incident inc-1: 404")] * 3)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert len(harness.composer.composed) == 3
    assert reasons(harness) == ["subject_not_found"]


async def test_a_subject_that_was_only_late_is_told(harness: WorkerHarness) -> None:
    harness.composer.faults.extend([SubjectNotFound("incident inc-1: 404")] * 2)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1


@pytest.mark.parametrize("fault", [TenantMismatch("incident of org-2"), RenderFault("webhook.json.j2:3: x")])
async def test_what_can_never_be_composed_is_the_dead_unit_as_it_came(harness: WorkerHarness, fault: Any) -> None:
    harness.composer.faults.append(fault)
    await harness.publish(unknown="kept")
    await harness.clock.until(harness.idle)
    assert reasons(harness) == [fault.reason]
    assert b'"unknown":"kept"' in harness.broker.dead[0].body


async def test_nothing_is_sent_before_its_time_or_after_it(harness: WorkerHarness) -> None:
    await harness.publish(work_unit_id="early", not_before=at(3 * 86_400 + 7.5))
    await harness.publish(work_unit_id="late", expires_at=at(-1))
    await harness.clock.until(harness.idle)
    assert [it.work_unit_id for _, it in harness.channel.sends] == ["early"]
    assert offsets(harness) == [pytest.approx(3 * 86_400 + 7.5, abs=0.01)]
    assert harness.broker.dead == []


async def test_a_notification_that_expires_between_attempts_is_not_sent(harness: WorkerHarness) -> None:
    harness.channel.ends.append(REFUSED)
    await harness.publish(expires_at=at(3))
    await harness.clock.until(harness.idle)
    assert offsets(harness) == [0]
    assert harness.broker.dead == []


async def test_a_limit_is_kept_in_every_window_and_everything_arrives(harness: WorkerHarness) -> None:
    limit = Limit.per("destination:hook-0", 300, 60, 5)
    harness.limits.append(limit)
    for number in range(60):
        await harness.publish(work_unit_id=f"wu-{number}")
    await harness.clock.until(harness.idle)
    sends = offsets(harness)
    assert len(sends) == 60
    for start in sends:
        for window in (0.0, 1.0, 5.0):
            due = limit.burst + (window + 0.25) * SECOND / limit.interval
            assert sum(start <= moment <= start + window for moment in sends) <= due
    assert sends[-1] < 12.5


async def test_while_the_store_is_away_nothing_is_sent_and_then_everything(harness: WorkerHarness) -> None:
    harness.ledger.methods.add("*")
    for number in range(20):
        await harness.publish(work_unit_id=f"wu-{number}")
    await harness.clock.until(lambda: harness.clock.now() > START + 60)
    assert harness.channel.sends == []
    harness.ledger.methods.clear()
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 20
    assert harness.broker.dead == []


async def test_an_acceptance_that_cannot_be_recorded_is_when_the_store_is_back(harness: WorkerHarness) -> None:
    harness.ledger.methods.add("finish")
    await harness.publish()
    await harness.clock.until(lambda: len(harness.broker._delayed) == 1)
    await harness.clock.until(lambda: harness.clock.now() > START + 120)
    harness.ledger.methods.clear()
    await harness.clock.until(harness.idle)
    [record] = [it for key, it in harness.memory.records.items() if key.kind == "notification"]
    assert (record.state, record.text) == ("delivered", "200")
    assert harness.metrics.unrecorded._value.get() == 0
    assert harness.outcomes("notification", "delivered", "") == 1
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1
    assert harness.broker.dead == []


async def test_what_has_it_recorded_holds_nothing_of_what_was_sent(harness: WorkerHarness) -> None:
    harness.ledger.methods.add("finish")
    await harness.publish()
    await harness.clock.until(lambda: len(harness.broker._delayed) == 1)
    [(_, sent)] = harness.channel.sends
    record = sent.accepted_as("200")
    assert (record.content, record.destination.extra, record.accepted) == ({}, {}, "200")
    assert decode(record.encode()) == record
    assert len(record.encode()) < 600


async def test_an_acceptance_that_the_store_forgot_is_recorded_all_the_same(harness: WorkerHarness) -> None:
    async def forget() -> None:
        harness.memory.records.clear()

    harness.channel.ends.append(forget)
    await harness.publish()
    await harness.clock.until(harness.idle)
    states = {key.kind: it.state for key, it in harness.memory.records.items()}
    assert states["notification"] == "delivered"
    assert len(harness.channel.sends) == 1


async def test_an_acceptance_is_remembered_where_the_broker_is_away_too(
    harness: WorkerHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> None:
        raise Unready("the broker is away")

    harness.ledger.methods.add("finish")
    monkeypatch.setattr(harness.broker, "park", away)
    await harness.publish()
    await harness.clock.until(lambda: harness.metrics.unrecorded._value.get() == 1, limit=10)
    harness.ledger.methods.clear()
    monkeypatch.undo()
    await harness.clock.until(harness.idle)
    await harness.publish()
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1


@pytest.mark.parametrize(("end", "record"), [(None, "finish"), (REFUSED, "release"), (Rejected("404"), "finish")])
async def test_until_its_outcome_is_recorded_the_broker_keeps_the_message(
    harness: WorkerHarness, end: Exception | None, record: str
) -> None:
    harness.channel.ends.extend([end] if end else [])
    harness.ledger.methods.add(record)
    await harness.publish()
    await harness.clock.until(lambda: harness.ledger.calls > 0)
    assert len(harness.broker._queues[Lane.UNITS].unsettled) == 1
    harness.ledger.methods.clear()
    await harness.clock.until(harness.idle)
    assert harness.pending == 0


async def test_a_bug_in_one_delivery_is_retried_and_does_not_stop_the_others(harness: WorkerHarness) -> None:
    harness.composer.faults.append(ZeroDivisionError("a bug"))
    await harness.publish(work_unit_id="unlucky")
    await harness.publish(work_unit_id="lucky")
    await harness.clock.until(harness.idle)
    assert {it.work_unit_id for _, it in harness.channel.sends} == {"lucky", "unlucky"}


async def test_a_dead_notification_moved_back_is_sent_and_what_was_delivered_is_not(harness: WorkerHarness) -> None:
    harness.channel.ends.append(Rejected("404"))
    await harness.publish(destinations=2)
    await harness.clock.until(harness.idle)
    [dead] = harness.broker.dead
    for _ in range(2):
        await harness.broker.publish(dead.body, dead.headers, lane=Lane.NOTIFICATIONS)
        await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 3
    assert harness.channel.sends[2][1].notification_id == decode(dead.body).notification_id


async def test_a_dead_unit_moved_back_is_composed_again(harness: WorkerHarness) -> None:
    harness.composer.faults.append(TenantMismatch("incident of org-2"))
    await harness.publish()
    await harness.clock.until(harness.idle)
    [dead] = harness.broker.dead
    await harness.broker.publish(dead.body)
    await harness.clock.until(harness.idle)
    assert harness.channel.sends == []
    await harness.broker.publish(dead.body, dead.headers)
    await harness.clock.until(harness.idle)
    assert len(harness.channel.sends) == 1


async def test_closing_finishes_what_is_being_sent_and_gives_back_what_is_not(harness: WorkerHarness) -> None:
    sending, answer = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        sending.set()
        await answer.wait()

    harness.channel.ends.append(slow)
    await harness.publish(work_unit_id="sending")
    await sending.wait()
    harness.composer.faults.append(ContextUnavailable("never asked"))
    closing = asyncio.create_task(harness.worker.close(25.0))
    await asyncio.sleep(0)
    await harness.publish(work_unit_id="too-late")
    answer.set()
    await closing
    assert [it.work_unit_id for _, it in harness.channel.sends] == ["sending"]
    assert len(harness.composer.composed) == 1
    assert harness.pending == 1
