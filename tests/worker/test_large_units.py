"""A unit with many destinations: it holds neither the loop nor the memory, and a worker may die at any step of it."""

import asyncio
from collections import Counter
from typing import Any

import pytest

from notification_sender.model.errors import ContextUnavailable
from notification_sender.model.unit import decode
from notification_sender.policy.audit import audit
from notification_sender.ports.broker import Lane, Parked
from notification_sender.worker.bulkheads import SLICES_AT_ONCE
from notification_sender.worker.unit_work import AT_ONCE, OWN
from tests.virtual import START

MANY = 400
BATCH = {"id": "b", "size": 1}


def told(body: Any) -> Counter[str]:
    return Counter(it.destination.destination_id for _, it in body.channel.sends)


async def audited(body: Any) -> str:
    [(organization, size)] = (await body.memory.batches("b")).items()
    return str(audit(size, await body.memory.unit_states("b", organization)))


async def test_all_of_it_is_told_once_and_it_counts_as_one(body: Any) -> None:
    await body.publish(destinations=MANY, batch=BATCH)
    await body.clock.until(body.idle)
    assert told(body) == Counter(f"hook-{number}" for number in range(MANY))
    assert await audited(body) == "accounted for: 1 of 1 (delivered 1, suppressed 0, waiting 0, dead 0)"
    [fates] = (await body.memory.unit_states("b", "org-1")).values()
    assert [it.state for it in fates] == ["delivered"] * MANY


async def test_no_more_bodies_are_held_than_are_sent_at_once(body: Any) -> None:
    """A composer that counts those that were rendered and are not settled yet."""
    held, most = 0, 0
    first = body.heart.lanes._handlers[Lane.NOTIFICATIONS].__self__
    settle, render = first._settle, body.composer._notification

    def rendered(*args: Any) -> Any:
        nonlocal held, most
        held += 1
        most = max(most, held)
        return render(*args)

    async def settled(*args: Any) -> None:
        nonlocal held
        await settle(*args)
        held -= 1

    body.composer._notification, first._settle = rendered, settled
    body.channel.takes = lambda _: 1.0
    await body.publish(destinations=OWN)
    await body.clock.until(body.idle)
    assert (held, most) == (0, AT_ONCE)


async def test_of_one_organization_a_few_slices_are_worked_on_at_a_time_and_of_others_as_well(body: Any) -> None:
    body.channel.takes = lambda _: 1.0
    await body.publish(destinations=MANY, work_unit_id="one")
    await body.publish(destinations=MANY, work_unit_id="other", organization_id="org-2")
    await body.clock.until(body.idle)
    assert body.channel.most_in_flight <= 2 * (SLICES_AT_ONCE + 1) * AT_ONCE
    assert body.channel.most_in_flight > SLICES_AT_ONCE * AT_ONCE
    assert len(body.channel.sends) == 2 * MANY


async def test_slices_are_done_about_as_fast_as_there_is_room_for_them(body: Any) -> None:
    body.channel.takes = lambda _: 1.0
    await body.publish(destinations=MANY)
    await body.clock.until(body.idle)
    last = max(moment for moment, _ in body.channel.sends)
    assert last - START < 2 * MANY / (SLICES_AT_ONCE * AT_ONCE)


async def test_what_it_hands_on_says_whom_to_tell_and_not_with_which_words(body: Any) -> None:
    parked: list[Parked] = []
    park = body.broker.park

    async def watched(it: Parked) -> None:
        parked.append(it)
        await park(it)

    body.broker.park = watched
    long_ago = "2026-03-06T01:00:00Z"
    await body.publish(
        destinations=100, batch=BATCH, expires_at="2026-03-09T00:00:00Z", headers={"x-first-seen": long_ago}
    )
    await body.clock.until(body.idle)
    assert len(parked) == 3
    assert {(it.lane, it.delay) for it in parked} == {(Lane.UNITS, 0.0)}
    assert {it.state.first_seen for it in parked} == {1_772_758_800.0}
    assert not any(b"composition" in it.body for it in parked)
    slices = [decode(it.body) for it in parked]
    assert [len(it.destinations or ()) for it in slices] == [32, 32, 4]
    assert {(it.batch, it.expires_at is None) for it in slices} == {(None, False)}


@pytest.mark.parametrize("after", range(0, 60, 7))
async def test_a_worker_that_dies_at_any_step_loses_nothing_and_repeats_nothing(body: Any, after: int) -> None:
    """The steps are counted over broker and store; the ``after``-th is the last of the first worker."""
    left = after

    def dies(step: Any) -> Any:
        async def taken(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left == 0:
                raise asyncio.CancelledError
            return await step(*args, **kwargs)

        return taken

    body.broker.park = dies(body.broker.park)
    body.memory.finish = dies(body.memory.finish)
    await body.publish(destinations=100, batch=BATCH)
    await body.clock.until(body.idle)
    assert told(body).keys() == {f"hook-{number}" for number in range(100)}
    assert sum(told(body).values()) <= 101, "what was accepted when it died may be sent again"
    assert await audited(body) == "accounted for: 1 of 1 (delivered 1, suppressed 0, waiting 0, dead 0)"


async def test_a_slice_that_our_apis_kept_is_dead_by_itself_and_can_be_moved_back(body: Any) -> None:
    await body.publish(destinations=100, batch=BATCH)
    compose = body.composer.compose

    async def unwell(unit: Any) -> Any:
        if unit.slice:
            raise ContextUnavailable("incidents: 503")
        return await compose(unit)

    body.composer.compose = unwell
    await body.clock.until(body.idle)
    assert sum(told(body).values()) == OWN
    assert await audited(body) == "accounted for: 1 of 1 (delivered 0, suppressed 0, waiting 0, dead 1)"
    assert [it.headers["x-reason"] for it in body.broker.dead] == ["context_unavailable"] * 3
    body.composer.compose = compose
    letters, body.broker.dead = body.broker.dead, []
    for letter in [*letters, *letters]:
        await body.broker.publish(letter.body, letter.headers)
    await body.clock.until(body.idle)
    assert told(body) == Counter(f"hook-{number}" for number in range(100))
    assert await audited(body) == "accounted for: 1 of 1 (delivered 1, suppressed 0, waiting 0, dead 0)"


async def test_while_slices_wait_the_unit_does_and_what_has_expired_is_not_told(body: Any) -> None:
    compose = body.composer.compose

    async def unwell(unit: Any) -> Any:
        if unit.slice:
            raise ContextUnavailable("incidents: 503")
        return await compose(unit)

    body.composer.compose = unwell
    await body.publish(destinations=40, batch=BATCH)
    await body.clock.until(lambda: sum(told(body).values()) == OWN)
    assert await audited(body) == "accounted for: 1 of 1 (delivered 0, suppressed 0, waiting 1, dead 0)"
