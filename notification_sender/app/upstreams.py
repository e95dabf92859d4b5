"""The internal APIs: one guarded client each, and what the recipes are given to gather with."""

from typing import Any

import httpx

from notification_sender.adapters.http import AiohttpTransport
from notification_sender.app.services import Store
from notification_sender.context.answers import Call
from notification_sender.context.cache import Cache
from notification_sender.context.gather import Gatherer
from notification_sender.context.guard import Guard
from notification_sender.context.guards import Guards
from notification_sender.context.outages import Outages
from notification_sender.context.tokens import OutboundTokens, Tokens
from notification_sender.context.upstream import Upstream
from notification_sender.ports import Clock
from notification_sender.recipes import recipes
from notification_sender.settings import Settings
from notification_sender.telemetry.calls import Calls
from notification_sender.telemetry.metrics import Metrics

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes: an incident with 30,000 dependents has 6.4 MB."""

APIS = ("aaa", "incidents", "intel_requests", "assets", "geocoding")


class Upstreams:
    """One connection pool for all of them; the service token stays in this process."""

    def __init__(self, settings: Settings, *, store: Store, clock: Clock, metrics: Metrics) -> None:
        self._settings = settings
        self._metrics = metrics
        self._calls = Calls(metrics)
        self._transport: httpx.AsyncBaseTransport = AiohttpTransport(
            deadline=settings.api_timeout, max_bytes=MAX_ANSWER, partial=True
        )
        self._guards = Guards((_guard(api, settings, store, clock) for api in APIS), fleet=store.fleet, news=store.news)
        self.outages = Outages(self._guards, clock=clock)
        self._tokens = Tokens(
            aaa=self._client("aaa", settings.aaa_url, trusted=False),
            client_id=settings.aaa_client_id,
            client_secret=settings.aaa_client_secret.get_secret_value(),
            clock=clock,
        )
        self.outbound_tokens = OutboundTokens(self._tokens)

    def gatherers(self, cache: Cache) -> dict[str, Gatherer]:
        """Every recipe, ready to be used.

        Raises:
            ConfigurationFault: a recipe needs what is not there.
        """
        resources = self._resources()
        return {
            kind: Gatherer(
                recipe=recipe,
                resources=resources,
                cache=cache,
                timeout=self._settings.gather_timeout,
                count_foreign=self._count_foreign,
            )
            for kind, recipe in recipes().items()
        }

    def start(self) -> None:
        """Tell the fleet what is called, where there is a budget."""
        self._guards.start()

    def summary(self) -> dict[str, Any]:
        """How each API is, for people: its guard, and where the time of its last calls went."""
        means = self._calls.means()
        return {api: state | {"recent_ms": means.get(api, {})} for api, state in self._guards.summary().items()}

    async def check_token(self) -> None:
        """Ask for a service token: whether the AAA API is there and knows us.

        Raises:
            ContextUnavailable: it is not, or does not.
        """
        await self._tokens.token()

    async def close(self) -> None:
        """Close all connections."""
        await self._guards.stop()
        await self._transport.aclose()

    def _resources(self) -> dict[str, Any]:
        settings = self._settings
        return {
            "aaa": self._client("aaa", settings.aaa_url),
            "incidents": self._client("incidents", settings.incidents_url),
            "intel_requests_api": self._client("intel_requests", settings.intel_requests_url),
            "assets_api": self._client("assets", settings.assets_url),
            # May be a third party: it gets no token and no trace.
            "geocoding": self._client("geocoding", settings.geocoding_url, trusted=False),
            "max_distance": settings.max_distance,
            "current_incidents": settings.current_incidents,
            "count_foreign": self._count_foreign,
        }

    def _client(self, api: str, url: str, *, trusted: bool = True) -> Upstream:
        return Upstream(
            base_url=url,
            transport=self._transport,
            guard=self._guards.by_api[api],
            deadline=self._settings.api_timeout,
            max_bytes=MAX_ANSWER,
            observe=self._observe,
            token=self._service_token if trusted else None,
        )

    async def _service_token(self, *, fresh: bool = False) -> str:
        return await self._tokens.token(fresh=fresh)

    def _observe(self, call: Call) -> None:
        self._calls.ended(call.api, call.endpoint, call.result, call.seconds, call.phases, call.server)

    def _count_foreign(self, source: str) -> None:
        self._metrics.foreign.labels(source).inc()


def _guard(api: str, settings: Settings, store: Store, clock: Clock) -> Guard:
    return Guard(
        api=api,
        fleet=store.fleet,
        news=store.news,
        clock=clock,
        timeout=settings.api_timeout,
        budget=getattr(settings, f"{api}_budget"),
    )
