import asyncio

import httpx
import pytest

from notification_sender.context.source import MISSING
from notification_sender.model.errors import ContextUnavailable, SubjectNotFound, TenantMismatch
from tests.recipes.api import Bench, record, small_world, unit


@pytest.mark.parametrize("owner", ["other", None])
async def test_records_of_other_organizations_are_dropped_and_counted(owner: str | None) -> None:
    platform = small_world(fast=False)
    platform.add_requests("direct", organization_id=owner)
    platform.add_assets("a", organization_id=owner)
    platform.incident["outages"] = [record(organization_id="other"), {"summary": "part of the incident"}]
    bench = Bench(platform)
    values = (await bench.gatherer.gather(unit())).values
    assert (values["assets"], values["intel_requests"]) == ([], [])
    assert values["outages"] == [{"summary": "part of the incident"}]
    assert bench.foreign == {"assets": 1, "dependents": 1, "outages": 1}


async def test_the_subject_of_another_organization_ends_the_unit() -> None:
    platform = small_world(fast=False)
    platform.incident["organization_id"] = "other"
    bench = Bench(platform)
    with pytest.raises(TenantMismatch, match="incident: it belongs to another organization"):
        await bench.gatherer.gather(unit())
    assert bench.foreign == {"incident": 1}
    assert not [key for key in bench.shared.kept if ":incident:" in key]


async def test_a_foreign_record_beside_the_subject_is_as_if_it_were_not() -> None:
    platform = small_world(fast=False)
    platform.incident["organization_id"] = "other"
    bench = Bench(platform)
    context = await bench.gatherer.gather(unit(event="intel.created", intel_request_id="direct"))
    assert (context.values["incident"], context.degraded) == (MISSING, ["incident"])
    assert not [key for key in bench.shared.kept if ":incident:" in key]


@pytest.mark.parametrize("endpoint", ["organization", "incident"])
async def test_an_answer_that_does_not_say_whose_it_is_is_a_bad_one(endpoint: str) -> None:
    platform = small_world(fast=False)
    (platform.organization if endpoint == "organization" else platform.incident)["organization_id"] = None
    with pytest.raises(ContextUnavailable, match=f"^{endpoint}: "):
        await Bench(platform).gatherer.gather(unit())


@pytest.mark.parametrize(
    ("status", "error"), [(404, SubjectNotFound), *((it, ContextUnavailable) for it in (401, 403, 429, 500))]
)
@pytest.mark.parametrize("endpoint", ["incident"])
async def test_nothing_of_an_error_is_kept_and_the_next_call_is_made(
    endpoint: str, status: int, error: type[Exception]
) -> None:
    platform = small_world(fast=False)
    bench = Bench(platform)
    platform.answers = {endpoint: lambda _: httpx.Response(status, json=platform.incident)}
    with pytest.raises(error):
        await bench.gatherer.gather(unit())
    assert not [key for key in bench.shared.kept if f":{endpoint}:" in key]
    assert asyncio.all_tasks() == {asyncio.current_task()}
    platform.answers = {}
    assert (await bench.gatherer.gather(unit())).degraded == []


@pytest.mark.parametrize("endpoint", ["organization", "incident", "intel-requests/bulk", "assets/bulk"])
@pytest.mark.parametrize("body", [b'{"organization_id": "acme"', b"null", b'"text"'])
async def test_a_bad_answer_is_trouble_and_not_kept(endpoint: str, body: bytes) -> None:
    platform = small_world(fast=False)
    bench = Bench(platform)
    platform.answers = {endpoint: lambda _: httpx.Response(200, content=body)}
    with pytest.raises(ContextUnavailable, match=r"not JSON|where the contract says"):
        await bench.gatherer.gather(unit())
    platform.answers = {}
    assert (await bench.gatherer.gather(unit())).degraded == []


async def test_an_old_organization_is_better_than_none_while_aaa_is_away() -> None:
    bench = Bench(small_world(fast=False))
    await bench.gatherer.gather(unit())
    bench.clock.time += 600
    bench.platform.answers = {"organization": lambda _: httpx.Response(503)}
    context = await bench.gatherer.gather(unit())
    assert (context.values["organization"]["name"], context.degraded) == ("Acme", ["organization"])


async def test_geocoding_that_fails_or_hangs_only_degrades() -> None:
    platform = small_world(fast=True)

    async def hang(_: httpx.Request) -> httpx.Response:
        await asyncio.Event().wait()
        raise AssertionError

    for answer in (hang, lambda _: httpx.Response(500), lambda _: httpx.Response(200, content=b"<html>")):
        platform.answers = {"reverse": answer}
        context = await Bench(platform).gatherer.gather(unit())
        assert (context.values["address"], context.degraded) == (MISSING, ["address"])


async def test_a_token_that_is_revoked_is_renewed_once_for_all() -> None:
    bench = Bench(small_world(fast=False))
    await bench.gatherer.gather(unit())
    bench.platform.token = "service-2"
    bench.clock.time += 3000
    bench.shared.forget()
    await asyncio.gather(*(bench.gatherer.gather(unit(asset_ids=["a"])) for _ in range(75)))
    assert bench.platform.calls["token"] == 2
