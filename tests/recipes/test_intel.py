import asyncio
from typing import Any

import httpx
import pytest

from notification_sender.context.source import MISSING
from notification_sender.model.errors import SchemaViolation
from tests.recipes.api import LATER, MODIFIED, Bench, Platform, edge, query, record, small_world, unit


def ids(rows: Any, name: str = "intel_request_id") -> list[str]:
    return [row[name] for row in rows]


SLOW = {"token": 1, "organization": 1, "incident": 1, "intel-requests/bulk": 1, "assets/bulk": 1, "reverse": 1}
FAST = {"token": 1, "organization": 1, "current": 1, "reverse": 1}


@pytest.mark.parametrize(("fast", "calls"), [(False, SLOW), (True, FAST)])
async def test_75_gatherings_of_one_unit_call_each_endpoint_once(*, fast: bool, calls: dict[str, int]) -> None:
    bench = Bench(small_world(fast=fast))
    contexts = await asyncio.gather(*(bench.gatherer.gather(unit(fingerprint=MODIFIED)) for _ in range(75)))
    assert bench.platform.calls == calls
    assert all(context.values == contexts[0].values for context in contexts)
    bench.forget_process()
    await bench.gatherer.gather(unit(fingerprint=MODIFIED))
    assert bench.platform.calls == calls, "another process finds it all in the shared cache"
    assert {api: sum(n for (it, *_), n in bench.observed.items() if it == api) for api in ("aaa",)} == {"aaa": 2}


@pytest.mark.parametrize("fast", [False, True])
async def test_what_a_context_holds(*, fast: bool) -> None:
    context = await Bench(small_world(fast=fast)).gatherer.gather(unit())
    values = context.values
    assert (values["incident"]["status"], values["incident"]["original_status"]) == ("open", "OPEN")
    assert ids(values["intel_requests"]) == ["direct"]
    assert ids(values["parent_intel_requests"]) == ["parent"]
    assert values["parent_intel_requests"][0]["asset_ids"] == []
    assert values["assets"][0]["geojson"] == {"type": "Point", "coordinates": [8, 47]}
    assert values["address"] == "Bahnhofstrasse, Zürich"
    assert values["intel_request"] is MISSING
    assert (values["organization"]["destinations"], context.degraded) == ([{"destination_id": "noc"}], [])


async def test_the_calls_are_those_of_the_contract() -> None:
    platform = small_world(fast=True)
    platform.entry = None
    await Bench(platform).gatherer.gather(unit(intel_request_id="direct", asset_ids=["b"]))
    recursive = {
        "get_recursive_dependencies": ["True"],
        "recursive_record_types": ["intel_requests"],
        "recursive_max_distance": ["5"],
    }
    asked = {request.url.path: query(request) for request in platform.requests if request.method == "GET"}
    assert asked == {
        "/organizations/acme": {},
        "/incidents/current/inc": {"organization_id": ["acme"]},
        "/incidents/inc": recursive | {"recursive_dependency_type": ["dependents"]},
        "/intel-requests/direct": recursive,
        "/reverse": {"lat": ["47.3769"], "lon": ["8.5417"], "format": ["jsonv2"]},
    }
    bodies = sorted(request.content for request in platform.requests if request.url.path.endswith("bulk"))
    assert bodies == [b'{"asset_ids":["a"]}', b'{"asset_ids":["b"]}', b'{"intel_request_ids":["direct","parent"]}']
    private = {"authorization", "traceparent"}
    for request in platform.requests:
        bare = request.url.path in ("/reverse", "/oauth/token")
        assert private & request.headers.keys() == (set() if bare else private)


