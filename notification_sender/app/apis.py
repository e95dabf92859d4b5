"""The internal APIs: a guarded client for each, and the resources of the recipes."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import httpx

from notification_sender.adapters.http.idle_connections import IdleConnections
from notification_sender.adapters.http.transport import AiohttpTransport
from notification_sender.app.backends import Store
from notification_sender.app.tls import api_tls
from notification_sender.context.cache.read_through import Cache
from notification_sender.context.gather import Gatherer
from notification_sender.context.recipe import Recipe
from notification_sender.context.upstream.api import Api
from notification_sender.context.upstream.client import Upstream
from notification_sender.context.upstream.guard import STATES, Guard, State
from notification_sender.context.upstream.guards import Guards
from notification_sender.context.upstream.intake import UpstreamIntakeGate
from notification_sender.context.upstream.responses import Call
from notification_sender.context.upstream.tokens import OutboundTokens, Tokens
from notification_sender.model.errors import ConfigurationFault
from notification_sender.model.process_report import ApiUse
from notification_sender.ports.clock import Clock
from notification_sender.recipes import recipes
from notification_sender.recipes.apis import AAA, SHARED, own_apis
from notification_sender.settings import Settings
from notification_sender.telemetry.calls import Calls
from notification_sender.telemetry.metrics import Metrics
from notification_sender.telemetry.recent import Recent
from notification_sender.telemetry.traces import Traces, untraced

MAX_ANSWER = 8 * 1024 * 1024
"""Bytes: an incident with 30,000 dependents has 6.4 MB."""


def apis() -> dict[str, Api]:
    """Every API that is called, by name: those that all recipes are given, and those that recipes bring themselves.

    Raises:
        ConfigurationFault: two different APIs have one name, or a recipe cannot be used.
    """
    return {api.name: api for api in SHARED} | own_apis(recipes().values())


class Upstreams:
    """Our APIs share one connection pool, third parties another. The service token stays in this process."""

    def __init__(
        self,
        settings: Settings,
        *,
        store: Store,
        clock: Clock,
        metrics: Metrics,
        idle: IdleConnections | None = None,
        traces: Traces | None = None,
    ) -> None:
        """``idle``: the idle connections of this process, of all its transports together."""
        self._settings = settings
        self._metrics = metrics
        self._traces = traces
        self.calls = Calls(metrics, settings.api_objective)
        self.tls = [api_tls(settings), api_tls(settings, third_party=True)]
        """Of our own APIs, and of third parties."""
        self._transports: list[httpx.AsyncBaseTransport] = [
            AiohttpTransport(deadline=settings.api_timeout, max_bytes=MAX_ANSWER, partial=True, idle=idle, tls=tls)
            for tls in self.tls
        ]
        self._third_parties = frozenset(it.name for it in apis().values() if not it.trusted)
        guards = (_guard(api, settings, store, clock) for api in apis())
        self._guards = Guards(guards, fleet=store.fleet, pubsub=store.pubsub)
        for api, guard in self._guards.by_api.items():
            for state in STATES:
                metrics.api_state.labels(api, state).set_function(partial(_in_state, guard, state))
        self.force, self.open_circuits = self._guards.force, self._guards.open_circuits
        self.intake_gate = UpstreamIntakeGate(self._guards, clock=clock)
        self._tokens = Tokens(
            aaa=self._client(replace(AAA, trusted=False)),  # the token call proves itself by its own credentials
            client_id=settings.aaa_client_id,
            client_secret=settings.aaa_client_secret.get_secret_value(),
            clock=clock,
        )
        self.outbound_tokens = OutboundTokens(self._tokens)

    def gatherers(self, cache: Cache) -> dict[str, Gatherer]:
        """Every recipe, ready to be used.

        Raises:
            ConfigurationFault: a recipe needs something that does not exist.
        """
        shared = self._clients(SHARED) | {
            "max_distance": self._settings.max_distance,
            "current_incidents": self._settings.current_incidents,
            "count_foreign": self._count_foreign,
        }
        return {
            kind: Gatherer(
                recipe=recipe,
                resources=shared | self._own_clients(recipe, shared),
                cache=cache,
                timeout=self._settings.gather_timeout,
                count_foreign=self._count_foreign,
            )
            for kind, recipe in recipes().items()
        }

    def start(self) -> None:
        """Begin to share budgets with the fleet."""
        self._guards.start()

    def uses(self, recent: Recent) -> dict[str, ApiUse]:
        """For the report of this process. ``recent``: of ``calls.totals``, a group for each API."""
        return {api: _use(it, recent.group(api)) for api, it in self._guards.summary().items()}

    def summary(self) -> dict[str, Any]:
        """The state of each API, for people: its guard, and the mean time of its last calls by phase."""
        means = self.calls.means()
        return {api: state | {"recent_ms": means.get(api, {})} for api, state in self._guards.summary().items()}

    async def check_token(self) -> None:
        """Fetch a service token, to check that the AAA API answers and knows us.

        Raises:
            ContextUnavailable: it does not answer, or refuses us.
        """
        await self._tokens.token()

    async def organization(self, organization_id: str) -> dict[str, Any]:
        """The record of an organization, as it is now.

        Raises:
            NotFound: there is none.
            ContextUnavailable: the AAA API failed, or refuses us.
        """
        return await self._client(AAA).get("/organizations/{}", organization_id)

    async def close(self) -> None:
        """Close all connections."""
        await self._guards.stop()
        for transport in self._transports:
            await transport.aclose()

    def _clients(self, apis: Iterable[Api]) -> dict[str, Any]:
        """Clients by the name that sources use."""
        return {api.parameter: self._client(api) for api in apis}

    def _own_clients(self, recipe: Recipe, shared: Collection[str]) -> dict[str, Any]:
        own = self._clients(recipe.apis)
        if taken := own.keys() & shared:
            names = ", ".join(sorted(taken))
            raise ConfigurationFault(f"recipe {recipe.name}: every recipe is given {names}: call its own API otherwise")
        return own

    def _client(self, api: Api) -> Upstream:
        return Upstream(
            base_url=getattr(self._settings, f"{api.name}_url"),
            transport=self._transports[api.name in self._third_parties],
            guard=self._guards.by_api[api.name],
            deadline=self._settings.api_timeout,
            max_bytes=MAX_ANSWER,
            observe=self._observe,
            token=self._service_token if api.trusted else None,
            trace=untraced if self._traces is None else self._traces.begin_call,
        )

    async def _service_token(self, *, fresh: bool = False) -> str:
        return await self._tokens.token(fresh=fresh)

    def _observe(self, call: Call) -> None:
        self.calls.observe(
            call.api, call.endpoint, call.result, call.seconds, call.phases, call.server, trace_id=call.trace_id
        )

        if self._traces is not None and call.trace is not None:
            self._traces.called(call, call.trace)

    def _count_foreign(self, source: str) -> None:
        self._metrics.foreign.labels(source).inc()


def _use(state: Mapping[str, Any], grown: Mapping[str, float]) -> ApiUse:
    return ApiUse(
        state=state["state"],
        limit=state["limit"],
        in_flight=state["in_flight"],
        waiting=state["waiting"],
        calls=round(grown.get("calls", 0)),
        late=round(grown.get("late", 0)),
        failed=round(grown.get("failed", 0)),
        phases=_named(grown, "phase "),
        servers=_named(grown, "server "),
    )


def _named(grown: Mapping[str, float], prefix: str) -> dict[str, float]:
    return {name.removeprefix(prefix): round(it, 4) for name, it in grown.items() if name.startswith(prefix)}


def _in_state(guard: Guard, state: State) -> float:
    return float(guard.state == state)


def _guard(api: str, settings: Settings, store: Store, clock: Clock) -> Guard:
    return Guard(
        api=api,
        fleet=store.fleet,
        pubsub=store.pubsub,
        clock=clock,
        timeout=settings.api_timeout,
        objective=settings.api_objective,
        budget=getattr(settings, f"{api}_budget"),
    )
