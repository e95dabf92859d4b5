import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from notification_sender.context.gather import Context
from notification_sender.model.errors import NotificationSenderError
from notification_sender.recipes.intel import records
from tests.context.fakes import run_timeless
from tests.recipes.api import MODIFIED, Bench, Platform, edge, record, unit

NODES = [f"int-{number}" for number in range(6)]
LEAST = {"incident_id": "inc", "organization_id": "acme"}

Edges = list[tuple[str, str, bool]]


@st.composite
def worlds(draw: st.DrawFn) -> Platform:
    """An incident, what waits for it, what waits for that: diamonds, deleted edges, unknown ids; depth ≤ 2."""
    platform = Platform()
    nodes = st.sampled_from(NODES)
    first: Edges = [("inc", *it) for it in draw(st.lists(st.tuples(nodes, st.booleans()), max_size=6))]
    second: Edges = draw(st.lists(st.tuples(nodes, nodes, st.booleans()), max_size=8))
    known = draw(st.sets(nodes))
    platform.add_requests(*sorted(known))
    rows = [_row(*it, 1) for it in first]
    reached = {dependent for _, dependent, deleted in first if not deleted}
    rows += [_row(*it, 2) for it in second for one in first if it[0] == one[1] and not one[2]]
    further = {it[1] for it in second if it[0] in reached and not it[2]} - reached
    platform.incident["dependents"] = draw(st.permutations(rows))
    platform.add_assets(*draw(st.sets(st.sampled_from("abc"))))
    listed = draw(st.lists(st.sampled_from("abcd"), unique=True))
    platform.incident["assets"] = [{"asset_id": id_} for id_ in listed]
    platform.incident["outages"] = draw(st.sampled_from([[], [record(outage_id="o")], [{"outage_id": "part"}]]))
    incident = {name: value for name, value in platform.incident.items() if name != "dependents"}
    platform.entry = {
        "incident": incident,
        "outages": incident["outages"],
        "internet_outages": [],
        "assets": [platform.assets[id_] for id_ in listed if id_ in platform.assets],
        "intel_requests": [platform.intel_requests[id_] for id_ in sorted(reached & known)],
        "parent_intel_requests": [platform.intel_requests[id_] for id_ in sorted(further & known)],
        "cached_at": MODIFIED,
    }
    return platform


def _row(blocker: str, dependent: str, deleted: bool, distance: int) -> dict[str, Any]:  # noqa: FBT001 - drawn
    return edge(dependent, blocker, distance, deleted=MODIFIED if deleted else None)


PUBLIC = ("organization", "assets", "outages", "internet_outages", "intel_requests", "parent_intel_requests", "address")


def template_facts(context: Context) -> dict[str, Any]:
    """What a template can say, in an order of its own."""
    values = {name: context.values[name] for name in PUBLIC}
    for name in ("intel_requests", "parent_intel_requests"):
        values[name] = sorted(values[name], key=lambda row: row["intel_request_id"])
    about = {"incident_id", "status", "created", "modified", "location"}
    return values | {name: context.values["incident"][name] for name in about}


@settings(max_examples=2 * settings().max_examples, deadline=None)
@given(worlds())
def test_the_fast_and_the_slow_path_tell_the_same(platform: Platform) -> None:
    told_by: list[dict[str, Any]] = []

    async def both() -> None:
        slow = await Bench(platform, current_incidents="off").gatherer.gather(unit())
        before = platform.calls["incident"]
        fast = await Bench(platform, current_incidents="on").gatherer.gather(unit())
        assert (before, platform.calls["incident"], platform.calls["current"]) == (1, 1, 1)
        told_by.extend((template_facts(slow), template_facts(fast)))

    run_timeless(both())
    assert told_by[0] == told_by[1]


ODD: st.SearchStrategy[Any] = st.sampled_from([None, 0, "", "odd", True, 1.5, [], {}, [None], [{}], {"odd": 1}, "ÖPEN"])


@settings(max_examples=2 * settings().max_examples, deadline=None)
@given(
    changes=st.dictionaries(
        st.sampled_from(
            ["status", "created", "modified", "location", "outages", "internet_outages", "assets", "dependents"]
        ),
        ODD,
    ),
    places=st.dictionaries(st.sampled_from(["geojson", "thoroughfare", "location_id"]), ODD),
    asset=st.dictionaries(st.sampled_from(["asset_id", "geojson", "asset_name"]), ODD),
    organization=st.dictionaries(st.sampled_from(["metadata", "destinations", "timezone", "name"]), ODD),
    entry=st.dictionaries(
        st.sampled_from(["incident", "assets", "intel_requests", "parent_intel_requests", "outages", "cached_at"]), ODD
    ),
)
def test_odd_fields_never_break_the_worker(
    changes: dict[str, Any],
    places: dict[str, Any],
    asset: dict[str, Any],
    organization: dict[str, Any],
    entry: dict[str, Any],
) -> None:
    platform = Platform()
    platform.incident["location"] |= places
    platform.incident |= changes
    platform.add_assets("a", **asset)
    platform.organization |= organization
    platform.entry = {"incident": copy.deepcopy(platform.incident), "assets": list(platform.assets.values())} | entry

    async def gather(option: str) -> None:
        try:
            context = await Bench(platform, current_incidents=option).gatherer.gather(
                unit(asset_ids=["a"], fingerprint=MODIFIED)
            )
        except NotificationSenderError:
            return
        assert isinstance(context.values["incident"]["location"], dict)

    run_timeless(gather("on"))
    run_timeless(gather("off"))


@pytest.mark.parametrize("coordinates", [[-0.00001, 0.00001], [0.00001, -0.00001]])
def test_one_place_has_one_key(coordinates: list[float]) -> None:
    location = {"geojson": {"type": "Point", "coordinates": coordinates}}
    assert records.incident(LEAST | {"location": location})["place"] == "0.0000,0.0000"
