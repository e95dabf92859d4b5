"""Workers die by the dice, are told to go, are replaced one after the other, run out of what a process may have."""

import asyncio
import time
from contextlib import AsyncExitStack

import pytest

from tests.e2e.command import command
from tests.e2e.fleet import Worker
from tests.faults.rig import Rig
from tests.faults.rows import at_night, lasting, record, row, seed
from tests.patience import option, patient

RATE = 20
"""Units a second."""

SLOTS = 8
"""Sends that a worker has under way at most."""


@row(36, "SIGKILL of one of four, each second", quick=False)
@pytest.mark.parametrize("nth", range(5 if at_night() else 1))
async def test_killed_by_the_dice_nothing_is_lost_and_only_what_was_under_way_is_sent_again(rig: Rig, nth: int) -> None:
    rig.dice.seed(seed() + nth)
    async with rig.restarted(4, NS_CONCURRENCY=str(SLOTS)):
        start = time.time()
        for second in range(round(lasting(60))):
            # Short sends, killed in their midst: of those under way for most of the time some would be
            # in the hands of five that die, and end as what kills whoever works on it.
            await rig.publish(rig.units(RATE, latency=0.2))
            await asyncio.sleep(rig.dice.uniform(0.02, 0.15))
            rig.dice.choice(rig.living).kill()
            await asyncio.sleep(start + second + 1 - time.time())
        deaths = rig.deaths
        bounds = {"duplicates": SLOTS * deaths, "copies": deaths, "sends": deaths}
        figures = await rig.account(since=time.time(), within=120, **bounds)
    record(figure=f"{figures.duplicates} duplicates of {deaths} deaths")
    assert deaths


@row(37, "SIGTERM of one of two under load: seconds to its exit", quick=False)
async def test_whose_time_is_over_finishes_what_it_has_begun_and_leaves_the_rest(rig: Rig) -> None:
    async with rig.workers(2, NS_CONCURRENCY="8") as (leaving, _):
        await rig.publish(rig.units(200, latency=0.5))
        await rig.inbox.receives(16)
        assert await seconds_to_exit(leaving) < patient(3)
        await rig.account(since=time.time())


@row(38, "SIGTERM while receivers hang: seconds to its exit", quick=False)
async def test_whose_sends_hang_is_gone_within_its_grace_and_others_make_them_good(rig: Rig) -> None:
    grace = option(4)
    async with rig.workers(1, NS_CONCURRENCY="8", NS_GRACE=grace) as (leaving,):
        await rig.publish([*rig.units(4, script=["hang"]), *rig.units(60, latency=0.2)])
        await rig.inbox.receives(8)
        assert await seconds_to_exit(leaving) < float(grace.removesuffix("s"))
    async with rig.workers(1):
        await rig.account(since=time.time(), sends=2)


async def seconds_to_exit(worker: Worker) -> float:
    """From SIGTERM on."""
    asked = time.monotonic()
    assert await worker.stop() == 0
    seconds = time.monotonic() - asked
    record(figure=f"{seconds:.1f} s")
    return seconds


@row(41, "rolling restart", quick=False)
async def test_workers_that_are_replaced_one_after_the_other_lose_nothing_and_repeat_nothing(rig: Rig) -> None:
    async with AsyncExitStack() as started:
        old = await started.enter_async_context(rig.workers(4, NS_CONCURRENCY="8"))
        for leaving in old:
            # For each anew: starting one takes longer than working off what there is.
            await rig.publish(rig.units(150, latency=0.2))
            await started.enter_async_context(rig.workers(1, NS_CONCURRENCY="8"))
            assert await leaving.stop() == 0
        await rig.account(since=time.time())


@pytest.mark.parametrize(
    "log",
    [
        pytest.param(">/dev/full", id="full", marks=row(43, "disk full where the log goes", quick=False)),
        pytest.param("> >(true)", id="closed", marks=row(43, "nobody reads the log any more")),
    ],
)
async def test_whose_log_goes_nowhere_works_on(rig: Rig, log: str) -> None:
    assert (await command(rig.environment, "topology")).code == 0
    await rig.publish(rig.units(50))
    async with rig.worker("bash", "-c", f'exec "$@" {log} 2>&1', "bash"):
        await rig.account()


@row(44, "no more than 64 files may be open", quick=False)
async def test_a_process_that_may_open_no_more_files_loses_nothing(rig: Rig) -> None:
    assert (await command(rig.environment, "topology")).code == 0
    await rig.publish(rig.units(200, latency=0.5))
    async with rig.worker("bash", "-c", 'ulimit -n 64; exec "$@"', "bash") as worker:
        await rig.account()
    assert not [it for it in worker.events if it["event"] == "notification.failed"]