@pytest.mark.parametrize(
    ("said", "option", "fast"),
    [
        (True, "auto", True),
        (False, "auto", False),
        (None, "auto", False),
        ("yes", "auto", False),
        (True, "off", False),
        (False, "on", True),
        (None, "on", True),
    ],
)
async def test_when_the_fast_path_is_taken(said: object, option: str, *, fast: bool) -> None:
    platform = small_world(fast=False)
    platform.organization["metadata"] = None if said is None else {"use_current_incidents_cache": said}
    await Bench(platform, current_incidents=option).gatherer.gather(unit())
    assert (platform.calls["current"], platform.calls["incident"]) == ((1, 0) if fast else (0, 1))


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        (None, {}),
        ({"incident": None}, {}),
        ({"incident": record(incident_id="inc", organization_id="other")}, {}),
        ({}, {"fingerprint": LATER}),
        ({}, {"occurred_at": LATER}),
    ],
)
async def test_an_entry_that_is_absent_broken_foreign_or_old_sends_us_the_slow_path(
    change: dict[str, Any] | None, fields: dict[str, str]
) -> None:
    platform = small_world(fast=True)
    assert platform.entry
    platform.entry = None if change is None else platform.entry | change
    platform.incident = platform.incident | {"modified": LATER}
    bench = Bench(platform)
    context = await bench.gatherer.gather(unit(**fields))
    assert (platform.calls["current"], platform.calls["incident"]) == (1, 1)
    assert (context.values["incident"]["modified"], context.degraded) == (LATER, [])
    if change:  # a broken one is no absence
        assert not [key for key in bench.shared.kept if "current_entry" in key]


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"incident": '])
async def test_an_entry_that_cannot_be_read_sends_us_the_slow_path(body: bytes) -> None:
    platform = small_world(fast=True)
    platform.answers = {"current": lambda _: httpx.Response(200, content=body)}
    bench = Bench(platform)
    assert (await bench.gatherer.gather(unit())).degraded == []
    assert (platform.calls["current"], platform.calls["incident"]) == (1, 1)
    assert not [key for key in bench.shared.kept if "current_entry" in key]


async def test_what_an_entry_leaves_out_does_not_exist_and_what_it_does_not_say_is_asked_for() -> None:
    platform = small_world(fast=True)
    platform.incident["assets"] += [{"asset_id": "gone"}]
    context = await Bench(platform).gatherer.gather(unit())
    assert (ids(context.values["assets"], "asset_id"), platform.calls) == (["a"], FAST)
    assert platform.entry
    del platform.entry["assets"]
    context = await Bench(platform).gatherer.gather(unit())
    assert (ids(context.values["assets"], "asset_id"), platform.calls["assets/bulk"]) == (["a"], 1)


async def test_an_incident_that_lags_behind_the_event_is_used_named_and_not_kept() -> None:
    bench = Bench(small_world(fast=False))
    contexts = [await bench.gatherer.gather(unit(fingerprint=LATER)) for _ in range(2)]
    assert [context.degraded for context in contexts] == [["freshness"]] * 2
    assert bench.platform.calls["incident"] == 2
    assert not [key for key in bench.shared.kept if ":incident:" in key]
    bench.platform.incident["modified"] = LATER
    assert (await bench.gatherer.gather(unit(fingerprint=LATER))).degraded == []


async def test_the_fence_holds_for_the_intel_request_where_that_is_the_subject() -> None:
    platform = small_world(fast=True)
    bench = Bench(platform)
    both = unit(event="intel.completed", intel_request_id="direct", fingerprint=LATER)
    context = await bench.gatherer.gather(both)
    assert (context.subject, context.degraded) == ("intel_request", ["freshness"])
    assert (platform.calls["current"], platform.calls["incident"], platform.calls["intel_request"]) == (1, 0, 1)


async def test_an_intel_request_that_the_entry_has_is_not_fetched() -> None:
    platform = small_world(fast=True)
    context = await Bench(platform).gatherer.gather(unit(intel_request_id="direct"))
    assert context.values["intel_request"]["intel_request_id"] == "direct"
    assert platform.calls == FAST


async def test_of_an_intel_request_alone_its_dependents_are_told() -> None:
    platform = small_world(fast=True)
    platform.intel_requests["direct"]["dependents"] = [edge("parent", "direct", 1), edge("direct", "parent", 2)]
    context = await Bench(platform).gatherer.gather(unit(incident_id=None, intel_request_id="direct"))
    assert ids(context.values["intel_requests"]) == ["parent"]
    assert context.values["incident"] is MISSING
    assert platform.calls == {"token": 1, "organization": 1, "intel_request": 1, "intel-requests/bulk": 1}


