"""Records that nobody can read, of one organization: its units wait, and the other organization's do not notice."""

import asyncio
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import orjson
import pytest
from aiohttp import web

from notification_sender.sandbox.platform import endpoints
from notification_sender.sandbox.platform.endpoints import Endpoint
from tests.e2e.fleet import Worker
from tests.faults.rig import Rig
from tests.faults.rows import record, row
from tests.patience import patience, patient

Record = dict[str, Any]
ODD: Mapping[str, bytes] = {
    "@half": b'"\\ud83d"',
    "@nan": b"NaN",
    "@bytes": b'"\xff\xfe"',
    "@deep": b"[" * 300 + b"]" * 300,
}
"""What an API writes in place of these texts."""

STATUSES = {"refused": 422, "broken": 500}
"""Of a bulk call that asks for an asset whose id begins so."""


@pytest.fixture(autouse=True)
def odd_apis(monkeypatch: pytest.MonkeyPatch) -> None:
    """The sandbox's own, but for the odd records."""
    answer, bulk = endpoints.answer, endpoints._bulk

    def odd_answer(value: object, status: int = 200) -> web.Response:
        response = answer(value, status)
        body = bytes(response.body or b"")  # type: ignore[arg-type]  # it was given bytes
        for text, written in ODD.items():
            body = body.replace(orjson.dumps(text), written)
        response.body = body
        return response

    def odd_bulk(body: bytes, field: str, records: Mapping[str, Record]) -> web.Response:
        for id_ in orjson.loads(body)[field]:
            if status := STATUSES.get(id_.partition("-")[0]):
                return endpoints.refusal(status, id_)
        return bulk(body, field, records)

    monkeypatch.setattr(endpoints, "answer", odd_answer)
    monkeypatch.setattr(endpoints, "_bulk", odd_bulk)


def incidents_of(rig: Rig, organization_id: str) -> list[Record]:
    return [it for it in rig.sandbox.world.incidents.values() if it["organization_id"] == organization_id]


def about(rig: Rig, incident: Record, asset_id: str, **oddities: Any) -> Record:
    """A unit with an asset of its own, which is fetched for it alone."""
    world = rig.sandbox.world
    template = next(iter(world.assets.values()))
    owner = incident["organization_id"]
    world.assets[asset_id] = template | {"asset_id": asset_id, "organization_id": owner} | oddities
    whose = {"incident_id": incident["incident_id"], "organization_id": owner, "asset_ids": [asset_id]}
    own = {"intel_request_id": None, "fingerprint": incident["modified"], "destinations": [rig.hook()]}
    return rig.unit(**whose, **own)


def odd_units(rig: Rig, incidents: Sequence[Record]) -> list[Record]:
    """Six records of one organization that cannot be had, each in a way of its own."""
    incidents[0]["location"]["thoroughfare"] = "@half"
    incidents[1]["location"]["thoroughfare"] = "@deep"
    units = [about(rig, incidents[0], "odd-0"), about(rig, incidents[1], "odd-1")]
    units += [about(rig, incidents[2], f"odd-{text[1:]}", asset_name=text) for text in ("@bytes", "@nan")]
    return [*units, *(about(rig, incidents[2], f"{how}-1") for how in STATUSES)]


async def waits(rig: Rig, units: Sequence[Record], more: Sequence[Record] = ()) -> list[float]:
    """Publish all of these in turn; how long each of ``units`` took."""
    mixed = [unit for pair in zip(more, units, strict=False) for unit in pair] + [*units[len(more) :]]
    before = len(rig.inbox.accepted)
    await rig.publish(mixed)
    async with patience(60):
        await rig.inbox.accepts(before + len(units))
    wanted = {unit["destinations"][0]["destination_id"] for unit in units}
    arrived = {post.notification_id: post.arrived for post in reversed(rig.inbox.webhooks)}
    confirmed = rig.accounts.confirmed
    return [arrived[id_] - one.at for id_, one in confirmed.items() if one.destination_id in wanted]


@row(107, "six records of one organization that nobody can read")
async def test_what_one_organization_has_odd_costs_the_other_nothing(rig: Rig) -> None:
    odd, good = (incidents_of(rig, it) for it in [*rig.sandbox.world.organizations][:2])
    bulk = rig.sandbox.platform.behaviours[Endpoint.ASSETS]
    async with rig.workers(2) as workers:
        control = await waits(rig, [about(rig, good[0], f"control-{number}") for number in range(30)])
        calls = bulk.calls
        six = odd_units(rig, odd)
        units = [about(rig, (good if number % 3 else odd[3:])[0], f"good-{number}") for number in range(60)]
        took = await waits(rig, units, six)
        async with patience(60):
            while len(put_off(workers)) < len(six):  # noqa: ASYNC110 - of two workers, whoever has them
                await asyncio.sleep(0.05)
        apis = [(await worker.get("/status")).json()["apis"] for worker in workers]
        calls = bulk.calls - calls
    assert not [it for worker in workers for it in worker.events if it["event"] == "api.circuit_opened"]
    assert {state["state"] for each in apis for state in each.values()} == {"well"}
    assert set(put_off(workers)) == {unit["work_unit_id"] for unit in six}
    figure = f"median {statistics.median(took):.2f} s, most {max(took):.2f} s; control {statistics.median(control):.2f}"
    record(figure=f"{figure} and {max(control):.2f} s; {calls} bulk calls for {len(units) + 6} units")
    assert max(took) <= 5 * max(control) + patient(2)
    assert calls <= 3 * (len(units) + len(six))


@row(107, "records that nobody can read, until they are too old", quick=False)
async def test_what_cannot_be_read_is_dead_with_the_record_named(rig: Rig) -> None:
    ours = next(iter(rig.sandbox.world.organizations))
    async with rig.workers(1, NS_MAX_AGE="10s"):
        await rig.publish(odd_units(rig, incidents_of(rig, ours)))
        await rig.account(dead={"context_unavailable": 6}, remembered=False, sends=0)


def put_off(workers: Sequence[Worker]) -> Counter[str]:
    """How often each unit was."""
    events = [it for worker in workers for it in worker.events]
    return Counter(it["work_unit_id"] for it in events if it["event"] == "unit.deferred")
