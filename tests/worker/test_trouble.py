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

REFUSED = SendFailed("500", sent=Sent.ANSWERED)
DAY = 86_400.0


def reasons(body: Any) -> list[str]:
    return [message.headers["x-reason"] for message in body.broker.dead]


@pytest.mark.parametrize(("end", "sends"), [(Rejected("404"), 1), (REFUSED, 2)])
async def test_a_step_that_was_durable_is_not_repeated_while_the_next_one_waits(
    body: Any, end: Exception, sends: int
) -> None:
    body.channel.ends.append(end)
    body.ledger.methods |= {"finish", "release"}
    await body.publish()
    await body.clock.until(lambda: body.clock.now() > START + 60)
    body.ledger.methods.clear()
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == sends
    assert reasons(body) == (["rejected"] if sends == 1 else [])


async def test_a_token_that_cannot_be_had_for_a_destination_comes_to_an_end(body: Any) -> None:
    body.channel.ends.extend([ContextUnavailable("aaa: 400")] * 30_000)
    await body.publish()
    await body.clock.until(body.idle)
    assert reasons(body) == ["context_unavailable"]
    assert DAY < body.clock.now() - START < 1.1 * DAY


MISSING = SetupFault("the signing secret 'acme/noc' cannot be used", reason="secret_missing")
HOUR = 3600.0


@pytest.mark.parametrize("after", [1.0, 90.0, HOUR, 20 * HOUR])
async def test_a_file_of_ours_that_is_missing_uses_no_attempt_and_is_used_within_a_minute_of_its_coming(
    body: Any, after: float
) -> None:
    body.channel.lacks = lambda *_: MISSING if body.clock.now() < START + after else None
    await body.publish()
    await body.clock.until(body.idle)
    [(at, notification)] = body.channel.sends
    assert START + after <= at <= START + after + 60
    assert (notification.attempt, notification.tries, reasons(body)) == (1, (), [])


async def test_a_file_that_goes_away_between_the_look_and_the_send_uses_no_attempt_either(body: Any) -> None:
    body.channel.ends.append(MISSING)
    await body.publish()
    await body.clock.until(body.idle)
    assert [notification.attempt for _, notification in body.channel.sends] == [1, 1]
    assert reasons(body) == []


async def test_a_file_that_never_comes_makes_it_dead_with_its_reason_at_the_age_limit(body: Any) -> None:
    body.channel.lacks = lambda *_: MISSING
    await body.publish()
    await body.clock.until(body.idle)
    assert (body.channel.sends, reasons(body)) == ([], ["secret_missing"])
    assert "'acme/noc'" in body.broker.dead[0].headers["x-detail"]
    assert DAY < body.clock.now() - START < 1.1 * DAY


async def test_what_is_too_old_for_anything_still_says_which_file_it_waited_for(body: Any) -> None:
    body.channel.lacks = lambda *_: MISSING
    await body.publish()
    await body.clock.until(lambda: len(body.broker._delayed) == 1)
    body.clock.jump(8 * DAY)
    await body.clock.until(body.idle)
    assert reasons(body) == ["secret_missing"]


async def test_what_a_long_pause_took_is_not_counted_as_waiting_for_a_file(body: Any) -> None:
    later = SendFailed("503", sent=Sent.ANSWERED, retry_after=DAY)
    body.channel.ends.extend([later, later])
    body.channel.lacks = lambda *_: MISSING if 47 * HOUR < body.clock.now() - START < 70 * HOUR else None
    await body.publish()
    await body.clock.until(body.idle)
    assert reasons(body) == []
    assert [notification.attempt for _, notification in body.channel.sends] == [1, 2, 3]


async def test_what_waits_for_a_file_takes_none_of_its_organizations_limit(body: Any) -> None:
    asked: list[Any] = []
    admit = body.memory.admit
    body.memory.admit = lambda ask: asked.append(ask) or admit(ask)
    body.channel.lacks = lambda *_: MISSING if body.clock.now() < START + HOUR else None
    await body.publish()
    await body.clock.until(body.idle)
    assert len(asked) == len(body.channel.sends) == 1


