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

REFUSED = SendFailed("500", sent=Sent.ANSWERED)


def at(offset: float) -> str:
    return datetime.fromtimestamp(START + offset, UTC).isoformat()


def offsets(body: Any) -> list[float]:
    return [round(moment - START, 3) for moment, _ in body.channel.sends]


def reasons(body: Any) -> list[str]:
    return [message.headers["x-reason"] for message in body.broker.dead]


async def test_a_unit_is_told_to_each_destination_once(body: Any) -> None:
    await body.publish(destinations=3)
    await body.clock.until(body.idle)
    assert sorted(it.destination.destination_id for _, it in body.channel.sends) == ["hook-0", "hook-1", "hook-2"]
    assert body.broker.dead == []


async def test_copies_of_a_unit_are_composed_once_and_sent_once(body: Any) -> None:
    for _ in range(75):
        await body.publish()
    await body.clock.until(body.idle)
    assert len(body.composer.composed) == len(body.channel.sends) == 1


async def test_the_same_unit_with_a_new_fingerprint_is_told_again(body: Any) -> None:
    for fingerprint in ("v1", "v2", "v1"):
        await body.publish(fingerprint=fingerprint)
    await body.clock.until(body.idle)
    assert len({it.notification_id for _, it in body.channel.sends}) == len(body.channel.sends) == 2


async def test_a_failed_send_follows_the_schedule_with_the_same_bytes_and_no_new_context(body: Any) -> None:
    body.channel.ends.extend([REFUSED, REFUSED])
    await body.publish()
    await body.clock.until(body.idle)
    assert offsets(body) == [0, 5, 305]
    sent = [it for _, it in body.channel.sends]
    assert len({it.notification_id for it in sent}) == len({str(it.content) for it in sent}) == 1
    assert len(body.composer.composed) == 1


async def test_an_exhausted_schedule_is_dead_with_its_story(body: Any) -> None:
    body.channel.ends.extend([REFUSED] * 4)
    await body.publish()
    await body.clock.until(body.idle)
    assert reasons(body) == ["exhausted"]
    assert [it.attempt for it in decode(body.broker.dead[0].body).tries] == [1, 2, 3, 4]


async def test_a_receivers_wish_to_wait_longer_is_granted(body: Any) -> None:
    body.channel.ends.append(SendFailed("429", sent=Sent.ANSWERED, retry_after=90))
    await body.publish()
    await body.clock.until(body.idle)
    assert offsets(body) == [0, 90]


@pytest.mark.parametrize(
    ("fault", "reason"),
    [(Rejected("404"), "rejected"), (Gone("410"), "gone")],
)
async def test_a_refusal_for_good_is_dead_at_once(body: Any, fault: Exception, reason: str) -> None:
    body.channel.ends.append(fault)
    await body.publish()
    await body.clock.until(body.idle)
    assert reasons(body) == [reason]
    assert len(body.channel.sends) == 1


async def test_a_destination_that_is_gone_gets_nothing_more_for_a_week(body: Any) -> None:
    body.channel.ends.append(Gone("410"))
    for unit in ("wu-1", "wu-2"):
        await body.publish(work_unit_id=unit)
        await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1
    body.clock.jump(8 * 86_400)
    await body.publish(work_unit_id="wu-3")
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 2


async def test_one_destinations_trouble_is_not_the_others(body: Any) -> None:
    body.channel.ends.append(REFUSED)
    await body.publish(destinations=3)
    await body.clock.until(body.idle)
    assert offsets(body) == [0, 0, 0, 5]


async def test_a_unit_for_a_hundred_destinations_reaches_all_of_them_once(body: Any) -> None:
    await body.publish(destinations=100)
    await body.clock.until(body.idle)
    assert len({it.notification_id for _, it in body.channel.sends}) == len(body.channel.sends) == 100


async def test_trouble_of_our_own_apis_defers_without_an_attempt(body: Any) -> None:
    body.composer.faults.extend([ContextUnavailable("aaa: 503")] * 12)
    await body.publish()
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1
    assert body.channel.sends[0][1].attempt == 1
    assert 100 < offsets(body)[0] < 13 * 60


