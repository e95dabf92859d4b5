import json
from collections import Counter
from dataclasses import astuple
from itertools import pairwise
from zoneinfo import ZoneInfo

import orjson
import pytest

from notification_sender.model.destination import Destination
from notification_sender.model.unit import Batch, decode, fingerprint_time
from notification_sender.policy.destinations import matching_destinations
from notification_sender.sandbox.platform.dependencies import Dependencies
from notification_sender.sandbox.platform.world import World


@pytest.fixture(scope="module")
def world() -> World:
    return World(seed=3)


def everything(world: World) -> bytes:
    edges = {blocker: [astuple(edge) for edge in them] for blocker, them in world.dependencies.edges.items()}
    entries = [world.current(incident_id) for incident_id in world.incidents]
    return orjson.dumps([world.organizations, world.assets, world.intel_requests, edges, entries, world.work_units(50)])


def test_one_seed_is_one_world_and_another_seed_another() -> None:
    assert everything(World(seed=3)) == everything(World(seed=3))
    assert everything(World(seed=3)) != everything(World(seed=4))


def test_a_larger_world_holds_the_smaller_one() -> None:
    assert World(incidents=200).incidents.items() >= World(incidents=50).incidents.items()


def test_work_units_obey_the_contract_and_carry_the_fence_of_their_incident(world: World) -> None:
    raw = world.work_units(300, batch_id="night")
    units = [decode(orjson.dumps(unit)) for unit in raw]
    assert len({unit.work_unit_id for unit in units}) == 300
    sizes = Counter(unit.organization_id for unit in units)
    assert all(unit.batch == Batch(id="night", size=sizes[unit.organization_id]) for unit in units)
    for unit in units:
        assert unit.incident_id is not None
        incident = world.incidents[unit.incident_id]
        assert unit.fingerprint == incident["modified"]
        assert fingerprint_time(unit) is not None
        assert unit.organization_id == incident["organization_id"]
    assert any(unit.intel_request_id for unit in units)
    assert any(unit.asset_ids for unit in units)


def test_every_unit_reaches_one_webhook_and_one_email(world: World) -> None:
    for body in world.work_units(100):
        unit = decode(orjson.dumps(body))
        offered = world.organizations[unit.organization_id]["destinations"]
        channels = [
            it.channel for it in matching_destinations(unit, [Destination.model_validate(one) for one in offered])
        ]
        assert channels == ["webhook", "email"]


def test_organizations_differ_in_what_makes_a_worker_differ(world: World) -> None:
    switches = [it["metadata"].get("use_current_incidents_cache") for it in world.organizations.values()]
    assert set(switches) == {True, False, None}
    assert len({ZoneInfo(it["timezone"]) for it in world.organizations.values()}) >= 6
    assert {it.get("auth") for it in world.destinations.values()} == {None, "outbound_token"}


def test_records_are_as_odd_as_real_ones(world: World) -> None:
    geojsons = [it["geojson"] for it in world.assets.values()]
    texts = [it for it in geojsons if isinstance(it, str)]
    assert texts
    assert len(texts) < len(geojsons)
    assert all(json.loads(it)["type"] in ("Point", "LineString") for it in texts)
    statuses = {it["status"] for it in world.intel_requests.values()}
    assert len({it.casefold() for it in statuses}) < len(statuses)


def test_a_graph_of_this_world_has_repeated_ids_and_deleted_edges(world: World) -> None:
    rows = {id_: world.dependents(incident, 5) for id_, incident in world.incidents.items()}
    assert any(len({row["dependent_id"] for row in them}) < len(them) for them in rows.values())
    assert any(row["deleted"] for them in rows.values() for row in them)


def test_a_diamond_gives_one_row_a_path() -> None:
    graph = Dependencies()
    layers = [["i"], ["a", "b", "c"], ["d", "e", "f"], ["g"]]
    for blockers, dependents in pairwise(layers):
        for blocker in blockers:
            for dependent in dependents:
                graph.add(blocker, dependent)
    rows = graph.rows("i", "incidents", 5)
    assert [sum(row["dependency_distance"] == far for row in rows) for far in (1, 2, 3)] == [3, 9, 9]
    assert rows[0]["blocker_type"] == "incidents"
    assert rows[-1]["blocker_type"] == "intel_requests"


def test_a_cycle_ends_and_a_deleted_edge_is_listed_but_not_followed() -> None:
    graph = Dependencies()
    graph.add("i", "a")
    graph.add("a", "b")
    graph.add("b", "a")
    graph.add("i", "gone", deleted="2026-03-06T08:00:00Z")
    graph.add("gone", "never")
    listed = [(row["dependent_id"], row["dependency_distance"]) for row in graph.rows("i", "incidents", None)]
    assert listed == [("a", 1), ("gone", 1), ("b", 2), ("a", 3)]
    assert graph.reached("i", 5) == {"a": 1, "b": 2}


def test_the_distance_bounds_a_chain() -> None:
    graph = Dependencies()
    for number in range(50):
        graph.add(str(number), str(number + 1))
    assert len(graph.rows("0", "incidents", 5)) == 5
    assert len(graph.rows("0", "incidents", None)) == 50
