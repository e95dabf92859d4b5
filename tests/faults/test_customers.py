"""Customers whose hosts hang, or who take an endpoint away: it costs the others nothing, and nobody is told in vain."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.faults.accounting import owed
from tests.faults.proxy import Proxy
from tests.faults.rig import Rig
from tests.faults.rows import lasting, record, row
from tests.patience import patient

Record = dict[str, Any]


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """Of many organizations."""
    async with Sandbox(tmp_path, organizations=20, incidents=100) as running:
        yield running


@row(61, "the hosts of three of ten customers hang", quick=False)
async def test_hosts_that_hang_are_left_to_single_tries_and_the_other_customers_do_not_wait(rig: Rig) -> None:
    quiet = lasting(3600) / 2
    async with AsyncExitStack() as stack:
        hosts = [await stack.enter_async_context(Proxy(rig.inbox_port)) for _ in range(10)]
        dead, well = hosts[:3], hosts[3:]
        async with rig.workers(2, NS_RETRY_SCHEDULE="1s 5s 5s 5s 5s 5s") as workers:
            for host in dead:
                host.hang()
            customers = [of_customer(rig, number, host, 60) for number, host in enumerate(hosts)]
            await rig.publish([unit for several in zip(*customers, strict=True) for unit in several])
            await rig.inbox.accepts(60 * len(well))
            slowest = max(post.arrived - rig.accounts.confirmed[post.notification_id].at for post in rig.inbox.webhooks)
            for worker in workers:
                await worker.says("host.circuit_opened", times=3)
            known = sum(host.dialled for host in dead)
            await asyncio.sleep(quiet)  # the fault itself
            probes = sum(host.dialled for host in dead) - known
            for host in dead:
                # What was asked while it hung is not answered any more.
                host.reset()
                host.resume()
            await rig.account(since=time.time(), within=100)
    record(
        figure=f"{known} tries until all knew, then {probes} at three hosts in {quiet:.0f} s; others {slowest:.1f} s"
    )
    # Of each process twenty failures at each host, and what was under way.
    assert known <= 2 * 3 * (20 + 30)
    # With pauses of 1, 2, 4 … 60 s, and a fifth.
    assert probes <= 3 * (4 + quiet / 48)
    assert slowest <= patient(5)


def of_customer(rig: Rig, number: int, host: Proxy, count: int) -> list[Record]:
    """Units of one organization, whose host is this one."""
    whose = list(rig.sandbox.world.organizations)[number]
    about = next(it for it in rig.sandbox.world.incidents.values() if it["organization_id"] == whose)
    own = {"organization_id": whose, "incident_id": about["incident_id"], "intel_request_id": None}
    return [rig.unit(**own, fingerprint=None, destinations=[rig.hook(host.port)]) for _ in range(count)]


@row(70, "an endpoint is deleted in mid-retry", quick=False)
async def test_what_waits_for_a_destination_that_was_deleted_is_not_tried_any_more(rig: Rig) -> None:
    kept, deleted = hooks = [rig.hook(), rig.hook()]
    for hook in hooks:
        rig.inbox.behaviours[hook["destination_id"]].script.extend([500] * 20)
    units = [rig.unit(destinations=None) for _ in range(10)]
    organization = rig.sandbox.world.organizations[units[0]["organization_id"]]
    organization["destinations"] = hooks
    async with rig.workers(1, NS_RETRY_SCHEDULE="1s 70s") as (worker,):
        await rig.broker.publish(units)
        for unit in units:
            rig.accounts.confirmed |= owed(unit | {"destinations": [kept]}, time.time())
        await rig.inbox.receives(40)
        organization["destinations"] = [kept]
        for key in await rig.ask("KEYS", f"{rig.prefix}:1:*:fact:*organization*"):
            await rig.ask("DEL", key)  # it is kept for five minutes
        since = time.time()
        await rig.account(since=since, sends=3, within=100)
        await worker.says("notification.suppressed", times=10, reason="destination_removed")
    assert [
        it for it in rig.inbox.webhooks if it.destination_id == deleted["destination_id"] and it.arrived > since
    ] == []