async def test_250_dependents_in_diamonds_cost_three_bulk_calls() -> None:
    platform = small_world(fast=False)
    names = [f"int-{number}" for number in range(250)]
    platform.add_requests(*names)
    rows = [edge(name, "inc", 1) for name in names] + [edge(name, names[0], 2) for name in names]
    gone = edge("gone", "inc", 1, deleted=MODIFIED)
    asset = edge("asset", "inc", 1, dependent_type="assets")
    platform.incident["dependents"] = [*rows, gone, asset, {"dependent_id": None}, "odd"]
    context = await Bench(platform).gatherer.gather(unit())
    assert platform.calls["intel-requests/bulk"] == 3
    assert ids(context.values["intel_requests"]) == names
    assert context.values["parent_intel_requests"] == []


async def test_a_recursion_without_end_is_cut() -> None:
    platform = small_world(fast=False)
    platform.incident["dependents"] = [edge(f"int-{number}", "inc", 1) for number in range(1500)]
    context = await Bench(platform).gatherer.gather(unit())
    assert platform.calls["intel-requests/bulk"] == 10
    assert context.values["incident"]["dependent_count"] == 1500


async def test_assets_are_asked_for_once_and_those_of_the_unit_at_once() -> None:
    platform = small_world(fast=False)
    platform.add_assets("a", "b", "c")
    waits = asyncio.Event()

    async def after_the_assets(_: httpx.Request) -> httpx.Response:
        await waits.wait()
        return httpx.Response(200, json=platform.incident)

    def bulk(request: httpx.Request) -> httpx.Response:
        waits.set()
        return httpx.Response(200, json=platform._truth("assets/bulk", request))

    platform.answers = {"incident": after_the_assets, "assets/bulk": bulk}
    context = await Bench(platform).gatherer.gather(unit(asset_ids=["b", "a", "b", "nowhere"]))
    assert ids(context.values["assets"], "asset_id") == ["a", "b"]
    bodies = [request.content for request in platform.requests if request.url.path == "/assets/bulk"]
    assert bodies == [b'{"asset_ids":["b","a","nowhere"]}']


@pytest.mark.parametrize("holder", ["incident", "intel_request"])
async def test_assets_beyond_the_limit_are_left_out_and_named(holder: str) -> None:
    platform = small_world(fast=False)
    many = [f"asset-{number}" for number in range(1200)]
    platform.add_assets(*many)
    platform.incident["assets"] = [{"asset_id": id_} for id_ in many] if holder == "incident" else []
    platform.add_requests("ir", asset_ids=many if holder == "intel_request" else [])
    context = await Bench(platform).gatherer.gather(unit(intel_request_id="ir"))
    assert ids(context.values["assets"], "asset_id") == many[:1000]
    assert context.degraded == ["assets"]
    assert platform.calls["assets/bulk"] == 10


async def test_an_incident_without_a_point_has_no_address() -> None:
    for geojson in (None, "odd", {"type": "Polygon", "coordinates": [[[8, 47]]]}, {"coordinates": [8, 1e9]}):
        platform = small_world(fast=True)
        platform.incident["location"] = {"geojson": geojson}
        context = await Bench(platform).gatherer.gather(unit())
        assert (context.values["address"], context.degraded, platform.calls["reverse"]) == (MISSING, [], 0)


async def test_only_what_a_template_reads_is_fetched() -> None:
    platform = small_world(fast=False)
    await Bench(platform).gatherer.gather(unit(), frozenset({"organization", "degraded"}))
    assert platform.calls == {"token": 1, "organization": 1, "incident": 1}


async def test_a_unit_about_nothing_breaks_the_contract() -> None:
    bench = Bench(Platform())
    with pytest.raises(SchemaViolation, match="incident_id, intel_request_id: one of them is required"):
        bench.gatherer.check(unit(incident_id=None))
