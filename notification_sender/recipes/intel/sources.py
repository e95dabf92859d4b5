"""The sources of the recipe ``intel``: incidents and the intel requests around them."""

from collections.abc import Iterable, Sequence
from typing import Any

from notification_sender.context.cache.facts import CountForeign
from notification_sender.context.recipe import Recipe
from notification_sender.context.source import MISSING, Missing
from notification_sender.context.upstream.client import Upstream
from notification_sender.context.upstream.errors import BadAnswer, Foreign, NotFound
from notification_sender.model.errors import SchemaViolation
from notification_sender.model.unit import WorkUnit
from notification_sender.recipes.intel import records
from notification_sender.recipes.intel.records import Record


def subject(unit: WorkUnit) -> str:
    """The source that the unit is about.

    Raises:
        SchemaViolation: the unit names no subject.

    """
    if unit.intel_request_id and (not unit.incident_id or unit.event.startswith("intel.")):
        return "intel_request"
    if unit.incident_id:
        return "incident"
    raise SchemaViolation("incident_id, intel_request_id: one of them is required")


intel = Recipe("intel", subject=subject, version=4)
"""Resources: the clients ``aaa``, ``incidents``, ``intel_requests_api``, ``assets_api``, ``geocoding``;
``max_distance`` (1 to 10), ``current_incidents`` (auto, on, off) and ``count_foreign``."""


@intel.fetched(ttl="5m", stale="1h")
async def organization(unit: WorkUnit, aaa: Upstream, count_foreign: CountForeign) -> Record:
    record = await aaa.get("/organizations/{}", unit.organization_id)
    if not records.own([record], unit.organization_id, "organization", count_foreign):
        raise BadAnswer("the answer is another organization")
    return records.organization(record)


def _in_current(unit: WorkUnit, organization: Record, current_incidents: str) -> str | None:
    said = organization["metadata"].get("use_current_incidents_cache") is True
    wanted = current_incidents == "on" or (current_incidents == "auto" and said)
    return unit.incident_id if wanted else None


@intel.fetched(ttl="60s", key=_in_current, fresh_as="incident")
async def current_entry(unit: WorkUnit, incidents: Upstream, count_foreign: CountForeign) -> Record | Missing | None:
    """The fast path: everything about an incident in one answer. An unusable answer leads to the slow path."""
    by_owner = {"organization_id": unit.organization_id}
    try:
        entry = await incidents.get("/incidents/current/{}", str(unit.incident_id), params=by_owner)
    except NotFound:
        return None
    except BadAnswer:
        return MISSING
    return records.current_entry(entry, unit.organization_id, count_foreign) or MISSING


def _recursive(max_distance: int) -> dict[str, str]:
    return {
        "get_recursive_dependencies": "True",
        "recursive_record_types": "intel_requests",
        "recursive_max_distance": str(max_distance),
    }


def _owned(record: Record, source: str, unit: WorkUnit, count_foreign: CountForeign) -> Record:
    if record.get("organization_id") is None:
        raise BadAnswer("the answer does not say whose it is")
    if not records.own([record], unit.organization_id, source, count_foreign):
        raise Foreign("it belongs to another organization")
    return record


def _incident_key(unit: WorkUnit, max_distance: int) -> str | None:
    return unit.incident_id and f"{max_distance},{unit.incident_id}"


def _current_incident(current_entry: Record) -> Record | None:
    return current_entry["incident"] if current_entry else None


@intel.fetched(ttl="60s", key=_incident_key, given=_current_incident, fresh_as="incident", optional="absent")
async def incident(unit: WorkUnit, incidents: Upstream, max_distance: int, count_foreign: CountForeign) -> Record:
    params = _recursive(max_distance) | {"recursive_dependency_type": "dependents"}
    answer = await incidents.get("/incidents/{}", str(unit.incident_id), params=params)
    found = records.incident(_owned(answer, "incident", unit, count_foreign))
    for name in ("outages", "internet_outages"):
        found[name] = records.parts(found[name], unit.organization_id, name, count_foreign)
    return found


def _intel_request_key(unit: WorkUnit, max_distance: int) -> str | None:
    return unit.intel_request_id and f"{max_distance},{unit.intel_request_id}"


def _current_intel_request(unit: WorkUnit, current_entry: Record) -> Record | None:
    # As the subject it is held to the fence. An entry is renewed when its incident changes, not its intel request.
    if not current_entry or subject(unit) == "intel_request":
        return None
    found: Record | None = current_entry["intel_requests"].get(unit.intel_request_id)
    return found


@intel.fetched(
    ttl="60s",
    key=_intel_request_key,
    given=_current_intel_request,
    fresh_as="intel_request",
    optional="absent",
)
async def intel_request(
    unit: WorkUnit, intel_requests_api: Upstream, max_distance: int, count_foreign: CountForeign
) -> Record:
    params = _recursive(max_distance)
    answer = await intel_requests_api.get("/intel-requests/{}", str(unit.intel_request_id), params=params)
    return records.intel_request(_owned(answer, "intel_request", unit, count_foreign))


