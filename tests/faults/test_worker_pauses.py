"""A worker is stopped for longer than its lease, as by a machine that is being moved, and goes on later."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.faults.proxy import Sight, freeze, replied
from tests.faults.rig import Rig, Victim
from tests.faults.rows import row
from tests.patience import patience


@asynccontextmanager
async def stopped(rig: Rig, step: Sight) -> AsyncIterator[Victim]:
    """A worker that was stopped there, and goes on when others have delivered everything."""
    async with rig.victim(NS_CONCURRENCY="1") as victim:
        fault = victim.store.when(step, freeze(victim.worker))
        await rig.publish(rig.units(20))
        async with patience(30):
            await fault.happened.wait()
        victim.broker.reset()
        async with rig.workers(1):
            async with patience(30):
                await rig.inbox.accepts(20)
            victim.worker.thaw()
            yield victim


@row(39, "SIGSTOP for longer than the lease, before the first byte")
async def test_stopped_between_its_claim_and_the_first_byte_it_sends_nothing_when_it_goes_on(rig: Rig) -> None:
    async with stopped(rig, replied("admit", nth=3)) as victim:
        await victim.worker.says("notification.deferred", reason="claim_lost")
        await rig.account()


@row(39, "SIGSTOP for longer than the lease, after the last look")
async def test_stopped_after_its_last_look_it_sends_one_copy_at_most(rig: Rig) -> None:
    # Of the first send alone: it dials. The others follow on its connection, and their claim begins them.
    async with stopped(rig, replied("begin")):
        await rig.account(duplicates=1, copies=2, sends=2)
