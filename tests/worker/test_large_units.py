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
from tests.worker.conftest import WorkerHarness

MANY = 400
BATCH = {"id": "b", "size": 1}


def sends_by_destination(harness: WorkerHarness) -> Counter[str]:
    return Counter(it.destination.destination_id for _, it in harness.channel.sends)


async def audited(harness: WorkerHarness) -> str:
    [(organization, size)] = (await harness.memory.batches("b")).items()
    return str(audit(size, await harness.memory.unit_states("b", organization)))


async def test_all_of_it_is_told_once_and_it_counts_as_one(harness: WorkerHarness) -> None:
    await harness.publish(destinations=MANY, batch=BATCH)
    await harness.clock.until(harness.idle)
    assert sends_by_destination(harness) == Counter(f"hook-{number}" for number in range(MANY))
    assert await audited(harness) == "accounted for: 1 of 1 (delivered 1, suppressed 0, waiting 0, dead 0)"
    [outcomes] = (await harness.memory.unit_states("b", "org-1")).values()
    assert [it.state for it in outcomes] == ["delivered"] * MANY


async def test_no_more_bodies_are_held_than_are_sent_at_once(harness: WorkerHarness) -> None:
    """A composer that counts those that were rendered and are not settled yet."""
    held, most = 0, 0
    first = harness.worker.lanes._handlers[Lane.NOTIFICATIONS].__self__
    settle, render = first._settle, harness.composer._notification

    def rendered(*args: Any) -> Any:
        nonlocal held, most
        held += 1
        most = max(most, held)
        return render(*args)

    async def settled(*args: Any) -> None:
        nonlocal held
        await settle(*args)
        held -= 1

    harness.composer._notification, first._settle = rendered, settled
    harness.channel.takes = lambda _: 1.0
    await harness.publish(destinations=OWN)
    await harness.clock.until(harness.idle)
    assert (held, most) == (0, AT_ONCE)


async def test_of_one_organization_a_few_slices_are_worked_on_at_a_time_and_of_others_as_well(
    harness: WorkerHarness,
) -> None:
    harness.channel.takes = lambda _: 1.0
    await harness.publish(destinations=MANY, work_unit_id="one")
    await harness.publish(destinations=MANY, work_unit_id="other", organization_id="org-2")
    await harness.clock.until(harness.idle)
    assert harness.channel.most_in_flight <= 2 * (SLICES_AT_ONCE + 1) * AT_ONCE
    assert harness.channel.most_in_flight > SLICES_AT_ONCE * AT_ONCE
    assert len(harness.channel.sends) == 2 * MANY


async def test_slices_are_done_about_as_fast_as_there_is_room_for_them(harness: WorkerHarness) -> None:
    harness.channel.takes = lambda _: 1.0
    await harness.publish(destinations=MANY)
    await harness.clock.until(harness.idle)
    last = max(moment for moment, _ in harness.channel.sends)
    assert last - START < 2 * MANY / (SLICES_AT_ONCE * AT_ONCE)


async def test_what_it_hands_on_says_whom_to_tell_and_not_with_which_words(harness: WorkerHarness) -> None:
    parked: list[Parked] = []
    park = harness.broker.park

    async def watched(it: Parked) -> None:
        parked.append(it)
        await park(it)

    harness.broker.park = watched
    long_ago = "2026-03-06T01:00:00Z"
    await harness.publish(
        destinations=100, batch=BATCH, expires_at="2026-03-09T00:00:00Z", headers={"x-first-seen": long_ago}
    )
    await harness.clock.until(harness.idle)
    assert len(parked) == 3
    assert {(it.lane, it.delay) for it in parked} == {(Lane.UNITS, 0.0)}
    assert {it.state.first_seen for it in parked} == {1_772_758_800.0}
    assert not any(b"composition" in it.body for it in parked)
    slices = [decode(it.body) for it in parked]
    assert [len(it.destinations or ()) for it in slices] == [32, 32, 4]
    assert {(it.batch, it.expires_at is None) for it in slices} == {(None, False)}


@pytest.mark.parametrize("after", range(0, 60, 7))
async def test_a_worker_that_dies_at_any_step_loses_nothing_and_repeats_nothing(
    harness: WorkerHarness, after: int
) -> None:
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

    harness.broker.park = dies(harness.broker.park)
    harness.memory.finish = dies(harness.memory.finish)
    await harness.publish(destinations=100, batch=BATCH)
    await harness.clock.until(harness.idle)
    assert sends_by_destination(harness).keys() == {f"hook-{number}" for number in range(100)}
    assert sum(sends_by_destination(harness).values()) <= 101, "what was accepted when it died may be sent again"
    assert await audited(harness) == "accounted for: 1 of 1 (delivered 1, suppressed 0, waiting 0, dead 0)"


@pytest.mark.long
async def test_a_slice_that_our_apis_kept_is_dead_by_itself_and_can_be_moved_back(harness: WorkerHarness) -> None:
    await harness.publish(destinations=100, batch=BATCH)
    compose = harness.composer.compose

    async def unwell(unit: Any) -> Any:
        if unit.slice:
            raise ContextUnavailable("incidents: 503")
        return await compose(unit)

    harness.composer.compose = unwell
    await harness.clock.until(harness.idle)
    assert sum(sends_by_destination(harness).values()) == OWN
    assert await audited(harness) == "accounted for: 1 of 1 (delivered 0, suppressed 0, waiting 0, dead 1)"
    assert [it.headers["x-reason"] for it in harness.broker.dead] == ["context_unavailable"] * 3
    harness.composer.compose = compose
    letters, harness.broker.dead = harness.broker.dead, []
    for letter in [*letters, *letters]:
        await harness.broker.publish(letter.body, letter.headers)
    await harness.clock.until(harness.idle)
    assert sends_by_destination(harness) == Counter(f"hook-{number}" for number in range(100))
    assert await audited(harness) == "accounted for: 1 of 1 (delivered 1, suppressed 0, waiting 0, dead 0)"


async def test_while_slices_wait_the_unit_does_and_what_has_expired_is_not_told(harness: WorkerHarness) -> None:
    compose = harness.composer.compose

    async def unwell(unit: Any) -> Any:
        if unit.slice:
            raise ContextUnavailable("incidents: 503")
        return await compose(unit)

    harness.composer.compose = unwell
    await harness.publish(destinations=40, batch=BATCH)
    await harness.clock.until(lambda: sum(sends_by_destination(harness).values()) == OWN)
    assert await audited(harness) == "accounted for: 1 of 1 (delivered 0, suppressed 0, waiting 1, dead 0)"