async def test_a_bug_that_comes_each_time_is_dead_the_fifth_time(body: Any) -> None:
    body.composer.check = lambda _: 1 / 0
    await body.publish()
    await body.clock.until(body.idle)
    assert reasons(body) == ["crashed"]
    assert "ZeroDivisionError" in body.broker.dead[0].headers["x-detail"]


async def test_the_age_of_a_unit_counts_from_when_it_was_due(body: Any) -> None:
    body.composer.faults.append(ContextUnavailable("aaa: 503"))
    await body.publish(not_before="2026-03-08T08:26:00Z")
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1
    assert reasons(body) == []


async def test_every_unit_of_a_batch_that_could_be_read_is_seen(body: Any) -> None:
    batch = {"id": "nightly", "size": 4}
    await body.publish(work_unit_id="good")
    await body.clock.until(body.idle)
    await body.publish(work_unit_id="good", batch=batch)
    await body.publish(work_unit_id="expired", expires_at="2026-03-01T00:00:00Z", batch=batch)
    await body.publish(work_unit_id="not-yet", not_before="2027-03-01T00:00:00Z", batch=batch)
    body.composer.refusals["odd"] = "no such recipe"
    await body.publish(work_unit_id="odd", batch=batch)
    await body.clock.until(lambda: len(body.broker.dead) == 1)
    fates = await body.memory.unit_states("nightly", "org-1")
    assert sorted(its[0].state for its in fates.values()) == ["dead", "delivered", "suppressed", "waiting"]


async def test_a_delivered_unit_that_comes_again_after_it_expired_is_no_dead_letter(body: Any) -> None:
    body.composer.faults.append(ContextUnavailable("aaa: 503"))
    await body.publish(expires_at="2026-03-06T08:27:00Z")
    await body.clock.until(body.idle)
    body.clock.jump(120)
    await body.publish(expires_at="2026-03-06T08:27:00Z", headers={"x-attempt": 2})
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1
    assert reasons(body) == []


@pytest.mark.parametrize("attempt", [COUNTED - 1, COUNTED, COUNTED + 1, 2**52 - 1, 2**52, 2**52 + 1, 2**53])
async def test_a_unit_is_put_off_and_goes_on_however_often_somebody_says_it_was_tried(body: Any, attempt: int) -> None:
    body.composer.faults += [ContextUnavailable("aaa: 503"), ContextUnavailable("aaa: 503")]
    await body.publish(headers={"x-attempt": attempt})
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 1
    assert reasons(body) == []


async def test_what_expires_while_somebody_holds_it_ends_once_that_lease_has(body: Any) -> None:
    body.channel.ends.append(REFUSED)
    await body.publish(expires_at="2026-03-06T08:26:30Z")
    await body.clock.until(lambda: len(body.broker._delayed) == 1)
    [key] = [it for it in body.memory.records if it.kind == "notification"]
    body.clock.jump(20)
    await body.memory.claim(key, "died with it", 2, replays=0)
    body.clock.jump(15)
    await body.clock.until(body.idle)
    assert body.memory.records[key].state == "suppressed"
    assert len(body.channel.sends) == 1


async def test_an_acceptance_that_is_remembered_is_recorded_when_another_copy_comes(
    body: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: object) -> None:
        raise Unready("the broker is away")

    body.ledger.methods.add("finish")
    monkeypatch.setattr(body.broker, "park", away)
    await body.publish()
    await body.clock.until(lambda: body.metrics.unrecorded._value.get() == 1)
    body.ledger.methods.clear()
    monkeypatch.undo()
    [(_, notification)] = body.channel.sends
    await body.broker.publish(notification.encode(), lane=Lane.NOTIFICATIONS)
    await body.clock.until(body.idle)
    [record] = [it for key, it in body.memory.records.items() if key.kind == "notification"]
    assert (record.state, record.text) == ("suppressed", "already_delivered hook-0")
    assert len(body.channel.sends) == 1


async def test_what_was_never_rendered_is_not_sent_when_it_comes_back(body: Any) -> None:
    await body.publish()
    await body.clock.until(body.idle)
    [(_, notification)] = body.channel.sends
    empty = replace(notification, notification_id="n-1", content={})
    await body.broker.publish(empty.encode(), lane=Lane.NOTIFICATIONS)
    await body.clock.until(body.idle)
    assert reasons(body) == ["render"]
    assert len(body.channel.sends) == 1


