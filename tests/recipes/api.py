"""The internal APIs in memory, as one transport: answers by the contract, counts, and can be told to misbehave."""

from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs

import httpx
import orjson

from notification_sender.context.gather import Gatherer
from notification_sender.context.upstream.client import Upstream
from notification_sender.context.upstream.tokens import Tokens
from notification_sender.model.unit import WorkUnit
from notification_sender.recipes.intel.sources import intel
from tests.context.fakes import CountingSharedCache, MovedClock, cache_of, guard_of

Answer = Callable[[httpx.Request], httpx.Response]
MODIFIED = "2026-03-06T08:00:00Z"
LATER = "2026-03-06T08:10:00Z"


def record(**fields: Any) -> dict[str, Any]:
    return {"organization_id": "acme", "created": MODIFIED, "modified": MODIFIED, "status": "OPEN"} | fields


def edge(dependent: str, blocker: str, distance: int, **fields: Any) -> dict[str, Any]:
    return {
        "dependent_type": "intel_requests",
        "dependent_id": dependent,
        "blocker_type": "incidents" if distance == 1 else "intel_requests",
        "blocker_id": blocker,
        "deleted": None,
        "dependency_distance": distance,
    } | fields


class Platform:
    """``answers`` by endpoint replace what the world says; ``requests`` is everything that came."""

    def __init__(self) -> None:
        self.organization = record(
            organization_id="acme",
            name="Acme",
            timezone="UTC",
            metadata={"use_current_incidents_cache": True},
            destinations=[{"destination_id": "noc"}],
        )
        location = {"location_id": "l", "geojson": {"type": "Point", "coordinates": [8.54174, 47.37689]}}
        self.incident = record(incident_id="inc", location=location, assets=[], dependents=[])
        self.intel_requests: dict[str, dict[str, Any]] = {}
        self.assets: dict[str, dict[str, Any]] = {}
        self.entry: dict[str, Any] | None = None
        self.token = "service-1"
        self.answers: dict[str, Answer] = {}
        self.requests: list[httpx.Request] = []
        self.transport = httpx.MockTransport(self._answer)

    @property
    def calls(self) -> Counter[str]:
        return Counter(_endpoint(request) for request in self.requests)

    def add_requests(self, *ids: str, **fields: Any) -> None:
        self.intel_requests |= {id_: record(intel_request_id=id_) | fields for id_ in ids}

    def add_assets(self, *ids: str, **fields: Any) -> None:
        self.assets |= {id_: record(asset_id=id_, asset_name=id_) | fields for id_ in ids}

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        self.requests.append(request)
        endpoint = _endpoint(request)
        if endpoint in self.answers:
            answer = self.answers[endpoint](request)
            return await answer if hasattr(answer, "__await__") else answer
        if endpoint not in ("token", "reverse") and request.headers["authorization"] != f"Bearer {self.token}":
            return httpx.Response(401)
        found = self._truth(endpoint, request)
        return httpx.Response(404) if found is None else httpx.Response(200, json=found)

    def _truth(self, endpoint: str, request: httpx.Request) -> Any:
        if endpoint.endswith("bulk"):
            rows = self.assets if endpoint == "assets/bulk" else self.intel_requests
            (ids,) = orjson.loads(request.content).values()
            assert len(ids) <= 100
            return [rows[id_] for id_ in ids if id_ in rows]
        return {
            "token": {"access_token": self.token, "token_type": "Bearer", "expires_in": 3600},
            "reverse": {"display_name": "Bahnhofstrasse, Zürich"},
            "organization": self.organization,
            "current": self.entry,
            "incident": self.incident if request.url.path.endswith("/inc") else None,
            "intel_request": self.intel_requests.get(request.url.path.rpartition("/")[2]),
        }[endpoint]


def _endpoint(request: httpx.Request) -> str:
    path = request.url.path
    for start, name in (
        ("/oauth/token", "token"),
        ("/organizations/", "organization"),
        ("/incidents/current/", "current"),
        ("/incidents/", "incident"),
        ("/intel-requests/bulk", "intel-requests/bulk"),
        ("/intel-requests/", "intel_request"),
        ("/assets/bulk", "assets/bulk"),
        ("/reverse", "reverse"),
    ):
        if path.startswith(start):
            return name
    raise AssertionError(f"outside the contract: {request.url}")


def small_world(*, fast: bool) -> Platform:
    platform = Platform()
    platform.add_requests("direct")
    platform.add_requests("parent", asset_ids=None, results=None)
    platform.add_assets("a", geojson='{"type": "Point", "coordinates": [8, 47]}')
    platform.incident["assets"] = [{"asset_id": "a"}]
    platform.incident["dependents"] = [edge("direct", "inc", 1), edge("parent", "direct", 2)]
    platform.organization["metadata"]["use_current_incidents_cache"] = fast
    platform.entry = {
        "incident": platform.incident,
        "assets": list(platform.assets.values()),
        "intel_requests": [platform.intel_requests["direct"]],
        "parent_intel_requests": [platform.intel_requests["parent"]],
        "outages": [],
        "internet_outages": [],
        "cached_at": MODIFIED,
    }
    return platform


class Bench:
    """The intel recipe over a platform, with everything that a process has."""

    def __init__(self, platform: Platform, *, current_incidents: str = "auto", timeout: float = 30.0) -> None:
        self.platform = platform
        self.clock = MovedClock()
        self.shared = CountingSharedCache(self.clock)
        self.cache = cache_of(self.clock, self.shared)
        self.foreign: Counter[str] = Counter()
        self.observed: Counter[tuple[str, str, str]] = Counter()
        tokens = Tokens(aaa=self._api("aaa"), client_id="us", client_secret="s3cret", clock=self.clock)
        resources = {
            "aaa": self._api("aaa", tokens),
            "incidents": self._api("incidents", tokens),
            "intel_requests_api": self._api("intel-requests", tokens),
            "assets_api": self._api("assets", tokens),
            "geocoding": self._api("geocoding"),
            "max_distance": 5,
            "current_incidents": current_incidents,
            "count_foreign": lambda source: self.foreign.update([source]),
        }
        self.resources = resources
        self.timeout = timeout
        self.gatherer = self._gatherer()

    def forget_process(self) -> None:
        """As if another process of the fleet came now."""
        self.cache = cache_of(self.clock, self.shared)
        self.gatherer = self._gatherer()

    def _gatherer(self) -> Gatherer:
        return Gatherer(
            recipe=intel,
            resources=self.resources,
            cache=self.cache,
            timeout=self.timeout,
            count_foreign=lambda source: self.foreign.update([source]),
        )

    def _api(self, name: str, tokens: Tokens | None = None) -> Upstream:
        return Upstream(
            base_url="http://platform.test/",
            transport=self.platform.transport,
            guard=guard_of(name, self.clock),
            deadline=10.0,
            max_bytes=8_000_000,
            observe=lambda call: self.observed.update([(call.api, call.endpoint, call.result)]),
            token=tokens and tokens.token,
        )


def unit(**fields: Any) -> WorkUnit:
    return WorkUnit.model_validate({"work_unit_id": "wu", "organization_id": "acme", "incident_id": "inc"} | fields)


def query(request: httpx.Request) -> dict[str, list[str]]:
    return parse_qs(request.url.query.decode())
