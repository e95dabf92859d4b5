import asyncio
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest

from notification_sender.sandbox.platform.endpoints import Endpoint
from notification_sender.sandbox.platform.platform import CLIENT_ID, CLIENT_SECRET, Platform
from notification_sender.sandbox.platform.tokens import origin
from notification_sender.sandbox.platform.world import World
from tests.patience import patience

RECURSIVE = {
    "get_recursive_dependencies": "True",
    "recursive_dependency_type": "dependents",
    "recursive_record_types": "intel_requests",
    "recursive_max_distance": "5",
}
GRANT = {"grant_type": "client_credentials", "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET}


def whose(platform: Platform, audience: str) -> dict[str, str]:
    owner = next(iter(platform.world.organizations))
    return {"audience": audience, "organization_id": owner, "resource": "https://hooks.example"}


class Client:
    """A worker's view of the platform: one session with a service token."""

    def __init__(self, platform: Platform, http: aiohttp.ClientSession) -> None:
        self._base = platform.urls["NS_AAA_URL"]
        self._http = http
        self.token = ""

    async def get(self, path: str, **query: str) -> tuple[int, Any]:
        async with self._http.get(self._base + path, params=query, headers=self._headers) as response:
            return response.status, await response.json(content_type=None)

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        async with self._http.post(self._base + path, json=body, headers=self._headers) as response:
            return response.status, await response.json(content_type=None)

    async def grant(self, **form: str) -> tuple[int, Any]:
        async with self._http.post(f"{self._base}/oauth/token", data=form) as response:
            return response.status, await response.json()

    @property
    def _headers(self) -> dict[str, str]:
        return {"authorization": f"Bearer {self.token}"} if self.token else {}


@pytest.fixture
async def platform() -> AsyncIterator[Platform]:
    async with Platform(World(incidents=40)) as platform:
        yield platform


@pytest.fixture
async def client(platform: Platform) -> AsyncIterator[Client]:
    async with aiohttp.ClientSession() as http:
        client = Client(platform, http)
        _, answer = await client.grant(**GRANT)
        client.token = answer["access_token"]
        yield client


def first(world: World, *, fast: bool) -> dict[str, Any]:
    """An incident with dependents and a current entry, or one that has none."""
    return next(
        it
        for it in world.incidents.values()
        if (it["incident_id"] not in world.without_entry) is fast
        and it["incident_id"] not in world.with_old_entry
        and len(world.dependents(it, 5)) > 2
    )


async def test_the_slow_path_answers_an_incident_with_its_dependents(platform: Platform, client: Client) -> None:
    known = first(platform.world, fast=True)
    status, incident = await client.get(f"/incidents/{known['incident_id']}", **RECURSIVE)
    assert status == 200
    assert set(incident) == {
        *("incident_id", "organization_id", "status", "created", "modified", "location"),
        *("outages", "internet_outages", "assets", "dependents"),
    }
    assert set(incident["location"]) == {"location_id", "geojson", "thoroughfare"}
    assert {key for it in incident["assets"] for key in it} == {"asset_id"}
    assert set(incident["dependents"][0]) == {
        *("dependent_type", "dependent_id", "blocker_type", "blocker_id", "deleted", "dependency_distance"),
    }
    assert await client.get("/incidents/nobody", **RECURSIVE) == (404, {"detail": "no such record"})


async def test_the_recursive_parameters_are_honoured(platform: Platform, client: Client) -> None:
    known = first(platform.world, fast=True)
    path = f"/incidents/{known['incident_id']}"
    _, shallow = await client.get(path, **RECURSIVE | {"recursive_max_distance": "1"})
    assert {row["dependency_distance"] for row in shallow["dependents"]} == {1}
    for missing in ("get_recursive_dependencies", "recursive_dependency_type", "recursive_record_types"):
        _, plain = await client.get(path, **{name: value for name, value in RECURSIVE.items() if name != missing})
        assert plain["dependents"] == []
    platform.endpoints.distance_honoured = False
    _, deep = await client.get(path, **RECURSIVE | {"recursive_max_distance": "1"})
    assert max(row["dependency_distance"] for row in deep["dependents"]) > 1


async def test_a_current_entry_says_the_same_as_the_slow_path(platform: Platform, client: Client) -> None:
    known = first(platform.world, fast=True)
    path = f"/incidents/current/{known['incident_id']}"
    status, entry = await client.get(path, organization_id=known["organization_id"])
    assert status == 200
    assert set(entry) == {
        *("incident", "outages", "assets", "intel_requests", "parent_intel_requests"),
        *("internet_outages", "cached_at"),
    }
    rows = platform.world.dependents(known, 5)
    there = {it["intel_request_id"] for it in entry["intel_requests"] + entry["parent_intel_requests"]}
    assert there == {row["dependent_id"] for row in rows if row["deleted"] is None}
    assert [it["asset_id"] for it in entry["assets"]] == [it["asset_id"] for it in known["assets"]]


async def test_a_current_entry_may_be_absent_of_another_tenant_or_old(platform: Platform, client: Client) -> None:
    absent, known = first(platform.world, fast=False), first(platform.world, fast=True)
    old = platform.world.incidents[min(platform.world.with_old_entry)]
    own = {"organization_id": absent["organization_id"]}
    assert (await client.get(f"/incidents/current/{absent['incident_id']}", **own))[0] == 404
    assert (await client.get(f"/incidents/current/{known['incident_id']}", organization_id="x"))[0] == 404
    _, entry = await client.get(f"/incidents/current/{old['incident_id']}", organization_id=old["organization_id"])
    assert entry["incident"]["modified"] < old["modified"]


async def test_a_whole_organizations_incidents_and_unknown_paths_are_answered_and_counted_as_forbidden(
    platform: Platform, client: Client
) -> None:
    organization_id = next(iter(platform.world.organizations))
    status, entries = await client.get("/incidents/current", organization_id=organization_id)
    assert status == 200
    assert {it["incident"]["organization_id"] for it in entries} == {organization_id}
    assert (await client.get("/users/1/permissions"))[0] == 404
    assert platform.forbidden == 2


async def test_intel_requests_come_one_with_dependents_or_in_bulk(platform: Platform, client: Client) -> None:
    graph = platform.world.dependencies
    blocker = next(it for it in platform.world.intel_requests if graph.edges.get(it))
    status, alone = await client.get(f"/intel-requests/{blocker}", **RECURSIVE)
    assert (status, alone["dependents"][0]["blocker_type"]) == (200, "intel_requests")
    status, several = await client.post("/intel-requests/bulk", {"intel_request_ids": [blocker, "nobody", blocker]})
    assert (status, [it["intel_request_id"] for it in several]) == (200, [blocker])
    assert set(several[0]) == {
        *("intel_request_id", "organization_id", "intel_request_type", "status", "incident_id", "asset_ids"),
        *("results", "created", "modified", "dependents"),
    }


async def test_assets_are_found_by_id_alone_whoever_owns_them(platform: Platform, client: Client) -> None:
    owners = {it["organization_id"]: it["asset_id"] for it in platform.world.assets.values()}
    status, assets = await client.post("/assets/bulk", {"asset_ids": list(owners.values())})
    assert status == 200
    assert {it["organization_id"] for it in assets} == set(owners)
    assert set(assets[0]) == {
        *("asset_id", "organization_id", "asset_name", "asset_type_name", "geojson", "thoroughfare")
    }


@pytest.mark.parametrize(
    ("path", "field"), [("/assets/bulk", "asset_ids"), ("/intel-requests/bulk", "intel_request_ids")]
)
async def test_a_bulk_call_takes_a_hundred_ids_and_no_more(client: Client, path: str, field: str) -> None:
    ids = [str(number) for number in range(101)]
    assert await client.post(path, {field: ids[:100]}) == (200, [])
    assert (await client.post(path, {field: ids}))[0] == 422
    assert (await client.post(path, {}))[0] == 422


async def test_an_organization_has_its_destinations(platform: Platform, client: Client) -> None:
    slug = next(iter(platform.world.organizations))
    status, organization = await client.get(f"/organizations/{slug}")
    assert status == 200
    assert set(organization) == {"organization_id", "name", "timezone", "metadata", "destinations"}
    assert [it["channel"] for it in organization["destinations"]] == ["webhook", "email"]
    assert (await client.get("/organizations/nobody"))[0] == 404


async def test_only_a_live_service_token_opens_the_internal_apis(platform: Platform, client: Client) -> None:
    path = f"/organizations/{next(iter(platform.world.organizations))}"
    _, outbound = await client.grant(**GRANT, **whose(platform, "hook-x"))
    service = client.token
    for token, expected in (("", 401), ("made-up", 401), (outbound["access_token"], 401), (service, 200)):
        client.token = token
        assert (await client.get(path))[0] == expected
    platform.tokens.revoke()
    assert (await client.get(path))[0] == 401


async def test_a_token_for_a_destination_is_bound_to_its_organization_and_its_place(
    platform: Platform, client: Client
) -> None:
    world = platform.world
    owner, other = list(world.organizations)[1:3]
    record = world.organizations[owner]["destinations"][0]
    place = origin(record["url"])
    own = {"audience": record["destination_id"], "organization_id": owner, "resource": place}
    _, answer = await client.grant(**GRANT, **own)
    bearer = f"Bearer {answer['access_token']}"
    assert record["auth"]
    assert platform.admits(record["destination_id"], bearer)
    for change in (
        {"resource": "https://elsewhere.example"},
        {"resource": f"{place}/x"},
        {"organization_id": "nobody"},
    ):
        assert await client.grant(**GRANT, **own | change) == (400, {"error": "invalid_target"})
    for name in ("organization_id", "audience"):
        assert await client.grant(**GRANT, **own | {name: ""}) == (400, {"error": "invalid_request"})
    _, brought = await client.grant(**GRANT, **own | {"organization_id": other})
    assert not platform.admits(record["destination_id"], f"Bearer {brought['access_token']}")


async def test_a_token_ends_when_its_time_is_over(platform: Platform, client: Client) -> None:
    platform.tokens.expires_in = 0
    _, answer = await client.grant(**GRANT)
    client.token = answer["access_token"]
    assert answer["expires_in"] == 0
    assert (await client.get("/organizations/x"))[0] == 401


async def test_a_wrong_client_gets_no_token(client: Client) -> None:
    assert await client.grant(**GRANT | {"client_secret": "guess"}) == (401, {"error": "invalid_client"})
    assert await client.grant(grant_type="password") == (400, {"error": "unsupported_grant_type"})


async def test_geocoding_wants_no_token_and_tells_what_leaked_to_it(platform: Platform, client: Client) -> None:
    leaking = client.token
    client.token = ""
    status, answer = await client.get("/reverse", lat="47.91", lon="1.9", format="jsonv2")
    assert (status, answer) == (200, {"display_name": "Rue de l'Échange, Orléans, France"})
    assert (await client.get("/reverse", lat="north"))[0] == 400
    assert not platform.leaks
    client.token = leaking
    await client.get("/reverse", lat="0", lon="0")
    assert platform.leaks == {"authorization": 1}


async def test_calls_are_counted_by_template_and_logged_with_their_headers(platform: Platform, client: Client) -> None:
    for incident_id in list(platform.world.incidents)[:3]:
        await client.get(f"/incidents/{incident_id}", **RECURSIVE)
    assert platform.calls[Endpoint.INCIDENT] == platform.calls["GET /incidents/{incident_id}"] == 3
    assert platform.answers[Endpoint.INCIDENT, 200] == 3
    call = platform.log[-1]
    assert "recursive_max_distance=5" in call.path
    assert ("authorization", f"Bearer {client.token}") in [(name.lower(), value) for name, value in call.headers]


async def test_answers_can_be_scripted_and_then_become_true_again(platform: Platform, client: Client) -> None:
    behaviour = platform.behaviours[Endpoint.ASSETS]
    behaviour.script.extend([503, "close", 200])
    call = ("/assets/bulk", {"asset_ids": []})  # a POST: aiohttp repeats a GET that was dropped
    assert (await client.post(*call))[0] == 503
    with pytest.raises(aiohttp.ClientError):
        await client.post(*call)
    assert [await client.post(*call) for _ in range(2)] == [(200, [])] * 2
    behaviour.configure(answer=200, body=b'"garbage"')
    assert await client.post(*call) == (200, "garbage")


async def in_flight(platform: Platform, client: Client, endpoint: Endpoint, count: int) -> None:
    """Wait until so many calls are in flight, by round trips to an endpoint that is at rest."""
    async with patience(5):
        while platform.behaviours[endpoint].in_flight != count:
            await client.get("/reverse", lat="0", lon="0")


async def test_what_hangs_is_in_flight_until_its_caller_gives_up(platform: Platform, client: Client) -> None:
    platform.behaviours[Endpoint.ORGANIZATION].script.append("hang")
    hanging = asyncio.create_task(client.get("/organizations/x"))
    await in_flight(platform, client, Endpoint.ORGANIZATION, 1)
    assert hanging.cancel()
    await in_flight(platform, client, Endpoint.ORGANIZATION, 0)
    assert (await client.get("/organizations/x"))[0] == 404


async def test_capacity_makes_callers_wait_and_can_be_raised_while_they_do(platform: Platform, client: Client) -> None:
    behaviour = platform.behaviours[Endpoint.ORGANIZATION]
    behaviour.capacity = 0
    calls = asyncio.gather(*(client.get("/organizations/x") for _ in range(5)))
    await in_flight(platform, client, Endpoint.ORGANIZATION, 5)
    assert platform.answers[Endpoint.ORGANIZATION, 404] == 0
    behaviour.configure(capacity=1)
    assert [status for status, _ in await calls] == [404] * 5
    assert (behaviour.peak, behaviour.in_flight) == (5, 0)


def test_a_knob_that_does_not_exist_is_named(platform: Platform) -> None:
    with pytest.raises(ValueError, match="latencey is no knob"):
        platform.behaviours[Endpoint.ASSETS].configure(latencey=1)


async def test_one_call_in_so_many_is_slow_and_says_so(platform: Platform, client: Client) -> None:
    behaviour = platform.behaviours[Endpoint.REVERSE]
    behaviour.configure(latency=0.01, every=3)
    assert [behaviour.latency_of(call) for call in range(1, 7)] == [0, 0, 0.01, 0, 0, 0.01]
    said = []
    for _ in range(6):
        async with client._http.get(platform.urls["NS_AAA_URL"] + "/reverse", params={"lat": "1", "lon": "1"}) as reply:
            said.append(reply.headers["server-timing"].partition("work;dur=")[2])
    assert said == ["0.0", "0.0", "10.0"] * 2