async def test_a_unit_whose_lease_ends_in_a_moment_waits_for_that_in_hand(body: Any) -> None:
    await body.memory.claim(Key("org-1", "unit", "wu-1"), "died with it", 1, replays=0)
    body.clock.jump(29.5)
    await body.publish()
    await body.clock.until(body.idle)
    assert [moment for moment, _ in body.channel.sends] == [START + 30]
    assert body.metrics.outcomes.labels("unit", "deferred", "claimed_elsewhere")._value.get() == 0


async def test_a_dead_unit_moved_back_opens_every_dead_notification_again(body: Any) -> None:
    body.channel.ends.extend([Rejected("404")] * 40)
    await body.publish(destinations=40)
    await body.clock.until(body.idle)
    assert len(body.broker.dead) == 40
    body.memory.records.pop(Key("org-1", "unit", "wu-1"))
    body.composer.faults.append(ContextUnavailable("aaa: 503"))
    await body.publish(destinations=40, headers={"x-reason": "rejected"})
    await body.clock.until(body.idle)
    assert len(body.channel.sends) == 80


async def test_copies_of_a_unit_whose_subject_is_missing_do_not_multiply_the_asking(body: Any) -> None:
    body.composer.faults.extend([body.not_found] * 3)
    for _ in range(75):
        await body.publish()
    await body.clock.until(body.idle)
    assert len(body.composer.composed) == 3


async def test_redeliveries_do_not_pile_up_while_nothing_can_be_done(body: Any) -> None:
    body.ledger.methods.add("*")
    for number in range(3000):
        await body.publish(work_unit_id=f"wu-{number}")
    await body.clock.until(lambda: body.heart.lanes.unsettled >= 400, limit=10)
    for _ in range(5):
        body.reconnect()
        await asyncio.sleep(0)
    await body.clock.until(lambda: True)
    assert body.heart.lanes.unsettled <= 2 * 200 + 200


async def test_what_gets_its_store_back_too_late_to_be_sent_is_given_back(body: Any) -> None:
    body.ledger.methods.add("admit")
    await body.publish()
    await body.clock.until(lambda: body.ledger.calls > 0)
    closing = asyncio.create_task(body.heart.close(10.0))
    await asyncio.sleep(0)
    body.ledger.methods.clear()
    await body.clock.until(closing.done)
    assert body.channel.sends == []
    assert body.pending == 1


async def test_what_has_no_slot_is_given_back_at_once(body: Any) -> None:
    answer = asyncio.Event()
    body.channel.ends.extend([answer.wait] * 200)
    for number in range(300):
        await body.publish(work_unit_id=f"wu-{number}", organization_id=f"org-{number % 10}")
    await body.clock.until(lambda: len(body.channel.sends) == 200)
    closing = asyncio.create_task(body.heart.close(25.0))
    await body.clock.until(lambda: body.heart.lanes.unsettled == 200)
    assert await body.broker.depth(Lane.UNITS) == 100
    answer.set()
    await closing
    assert len(body.channel.sends) == 200


async def test_units_whose_workers_died_twice_are_worked_on_one_at_a_time_beside_others(body: Any) -> None:
    body.channel.takes = lambda _: 1.0
    for number in range(3):
        for copy in range(2):
            await body.memory.claim(Key("org-1", "unit", f"wu-{number}"), f"died {copy}", 1, replays=0)
            body.clock.jump(30)
    start = body.clock.now()
    for number in range(6):
        await body.publish(work_unit_id=f"wu-{number}")
    await body.clock.until(body.idle)
    began = {notification.work_unit_id: moment - start for moment, notification in body.channel.sends}
    assert [began[f"wu-{number}"] for number in range(3, 6)] == [0.0] * 3
    suspects = sorted(began[f"wu-{number}"] for number in range(3))
    assert all(later - earlier >= 1 for earlier, later in pairwise(suspects))
    assert len(body.channel.sends) == 6