async def test_trouble_for_longer_than_a_day_is_dead(body: Any) -> None:
    body.composer.faults.extend([ContextUnavailable("aaa: 503")] * 10_000)
    await body.publish()
    await body.clock.until(body.idle)
    assert reasons(body) == ["context_unavailable"]
    assert 86_400 <= body.clock.now() - START < 86_400 + 61


async def test_a_unit_that_expires_during_our_trouble_is_dead_and_says_so(body: Any) -> None:
    body.composer.faults.extend([ContextUnavailable("aaa: 503")] * 100)
    await body.publish(expires_at=at(90))
    await body.clock.until(body.idle)
    assert reasons(body) == ["context_unavailable"]


async def test_a_missing_subject_is_asked_for_three_times(body: Any) -> None:
    body.composer.faults.extend([SubjectNotFound("incident inc-1: 404")] * 3)
    await body.publish()
    await body.clock.until(body.idle)
    assert len(body.composer.composed) == 3
    assert reasons(body) == ["subject_not_found"]


async def test_a_subject_that_was_only_late_is_told(body: Any) -> None:
    body.composer.faults.extend([SubjectNotFound("incident inc-1: 404")] * 2)
    await body.publish()
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1


@pytest.mark.parametrize("fault", [TenantMismatch("incident of org-2"), RenderFault("webhook.json.j2:3: x")])
async def test_what_can_never_be_composed_is_the_dead_unit_as_it_came(body: Any, fault: Any) -> None:
    body.composer.faults.append(fault)
    await body.publish(unknown="kept")
    await body.clock.until(body.idle)
    assert reasons(body) == [fault.reason]
    assert b'"unknown":"kept"' in body.broker.dead[0].body


async def test_nothing_is_sent_before_its_time_or_after_it(body: Any) -> None:
    await body.publish(work_unit_id="early", not_before=at(3 * 86_400 + 7.5))
    await body.publish(work_unit_id="late", expires_at=at(-1))
    await body.clock.until(body.idle)
    assert [it.work_unit_id for _, it in body.channel.sends] == ["early"]
    assert offsets(body) == [pytest.approx(3 * 86_400 + 7.5, abs=0.01)]
    assert body.broker.dead == []


async def test_a_notification_that_expires_between_attempts_is_not_sent(body: Any) -> None:
    body.channel.ends.append(REFUSED)
    await body.publish(expires_at=at(3))
    await body.clock.until(body.idle)
    assert offsets(body) == [0]
    assert body.broker.dead == []


async def test_a_limit_is_kept_in_every_window_and_everything_arrives(body: Any) -> None:
    limit = Limit.per("destination:hook-0", 300, 60, 5)
    body.limits.append(limit)
    for number in range(60):
        await body.publish(work_unit_id=f"wu-{number}")
    await body.clock.until(body.idle)
    sends = offsets(body)
    assert len(sends) == 60
    for start in sends:
        for window in (0.0, 1.0, 5.0):
            due = limit.burst + (window + 0.25) * SECOND / limit.interval
            assert sum(start <= moment <= start + window for moment in sends) <= due
    assert sends[-1] < 12.5


async def test_while_the_store_is_away_nothing_is_sent_and_then_everything(body: Any) -> None:
    body.ledger.methods.add("*")
    for number in range(20):
        await body.publish(work_unit_id=f"wu-{number}")
    await body.clock.until(lambda: body.clock.now() > START + 60)
    assert body.channel.sends == []
    body.ledger.methods.clear()
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 20
    assert body.broker.dead == []


async def test_an_acceptance_that_cannot_be_recorded_is_when_the_store_is_back(body: Any) -> None:
    body.ledger.methods.add("finish")
    await body.publish()
    await body.clock.until(lambda: len(body.broker._delayed) == 1)
    await body.clock.until(lambda: body.clock.now() > START + 120)
    body.ledger.methods.clear()
    await body.clock.until(body.idle)
    [record] = [it for key, it in body.memory.records.items() if key.kind == "notification"]
    assert (record.state, record.text) == ("delivered", "200")
    assert body.metrics.unrecorded._value.get() == 0
    assert body.metrics.outcomes.labels("notification", "delivered", "")._value.get() == 1
    await body.publish()
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1
    assert body.broker.dead == []


