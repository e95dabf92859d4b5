"""Redis goes away, hangs, is full, refuses, answers nobody: nothing is sent unguarded, and everything once."""

import asyncio
import time

import pytest

from tests.e2e.holding import hold
from tests.faults.proxy import Sight, replied, reset
from tests.faults.rig import Rig
from tests.faults.rows import row
from tests.patience import patience, patient
from tests.services.program import free_port

NOTIFICATION = ":notification:"


@pytest.mark.parametrize("delay", [0.0025, 0.025, 0.25], ids=["5 ms", "50 ms", "500 ms"])
@row(21, "every answer is late", quick=False)
async def test_a_slow_store_costs_time_and_nothing_else(rig: Rig, delay: float) -> None:
    async with rig.victim() as victim:
        victim.store.latency = delay
        publishing = asyncio.create_task(rig.publish(rig.units(100)))
        if delay < 0.25:
            await rig.account(since=time.time())
        await publishing
        victim.store.latency = 0.0
        await rig.account(since=time.time())


@row(21, "hangs", quick=False)
async def test_while_the_store_hangs_nothing_is_sent_and_then_each_once(rig: Rig) -> None:
    async with rig.victim(NS_CONCURRENCY="8") as victim:
        publishing = asyncio.create_task(rig.publish(rig.units(100, latency=0.1)))
        async with patience(30):
            await rig.inbox.accepts(20)
        victim.store.hang()
        await publishing
        await victim.worker.becomes(503)
        begun = len(rig.inbox.webhooks)
        await rig.publish(rig.units(20))
        assert len(rig.inbox.webhooks) == begun
        victim.store.resume()
        figures = await rig.account(since=time.time())
    assert 0 < figures.recovery <= patient(5)


@row(22, "full, noeviction", quick=False)
async def test_a_full_store_takes_the_records_of_what_is_being_sent_and_no_new_claims(rig: Rig) -> None:
    shares = {"NS_ORGANIZATION_SHARE": "1", "NS_DESTINATION_SHARE": "1"}
    release = hold(rig.inbox)
    async with rig.workers(1, NS_CONCURRENCY="8", **shares) as (worker,):
        await rig.publish(rig.units(40))
        async with patience(30):
            await rig.inbox.receives(8)
        await rig.ask("CONFIG", "SET", "maxmemory", "1")
        release.set()
        try:
            await worker.says("notification.delivered", times=8)
            await worker.says("backend.retrying")
            assert len(rig.inbox.webhooks) == 8
        finally:
            await rig.ask("CONFIG", "SET", "maxmemory", "0")
        figures = await rig.account(since=time.time())
    assert figures.recovery <= patient(5)


@row(24, "SCRIPT FLUSH, again and again", quick=False)
async def test_scripts_that_are_forgotten_are_told_again_and_nobody_notices(rig: Rig) -> None:
    async def forget() -> None:
        while True:
            await rig.ask("SCRIPT", "FLUSH")
            await asyncio.sleep(0.1)

    async with rig.workers(2) as workers:
        forgetting = asyncio.create_task(forget())
        await rig.publish(rig.units(400))
        await rig.account(since=time.time())
        forgetting.cancel()
    assert [it for worker in workers for it in worker.events if it["level"] == "error"] == []


LOST = {
    "the claim of a unit": replied("claim", ":unit:", nth=3),
    "the claim of a notification": replied("admit", nth=3),
    # Of the first sends alone: they dial. The others follow on their connections, and their claim begins them.
    "the last look before the send": replied("begin"),
    "the record of an acceptance": replied("settle", NOTIFICATION, "delivered", nth=3),
    "the record of a unit": replied("settle", ":unit:", "done", nth=3),
}


@row(25, "reset when it is done and nobody was told", quick=False)
@pytest.mark.parametrize("step", LOST.values(), ids=LOST)
async def test_a_step_that_was_done_and_not_answered_is_no_second_sender(rig: Rig, step: Sight) -> None:
    async with rig.victim() as victim:
        fault = victim.store.when(step, reset)
        # Of a unit with one destination the record is a part of that of its notification.
        await rig.publish(rig.units(20, destinations=2))
        async with patience(30):
            await fault.happened.wait()
        await rig.account(since=fault.at)


@row(26, "READONLY: it became a replica", quick=False)
async def test_a_store_that_takes_no_writes_is_waited_for(rig: Rig) -> None:
    async def demoted_and_promoted() -> None:
        await rig.ask("REPLICAOF", "127.0.0.1", str(free_port()))
        try:
            await rig.publish(rig.units(10))
            await asyncio.gather(*(it.becomes(503) for it in rig.living))
        finally:
            await rig.ask("REPLICAOF", "NO", "ONE")

    figures = await rig.under_load(demoted_and_promoted)
    assert figures.recovery <= patient(5)


@row(131, "away from the midst of sends, for longer than a record is tried")
async def test_what_was_accepted_while_the_store_was_away_is_recorded_when_it_is_back(rig: Rig) -> None:
    release = hold(rig.inbox)
    async with rig.victim(NS_CONCURRENCY="8", NS_ORGANIZATION_SHARE="1", NS_DESTINATION_SHARE="1") as victim:
        await rig.publish(rig.units(8))
        async with patience(30):
            await rig.inbox.receives(8)
        victim.store.hang()
        release.set()
        await victim.worker.says("acceptance.unrecorded", times=8)
        victim.store.resume()
        await rig.account(since=time.time())
        await victim.worker.says("notification.delivered", times=8)
        said = [it["event"] for it in victim.worker.events]
    assert "acceptance.remembered" not in said
    assert said.count("notification.delivered") == 8
