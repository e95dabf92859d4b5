"""The way out to recipients: their names, the hosts that several of them share, and the connections that are kept."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.fleet import Worker
from tests.e2e.listener import listening
from tests.faults.proxy import Proxy
from tests.faults.rig import Rig
from tests.faults.rows import record, row
from tests.patience import patience, patient
from tests.services.odd_names import Question, addresses, odd_names

Record = dict[str, Any]

HERE = "127.0.0.1"


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """Of several organizations."""
    async with Sandbox(tmp_path, organizations=6, incidents=60) as running:
        yield running


def of(rig: Rig, number: int, hooks: list[Record]) -> list[Record]:
    """A unit for each of these, of one organization."""
    whose = list(rig.sandbox.world.organizations)[number]
    about = next(it for it in rig.sandbox.world.incidents.values() if it["organization_id"] == whose)
    own = {"organization_id": whose, "incident_id": about["incident_id"], "intel_request_id": None}
    return [rig.unit(**own, fingerprint=None, destinations=[hook]) for hook in hooks]


def silent(_: Question) -> None:
    """The name server of this name hangs."""


@row(105, "120 names of one customer whose name server hangs")
async def test_names_that_hang_hold_up_nobody_else_and_cost_no_attempt_at_a_receiver_that_is_well(rig: Rig) -> None:
    hang = [f"hangs-{number}.test" for number in range(120)]
    hanging = [rig.hook(url=f"http://{name}:{rig.inbox_port}/x") for name in hang]
    here = [rig.hook() for _ in range(40)]
    well = [it | {"url": it["url"].replace(HERE, "well.test")} for it in here]
    says = dict.fromkeys(hang, silent) | {"well.test": addresses(HERE)}
    async with (
        odd_names(says) as names,
        rig.workers(1, NS_NAMESERVERS=names.place, NS_RETRY_SCHEDULE="1s") as (worker,),
    ):
        await rig.publish(of(rig, 0, hanging))
        async with patience(30):
            while not any(names.asked[name] for name in hang):  # noqa: ASYNC110 - it cannot be awaited, only asked
                await asyncio.sleep(0.01)
        await rig.publish(of(rig, 1, well))
        await rig.account(dead={"exhausted": len(hang)}, within=100)
        failed = {it["destination_id"] for it in worker.events if it["event"] == "notification.failed"}
        causes = {it["error"] for it in worker.events if it["event"] == "notification.failed"}
    assert failed <= {it["destination_id"] for it in hanging}
    assert all("name server" in it or "no connection in time" in it for it in causes), causes
    slowest = max(post.arrived - rig.accounts.confirmed[post.notification_id].at for post in rig.inbox.webhooks)
    record(figure=f"the others within {slowest:.1f} s")
    assert slowest < patient(10)


@row(106, "one gateway: the paths of one customer hang, those of another answer")
async def test_what_hangs_of_one_customer_on_a_gateway_holds_no_other_there(rig: Rig) -> None:
    hung = [rig.hook() for _ in range(200)]
    for hook in hung:
        rig.inbox.behaviours[hook["destination_id"]].latency = 3600.0
    well = [rig.hook() for _ in range(40)]
    async with rig.workers(2, NS_RETRY_SCHEDULE="1s 70s") as workers:
        await rig.broker.publish(of(rig, 0, hung[:60]))
        async with patience(60):
            knows, out = await _first(*(_out(it) for it in workers))
        for number, unit in enumerate(of(rig, 1, well), 1):
            await rig.broker.publish(of(rig, 0, hung[60 + 2 * number : 62 + 2 * number]))
            await rig.publish([unit])
            await _arrive(rig, number)
        slowest = max(post.arrived - rig.accounts.confirmed[post.notification_id].at for post in _accepted(rig))
        status = (await knows.get("/status")).json()
    record(figure=f"the other's within {slowest:.1f} s")
    first = next(iter(rig.sandbox.world.organizations))
    delayed = [it for worker in workers for it in worker.events if it.get("reason") == "host_out"]
    assert {it["organization_id"] for it in delayed} == {first}
    assert out["organization"] == first
    assert {it["organization"] for it in status["hosts_out"]} == {first}


async def _out(worker: Worker) -> tuple[Worker, Record]:
    """The other worker may learn of it later, or never."""
    return worker, await worker.says("host.circuit_opened")


def _accepted(rig: Rig) -> list[Any]:
    return [post for post in rig.inbox.webhooks if post.notification_id in rig.accounts.confirmed]


async def _arrive(rig: Rig, count: int) -> None:
    async with patience(60):
        while len({it.notification_id for it in _accepted(rig)}) < count:
            await rig.inbox.receives(len(rig.inbox.webhooks) + 1)


async def _first(*waits: Any) -> Any:
    tasks = [asyncio.ensure_future(it) for it in waits]
    done, others = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
    return done.pop().result()


@row(106, "a gateway hangs for several customers", quick=False)
async def test_a_gateway_that_hangs_for_all_is_left_to_single_tries_of_different_customers(rig: Rig) -> None:
    async with Proxy(rig.inbox_port) as gateway, rig.workers(2, NS_RETRY_SCHEDULE="1s 5s 5s 5s 5s 5s") as workers:
        gateway.hang()
        customers = [of(rig, number, [rig.hook(gateway.port) for _ in range(20)]) for number in range(5)]
        await rig.publish([unit for several in zip(*customers, strict=True) for unit in several])
        async with patience(60):
            out = await _first(*(_whole(it) for it in workers))
        assert "organization" not in out
        gateway.reset()
        gateway.resume()
        await rig.account(since=time.time(), within=100)


async def _whole(worker: Any) -> Record:
    times = 1
    while "organization" in (out := await worker.says("host.circuit_opened", times=times, within=60)):
        times += 1
    return out


@row(111, "few files may be open, and a customer has hundreds of hosts")
async def test_what_is_kept_open_for_one_customer_leaves_room_for_all(rig: Rig) -> None:
    hosts = 150
    async with AsyncExitStack() as stack:
        many = [await stack.enter_async_context(Proxy(rig.inbox_port)) for _ in range(hosts)]
        large = of(rig, 0, [rig.hook(host.port) for host in many])
        small = of(rig, 1, [rig.hook() for _ in range(20)])
        worker = await stack.enter_async_context(
            rig.worker("bash", "-c", 'ulimit -Sn 100; ulimit -Hn 140; exec "$@"', "bash")
        )
        await worker.says("worker.ready")
        await rig.publish([*large, *small])
        await rig.account()
        raised = await worker.says("open_files.raised")
        few = await worker.says("open_files.few")
        kept = sum(host.connections for host in many)
        failed = [it for it in worker.events if it["event"] == "notification.failed"]
    record(figure=f"{kept} of {hosts} connections of one customer kept with 140 files")
    assert (raised["before"], raised["after"]) == (100, 140)
    assert few["needed"] > few["limit"] == 140
    assert "ulimit" in few["advice"]
    assert kept <= 70
    assert failed == []


async def test_a_network_that_is_opened_to_one_organization_is_reached_by_no_other(rig: Rig) -> None:
    first, second = list(rig.sandbox.world.organizations)[:2]
    only = {"NS_ALLOWED_CIDRS": f"127.0.0.1/32:{rig.inbox_port}={first}, 127.0.0.2/32"}
    only |= {"NS_ENVIRONMENT": "production", "NS_SMTP_URL": "", "NS_EMAIL_FROM": ""}
    async with (
        listening(rig.inbox_port, "127.0.0.2") as trap,
        rig.workers(1, **only) as (worker,),
    ):
        await rig.publish([*of(rig, 0, [rig.hook() for _ in range(10)])])
        await rig.inbox.accepts(10)
        await rig.publish([*of(rig, 1, [rig.hook() for _ in range(10)])])
        await rig.account(dead={"forbidden_address": 10})
        dead = [it for it in worker.events if it["event"] == "notification.dead"]
        assert (await worker.says("allowed_cidrs.bare"))["networks"] == ["127.0.0.2/32"]
    assert {it["organization_id"] for it in dead} == {second}
    assert len(rig.inbox.webhooks) == 10
    assert trap.dialled == []