async def test_what_has_it_recorded_holds_nothing_of_what_was_sent(body: Any) -> None:
    body.ledger.methods.add("finish")
    await body.publish()
    await body.clock.until(lambda: len(body.broker._delayed) == 1)
    [(_, sent)] = body.channel.sends
    record = sent.accepted_as("200")
    assert (record.content, record.destination.extra, record.accepted) == ({}, {}, "200")
    assert decode(record.encode()) == record
    assert len(record.encode()) < 600


async def test_an_acceptance_that_the_store_forgot_is_recorded_all_the_same(body: Any) -> None:
    async def forget() -> None:
        body.memory.records.clear()

    body.channel.ends.append(forget)
    await body.publish()
    await body.clock.until(body.idle)
    states = {key.kind: it.state for key, it in body.memory.records.items()}
    assert states["notification"] == "delivered"
    assert len(body.channel.sends) == 1


async def test_an_acceptance_is_remembered_where_the_broker_is_away_too(
    body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> None:
        raise Unready("the broker is away")

    body.ledger.methods.add("finish")
    monkeypatch.setattr(body.broker, "park", away)
    await body.publish()
    await body.clock.until(lambda: body.metrics.unrecorded._value.get() == 1, limit=10)
    body.ledger.methods.clear()
    monkeypatch.undo()
    await body.clock.until(body.idle)
    await body.publish()
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1


@pytest.mark.parametrize(("end", "record"), [(None, "finish"), (REFUSED, "release"), (Rejected("404"), "finish")])
async def test_until_its_outcome_is_recorded_the_broker_keeps_the_message(
    body: Any, end: Exception | None, record: str
) -> None:
    body.channel.ends.extend([end] if end else [])
    body.ledger.methods.add(record)
    await body.publish()
    await body.clock.until(lambda: body.ledger.calls > 0)
    assert len(body.broker._queues[Lane.UNITS].unsettled) == 1
    body.ledger.methods.clear()
    await body.clock.until(body.idle)
    assert body.pending == 0


async def test_a_bug_in_one_delivery_is_retried_and_does_not_stop_the_others(body: Any) -> None:
    body.composer.faults.append(ZeroDivisionError("a bug"))
    await body.publish(work_unit_id="unlucky")
    await body.publish(work_unit_id="lucky")
    await body.clock.until(body.idle)
    assert {it.work_unit_id for _, it in body.channel.sends} == {"lucky", "unlucky"}


async def test_a_dead_notification_moved_back_is_sent_and_what_was_delivered_is_not(body: Any) -> None:
    body.channel.ends.append(Rejected("404"))
    await body.publish(destinations=2)
    await body.clock.until(body.idle)
    [dead] = body.broker.dead
    for _ in range(2):
        await body.broker.publish(dead.body, dead.headers, lane=Lane.NOTIFICATIONS)
        await body.clock.until(body.idle)
    assert len(body.channel.sends) == 3
    assert body.channel.sends[2][1].notification_id == decode(dead.body).notification_id


async def test_a_dead_unit_moved_back_is_composed_again(body: Any) -> None:
    body.composer.faults.append(TenantMismatch("incident of org-2"))
    await body.publish()
    await body.clock.until(body.idle)
    [dead] = body.broker.dead
    await body.broker.publish(dead.body)
    await body.clock.until(body.idle)
    assert body.channel.sends == []
    await body.broker.publish(dead.body, dead.headers)
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1


async def test_closing_finishes_what_is_being_sent_and_gives_back_what_is_not(body: Any) -> None:
    sending, answer = asyncio.Event(), asyncio.Event()

    async def slow() -> None:
        sending.set()
        await answer.wait()

    body.channel.ends.append(slow)
    await body.publish(work_unit_id="sending")
    await sending.wait()
    body.composer.faults.append(ContextUnavailable("never asked"))
    closing = asyncio.create_task(body.heart.close(25.0))
    await asyncio.sleep(0)
    await body.publish(work_unit_id="too-late")
    answer.set()
    await closing
    assert [it.work_unit_id for _, it in body.channel.sends] == ["sending"]
    assert len(body.composer.composed) == 1
    assert body.pending == 1