def _dependent_ids(incident: Record, intel_request: Record) -> list[str]:
    return [
        id_
        for record in (incident, intel_request)
        if record
        for id_ in (*record["dependent_ids"], *record["further_dependent_ids"])
    ]


def _current_intel_requests(current_entry: Record) -> Record | None:
    return current_entry["intel_requests"] if current_entry else None


def _cut_short(incident: Record, intel_request: Record) -> bool:
    """Whether more intel requests depend on the subject than are fetched."""
    return any(
        record["dependent_count"] > len(record["dependent_ids"]) + len(record["further_dependent_ids"])
        for record in (incident, intel_request)
        if record
    )


@intel.batch(ttl="60s", ids=_dependent_ids, given=_current_intel_requests, coalesce="5ms", partial=_cut_short)
async def dependents(ids: Sequence[str], intel_requests_api: Upstream) -> Record:
    """All intel requests that depend on the subject, near and far, in the fewest calls."""
    rows = await intel_requests_api.post("/intel-requests/bulk", {"intel_request_ids": ids})
    return records.by_id(map(records.intel_request, records.objects(rows)), "intel_request_id")


@intel.derived()
def intel_requests(incident: Record, intel_request: Record, dependents: list[Record]) -> list[Record]:
    """The intel requests that wait for the subject itself."""
    direct = _direct_ids(incident, intel_request)
    return [row for row in dependents if row["intel_request_id"] in direct]


@intel.derived()
def parent_intel_requests(incident: Record, intel_request: Record, dependents: list[Record]) -> list[Record]:
    """The intel requests that wait for one of these: the second level and beyond."""
    direct = _direct_ids(incident, intel_request)
    return [row for row in dependents if row["intel_request_id"] not in direct]


def _direct_ids(incident: Record, intel_request: Record) -> set[str]:
    """An intel request that waits for the incident's intel request waits for the incident at second hand."""
    if not intel_request:
        return set(incident["dependent_ids"] if incident else ())
    direct = set(intel_request["dependent_ids"])
    return direct.difference(incident["further_dependent_ids"]).union(incident["dependent_ids"]) if incident else direct


async def assets(ids: Sequence[str], assets_api: Upstream) -> Record:
    """By id alone, of whatever organization: the API does not look at it."""
    rows = await assets_api.post("/assets/bulk", {"asset_ids": ids})
    return records.by_id(map(records.asset, records.objects(rows)), "asset_id")


def _unit_asset_ids(unit: WorkUnit) -> Sequence[str]:
    return unit.asset_ids


def _asset_ids(unit: WorkUnit, incident: Record, intel_request: Record) -> Iterable[str]:
    return (
        *(incident["asset_ids"] if incident else ()),
        *unit.asset_ids,
        *(intel_request["asset_ids"][: records.MOST_ASSETS] if intel_request else ()),
    )


def _assets_cut_short(incident: Record, intel_request: Record) -> bool:
    """Whether more assets belong to the subject than are fetched."""
    return bool(incident and incident["asset_count"] > len(incident["asset_ids"])) or bool(
        intel_request and len(intel_request["asset_ids"]) > records.MOST_ASSETS
    )


def _known_assets(unit: WorkUnit, current_entry: Record, unit_assets: list[Record]) -> dict[str, Any]:
    """The unit's own assets were fetched: an id that did not come is known not to exist."""
    known = dict.fromkeys(unit.asset_ids) | records.by_id(unit_assets, "asset_id") if unit.asset_ids else {}
    return known | current_entry["assets"] if current_entry else known


# The publisher's ids need not wait for the incident.
intel.batch(name="unit_assets", ttl="5m", ids=_unit_asset_ids, coalesce="5ms")(assets)
intel.batch(ttl="5m", ids=_asset_ids, given=_known_assets, coalesce="5ms", partial=_assets_cut_short)(assets)


@intel.derived()
def outages(incident: Record) -> list[Record]:
    return incident["outages"] if incident else []


@intel.derived()
def internet_outages(incident: Record) -> list[Record]:
    return incident["internet_outages"] if incident else []


def _place(incident: Record) -> str | None:
    return incident["place"] if incident else None


@intel.fetched(ttl="24h", key=_place, optional=True, timeout="300ms")
async def address(incident: Record, geocoding: Upstream) -> str | None:
    latitude, _, longitude = incident["place"].partition(",")
    answer = await geocoding.get("/reverse", params={"lat": latitude, "lon": longitude, "format": "jsonv2"})
    name = answer.get("display_name")
    return name if isinstance(name, str) and name else None
