"""The simulated platform: one server for all internal APIs, with settings, counters and a log of calls."""

import time
from collections import Counter, deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from types import TracebackType
from typing import Self

import orjson
from aiohttp import web

from notification_sender.sandbox.behaviour import Behaviour
from notification_sender.sandbox.platform.endpoints import API, Endpoint, Endpoints, refusal
from notification_sender.sandbox.platform.tokens import Bound, Tokens, origin
from notification_sender.sandbox.platform.world import World
from notification_sender.sandbox.serving import HOST, Handler, Server, leave_unanswered

CLIENT_ID = "notification-sender"
CLIENT_SECRET = "sandbox-client-secret"  # noqa: S105 - made up, and printed for everybody
WITHOUT_TOKEN = (Endpoint.TOKEN, Endpoint.REVERSE)
FORBIDDEN = (Endpoint.CURRENT_OF_ORGANIZATION, Endpoint.UNKNOWN)
PRIVATE = ("authorization", "cookie", "traceparent", "tracestate", "baggage")
"""Headers that a third party must never see. Geocoding may be one."""
LOGGED = 10_000
"""Calls that the log keeps at most: a benchmark must not fill the memory."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was received. ``headers`` are in order; ``at`` is on the monotonic clock."""

    endpoint: Endpoint
    path: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    at: float


class Platform:
    """Serves a world: ``async with Platform(world) as platform: platform.urls``.

    ``behaviours`` has the settings and gauges of each endpoint: ``platform.behaviours[Endpoint.ASSETS].answer = 503``.
    """

    def __init__(self, world: World, *, port: int = 0, host: str = HOST) -> None:
        self.world = world
        self.tokens = Tokens(CLIENT_ID, CLIENT_SECRET, self._suits)
        """``expires_in`` and ``revoke()`` may be used while it runs."""
        self.endpoints = Endpoints(world, self.tokens)
        self.behaviours = {endpoint: Behaviour() for endpoint in Endpoint}
        self.calls: Counter[str] = Counter()
        """Calls by endpoint (method and path template)."""
        self.answers: Counter[tuple[str, int]] = Counter()
        """Answers by endpoint and status."""
        self.asked: Counter[tuple[str, str]] = Counter()
        """How often each fact was requested, by endpoint, and path or id. Tokens do not count."""
        self.in_flight: Counter[str] = Counter()
        self.peaks: Counter[str] = Counter()
        """Calls in flight by API: now, and at most."""
        self.leaks: Counter[str] = Counter()
        """Private headers that were sent to geocoding."""
        self.log: deque[Call] = deque(maxlen=LOGGED)
        self._server = Server(self._routes(), port, host)

    @property
    def urls(self) -> dict[str, str]:
        """The ``NS_`` variables for a worker: the addresses of the APIs, and the credentials."""
        names = ("NS_INCIDENTS_URL", "NS_INTEL_REQUESTS_URL", "NS_ASSETS_URL", "NS_AAA_URL", "NS_GEOCODING_URL")
        credentials = {"NS_AAA_CLIENT_ID": CLIENT_ID, "NS_AAA_CLIENT_SECRET": CLIENT_SECRET}
        return dict.fromkeys(names, self._server.url) | credentials

    @property
    def forbidden(self) -> int:
        """Calls that no worker may make: all incidents of an organization, and endpoints outside the contract."""
        return sum(self.calls[endpoint] for endpoint in FORBIDDEN)

    def admits(self, destination_id: str, authorization: str | None) -> bool:
        """Whether a recipient accepts this header for its destination. A destination without ``auth`` accepts any."""
        destination = self.world.destinations.get(destination_id, {})
        if destination.get("auth") is None:
            return True
        owner = self.world.owner(destination_id) or ""
        return self.tokens.admits(authorization, Bound(destination_id, owner, origin(destination["url"])))

    def _suits(self, bound: Bound) -> bool:
        """Whether the organization exists and its destination has this origin. A unit brings other destinations."""
        organization = self.world.organizations.get(bound.organization_id)
        own = [it for it in (organization or {}).get("destinations", ()) if it["destination_id"] == bound.audience]
        return organization is not None and all(origin(it.get("url", "")) == bound.resource for it in own)

    async def __aenter__(self) -> Self:
        await self._server.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._server.stop()

    def _routes(self) -> list[tuple[str, str, Handler]]:
        routes: list[tuple[str, str, Handler]] = []
        for endpoint, handler in self.endpoints.handlers.items():
            method, path = endpoint.split()
            routes.append((method, path, partial(self._serve, endpoint, handler)))
        return [*routes, ("*", "/{path:.*}", partial(self._serve, Endpoint.UNKNOWN, _unknown))]

    async def _serve(self, endpoint: Endpoint, handler: Handler, request: web.Request) -> web.StreamResponse:
        self.calls[endpoint] += 1
        headers = tuple(request.headers.items())
        body = await request.read()
        self.log.append(Call(endpoint, request.path_qs, headers, body, time.monotonic()))
        self.asked.update((endpoint.value, fact) for fact in _facts(endpoint, request.path_qs, body))
        if endpoint is Endpoint.REVERSE:
            self.leaks.update(name for name in PRIVATE if name in request.headers)
        async with self._counted_in_flight(API[endpoint]):
            return await self._answer(endpoint, handler, request)

    @asynccontextmanager
    async def _counted_in_flight(self, api: str) -> AsyncIterator[None]:
        self.in_flight[api] += 1
        self.peaks[api] = max(self.peaks[api], self.in_flight[api])
        try:
            yield
        finally:
            self.in_flight[api] -= 1

    async def _answer(self, endpoint: Endpoint, handler: Handler, request: web.Request) -> web.StreamResponse:
        behaviour = self.behaviours[endpoint]
        came, works = time.monotonic(), behaviour.latency_of(behaviour.calls + 1)
        async with behaviour.call() as said:
            waited = time.monotonic() - came
            if said == "hang" or said == "close":  # noqa: PLR1714 - the type checker follows this form
                return await leave_unanswered(request, said)
            if said is None or (said == web.HTTPOk.status_code and behaviour.body is None):
                response = await self._truth(endpoint, handler, request)
            else:
                response = web.Response(status=said, body=behaviour.body, headers=behaviour.headers)
            self.answers[endpoint, response.status] += 1
            # With this a caller knows whether the work took so long, or the wait for it.
            response.headers["server-timing"] = f"wait;dur={1000 * waited:.1f}, work;dur={1000 * works:.1f}"
            return response

    async def _truth(self, endpoint: Endpoint, handler: Handler, request: web.Request) -> web.StreamResponse:
        if endpoint not in WITHOUT_TOKEN and not self.tokens.admits(request.headers.get("authorization")):
            return refusal(401, "no valid service token")
        return await handler(request)


def _facts(endpoint: Endpoint, path: str, body: bytes) -> list[str]:
    """Return the facts that a call requests: its path, or each of its ids."""
    if endpoint is Endpoint.TOKEN:
        return []
    if endpoint not in (Endpoint.INTEL_REQUESTS, Endpoint.ASSETS):
        return [path]
    try:
        (ids,) = orjson.loads(body).values()
    except (orjson.JSONDecodeError, AttributeError, ValueError):
        return []
    return [str(id_) for id_ in ids] if isinstance(ids, list) else []


async def _unknown(_: web.Request) -> web.StreamResponse:
    return refusal(404, "the contract has no such call")
