"""The regular answers of the simulated APIs: one handler for each endpoint, with the data of the world."""

from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum

import orjson
from aiohttp import web

from notification_sender.sandbox.platform.records import Record
from notification_sender.sandbox.platform.tokens import TokenRefused, Tokens
from notification_sender.sandbox.platform.world import World

BULK = 100
"""A bulk call with more ids is refused (422)."""


class Endpoint(StrEnum):
    """Method and path template: the name under which calls are counted."""

    INCIDENT = "GET /incidents/{incident_id}"
    CURRENT = "GET /incidents/current/{incident_id}"
    CURRENT_OF_ORGANIZATION = "GET /incidents/current"
    INTEL_REQUEST = "GET /intel-requests/{intel_request_id}"
    INTEL_REQUESTS = "POST /intel-requests/bulk"
    ASSETS = "POST /assets/bulk"
    ORGANIZATION = "GET /organizations/{organization_id}"
    TOKEN = "POST /oauth/token"  # noqa: S105 - a path
    REVERSE = "GET /reverse"
    UNKNOWN = "outside the contract"


API = {
    Endpoint.INCIDENT: "incidents",
    Endpoint.CURRENT: "incidents",
    Endpoint.CURRENT_OF_ORGANIZATION: "incidents",
    Endpoint.INTEL_REQUEST: "intel_requests",
    Endpoint.INTEL_REQUESTS: "intel_requests",
    Endpoint.ASSETS: "assets",
    Endpoint.ORGANIZATION: "aaa",
    Endpoint.TOKEN: "aaa",
    Endpoint.REVERSE: "geocoding",
    Endpoint.UNKNOWN: "none",
}
"""The API that has the endpoint, by its name in the worker's settings."""


def answer(value: object, status: int = 200) -> web.Response:
    """Return an answer in JSON."""
    return web.Response(body=orjson.dumps(value), status=status, content_type="application/json")


def refusal(status: int, detail: str) -> web.Response:
    """Return an error in the form that most frameworks use."""
    return answer({"detail": detail}, status)


class Endpoints:
    """The handlers. Without ``distance_honoured`` the server ignores ``recursive_max_distance``."""

    def __init__(self, world: World, tokens: Tokens) -> None:
        self._world = world
        self._tokens = tokens
        self.distance_honoured = True

    @property
    def handlers(self) -> dict[Endpoint, Callable[[web.Request], Awaitable[web.StreamResponse]]]:
        return {
            Endpoint.CURRENT_OF_ORGANIZATION: self.current_of_organization,
            Endpoint.CURRENT: self.current,
            Endpoint.INCIDENT: self.incident,
            Endpoint.INTEL_REQUESTS: self.intel_requests,
            Endpoint.INTEL_REQUEST: self.intel_request,
            Endpoint.ASSETS: self.assets,
            Endpoint.ORGANIZATION: self.organization,
            Endpoint.TOKEN: self.token,
            Endpoint.REVERSE: self.reverse,
        }

    async def incident(self, request: web.Request) -> web.Response:
        found = self._world.incidents.get(request.match_info["incident_id"])
        wanted = request.query.get("recursive_dependency_type") == "dependents"
        return self._with_dependents(found, request.query, wanted=wanted)

    async def intel_request(self, request: web.Request) -> web.Response:
        found = self._world.intel_requests.get(request.match_info["intel_request_id"])
        return self._with_dependents(found, request.query, wanted=True)

    async def current(self, request: web.Request) -> web.Response:
        if "organization_id" not in request.query:
            return refusal(422, "organization_id is missing")
        entry = self._world.current(request.match_info["incident_id"])
        if entry is None or entry["incident"]["organization_id"] != request.query["organization_id"]:
            return refusal(404, "no current entry")
        return answer(entry)

    async def current_of_organization(self, request: web.Request) -> web.Response:
        """Exists as on the real platform. A worker that calls it for one unit fetches thousands of incidents."""
        owned = (
            incident_id
            for incident_id, incident in self._world.incidents.items()
            if incident["organization_id"] == request.query.get("organization_id")
        )
        return answer([entry for incident_id in owned if (entry := self._world.current(incident_id))])

    async def intel_requests(self, request: web.Request) -> web.Response:
        return _bulk(await request.read(), "intel_request_ids", self._world.intel_requests)

    async def assets(self, request: web.Request) -> web.Response:
        """Select by id alone, of any organization, as the real API does."""
        return _bulk(await request.read(), "asset_ids", self._world.assets)

    async def organization(self, request: web.Request) -> web.Response:
        found = self._world.organizations.get(request.match_info["organization_id"])
        return answer(found) if found else refusal(404, "no such organization")

    async def token(self, request: web.Request) -> web.Response:
        try:
            return answer(self._tokens.issue(await request.post()))
        except TokenRefused as refused:
            return answer({"error": str(refused)}, 401 if str(refused) == "invalid_client" else 400)

    async def reverse(self, request: web.Request) -> web.Response:
        try:
            latitude, longitude = float(request.query["lat"]), float(request.query["lon"])
        except (KeyError, ValueError):
            return refusal(400, "lat and lon must be numbers")
        return answer({"display_name": self._world.address(latitude, longitude)})

    def _with_dependents(self, found: Record | None, query: Mapping[str, str], *, wanted: bool) -> web.Response:
        if found is None:
            return refusal(404, "no such record")
        recursive = (
            wanted
            and query.get("get_recursive_dependencies", "").casefold() == "true"
            and "intel_requests" in query.get("recursive_record_types", "").split(",")
        )
        if not recursive:
            return answer(found | {"dependents": []})
        distance = query.get("recursive_max_distance", "") if self.distance_honoured else ""
        if distance and not distance.isdecimal():
            return refusal(422, "recursive_max_distance must be a number")
        return answer(found | {"dependents": self._world.dependents(found, int(distance) if distance else None)})


def _bulk(body: bytes, field: str, records: Mapping[str, Record]) -> web.Response:
    try:
        ids = orjson.loads(body)[field]
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return refusal(422, f"{field} is missing")
    if not isinstance(ids, list) or len(ids) > BULK or not all(isinstance(id_, str) for id_ in ids):
        return refusal(422, f"{field} must be a list of at most {BULK} ids")
    return answer([records[id_] for id_ in dict.fromkeys(ids) if id_ in records])
