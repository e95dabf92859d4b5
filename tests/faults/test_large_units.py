"""Units and records that are larger than anybody meant: they end by their bounds, and hold nobody else up."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
import pytest

from notification_sender.model.notification import notification_id
from notification_sender.model.unit import decode
from tests.e2e.command import command
from tests.e2e.fleet import Worker
from tests.e2e.reading import reasons
from tests.faults.accounting import _peak_rss
from tests.faults.rig import Record, Rig
from tests.faults.rows import record, row
from tests.patience import patience

SILENT = 20.0
"""Seconds without an answer of ``/livez``: no machine is so slow, and a unit of 3,000 held one for 42 and 71."""

GROWTH = 30.0
"""MiB that a unit may cost a worker, whatever it has of destinations: 3,000 rendered emails are 150."""

PATIENT = {"NS_LEASE": "12s", "NS_SEND_TIMEOUT": "10s"}


def mails(count: int, **fields: Any) -> list[Record]:
    return [
        {"destination_id": f"m-{number}", "channel": "email", "to": f"noc-{number}@example.com"} | fields
        for number in range(count)
    ]


def large(rig: Rig, count: int) -> tuple[Record, set[str]]:
    """A unit for so many email destinations of its organization, and the ids that it owes."""
    unit = rig.unit(channels=["email"], batch={"id": "large", "size": 1})
    rig.sandbox.world.organizations[unit["organization_id"]]["destinations"] = mails(count, template="intel")
    read = decode(orjson.dumps(unit))
    return unit, {notification_id(read, f"m-{number}") for number in range(count)}


@asynccontextmanager
async def watched(workers: Sequence[Worker]) -> AsyncIterator[list[float]]:
    """How long each answer of ``/livez`` took, s: they are asked all along."""
    took: list[float] = []

    async def watch(worker: Worker) -> None:
        while True:
            began = time.monotonic()
            async with patience(SILENT):
                assert (await worker.get("/livez")).status_code == 200
            took.append(time.monotonic() - began)
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:  # noqa: TID251 - has no deadline after it
        watching = [group.create_task(watch(worker)) for worker in workers]
        yield took
        for task in watching:
            task.cancel()


async def wait_for_sends(rig: Rig, count: int) -> None:
    """Wait until so many were accepted, for as long as there are ever more, and nothing of them is left."""
    while (so_far := len(rig.inbox.accepted)) < count:
        async with patience(90):
            await rig.inbox.accepts(so_far + 1)
        await asyncio.sleep(0.1)
    async with patience(90):
        while any((await rig.broker.depths(("units", "notifications"))).values()):  # noqa: ASYNC110 - only asked
            await asyncio.sleep(0.1)


async def audited(rig: Rig) -> str:
    """What the command says of units, once the last of it is recorded."""
    async with patience(30):
        while True:
            line = (await command(rig.environment, "audit", "--batch", "large")).out.strip()
            if "waiting 1" not in line:
                return line.splitlines()[0]
            await asyncio.sleep(0.2)


@row(103, "a unit with 3,000 email destinations", quick=False)
@pytest.mark.timeout(1800)
async def test_a_large_unit_holds_neither_loop_nor_memory_and_is_told_once(rig: Rig) -> None:
    unit, owed = large(rig, 3000)
    others = rig.units(50)
    async with rig.workers(2, **PATIENT) as workers, watched(workers) as took:
        await rig.publish(rig.units(20))
        await rig.account()
        before = max(_peak_rss(it.process.pid) for it in workers)
        rig.accounts.confirmed.clear()
        rig.inbox.accepted.clear()
        await rig.broker.publish([unit])
        await rig.publish(others)
        await wait_for_sends(rig, len(owed) + len(others))
        after = max(_peak_rss(it.process.pid) for it in workers)
        line = await audited(rig)
        lost = [it for worker in workers for it in worker.events if it["event"] in {"claim.lost", "broker.lost"}]
    slowest = 1000 * max(took)
    record(figure=f"RSS {before:.0f} MiB, then {after:.0f}; the slowest /livez {slowest:.0f} ms")
    print(f"RSS {before:.0f} MiB, then {after:.0f}; the slowest /livez {slowest:.0f} ms")  # noqa: T201 - as above
    assert line == "accounted for: 1 of 1 (delivered 1, suppressed 0, waiting 0, dead 0)"
    assert {it for it in rig.inbox.accepted if it not in rig.accounts.confirmed} == owed
    assert rig.inbox.duplicates == 0
    assert lost == []
    assert after - before < GROWTH


@row(103, "kill -9 of who tells a unit with 300 destinations", quick=False)
async def test_of_a_large_unit_nothing_is_lost_with_a_worker(rig: Rig) -> None:
    unit, owed = large(rig, 300)
    async with rig.workers(2) as (first, _):
        await rig.broker.publish([unit])
        async with patience(60):
            await rig.inbox.accepts(20)
        first.kill()
        await wait_for_sends(rig, len(owed))
        line = await audited(rig)
    assert line == "accounted for: 1 of 1 (delivered 1, suppressed 0, waiting 0, dead 0)"
    assert rig.inbox.accepted.keys() == owed
    assert rig.inbox.duplicates <= 2 * 8 * 8, "at most what it was sending"


@row(104, "28,000 assets, 5 MB of notes, 65 patterns, a channel that is not there, too many destinations")
async def test_what_is_out_of_bounds_ends_by_name_and_takes_nobody_along(rig: Rig) -> None:
    hook = rig.hook()
    rig.inbox.behaviours[hook["destination_id"]].script.append(500)
    odd = {
        "assets": rig.unit(work_unit_id="assets", asset_ids=["a1234"] * 28_000, destinations=[rig.hook()]),
        "crowd": rig.unit(work_unit_id="crowd", channels=None, destinations=mails(60)),
    }
    broken = {
        "sms": rig.hook(destination_id="sms", channel="sms"),
        "patterns": rig.hook(destination_id="patterns", events=["a*"] * 65),
        "far": rig.hook(destination_id="far", url="https://hooks.example/".ljust(3000, "x")),
    }
    own = rig.unit(channels=None, destinations=None)
    rig.sandbox.world.organizations[own["organization_id"]]["destinations"] = [
        *(it | {"notes": "n" * 100_000} for it in broken.values()),
        hook | {"notes": "n" * 4_500_000},
    ]
    siblings = rig.unit(destinations=[*broken.values(), rig.hook()])
    async with rig.workers(2, NS_MAX_DESTINATIONS="50", **PATIENT) as workers, watched(workers):
        await rig.broker.publish([*odd.values(), own, siblings])
        await rig.publish(rig.units(20))
        letters = await rig.broker.dead(2 + 2 * len(broken))
        async with patience(60):
            await rig.inbox.accepts(20 + 2)
    assert reasons(letters) == dict.fromkeys([*odd, *broken], "schema")
    assert max(len(it.body) for it in letters if b'"notification_id"' in it.body) < 8000
    details = {orjson.loads(it.body).get("work_unit_id"): str(it.headers["x-detail"]) for it in letters}
    assert "1000" in details["assets"]
    assert rig.inbox.accepted.keys() >= rig.accounts.confirmed.keys()
