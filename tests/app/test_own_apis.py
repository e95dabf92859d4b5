"""A recipe of another package brings its own API: a client with everything that a client of ours has."""

from collections.abc import AsyncIterator
from importlib.metadata import EntryPoint

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from notification_sender import plugins
from notification_sender import recipes as module
from notification_sender.app.apis import Upstreams
from notification_sender.app.backends import store
from notification_sender.model.errors import ConfigurationFault
from notification_sender.model.unit import WorkUnit
from notification_sender.recipes.apis import own_apis
from notification_sender.recipes.authoring import Api, Recipe, Upstream
from notification_sender.settings import Settings
from notification_sender.telemetry.metrics import Metrics
from tests.context.fakes import CountingSharedCache, LoopClock, cache_of
from tests.recipes.api import unit
from tests.settings.test_options import DEVELOPMENT, REQUIRED

MEMORY = {"NS_AMQP_URL": "memory://", "NS_REDIS_URL": "memory://"}

shifts = Recipe("shifts", subject=lambda _: "on_duty", apis=[Api("rota", why="who is on duty")])


@shifts.fetched(ttl="5m")
async def on_duty(unit: WorkUnit, rota: Upstream) -> object:
    return await rota.get("/on-duty/{}", unit.organization_id)


@pytest.fixture(autouse=True)
def _installed(monkeypatch: pytest.MonkeyPatch) -> None:
    points = [EntryPoint("shifts", f"{__name__}:shifts", module.GROUP)]
    monkeypatch.setattr(plugins, "entry_points", lambda *, group: points if group == module.GROUP else [])


@pytest.fixture
async def server() -> AsyncIterator[TestServer]:
    async def token(_: web.Request) -> web.Response:
        return web.json_response({"access_token": "t0ken", "token_type": "Bearer", "expires_in": 60})

    async def rota(request: web.Request) -> web.Response:
        return web.json_response({"name": "Anna", "by": request.headers["authorization"]})

    app = web.Application()
    app.router.add_post("/oauth/token", token)
    app.router.add_get("/on-duty/acme", rota)
    async with TestServer(app, host="127.0.0.1") as running:
        yield running


async def test_its_sources_are_given_a_guarded_client(server: TestServer) -> None:
    base = str(server.make_url(""))
    own = {"NS_AAA_URL": base, "NS_ROTA_URL": base}
    settings, clock = Settings.load(REQUIRED | DEVELOPMENT | MEMORY | own), LoopClock()
    upstreams = Upstreams(settings, store=store(settings), clock=clock, metrics=Metrics())
    gatherer = upstreams.gatherers(cache_of(clock, CountingSharedCache(clock)))["shifts"]
    context = await gatherer.gather(unit(kind="shifts"))
    assert context.values["on_duty"] == {"name": "Anna", "by": "Bearer t0ken"}
    assert upstreams.summary()["rota"]["state"] == "well"
    await upstreams.close()


def test_without_its_url_nothing_starts() -> None:
    with pytest.raises(ConfigurationFault, match=r"NS_ROTA_URL: is missing\. The API rota: who is on duty"):
        Settings.load(REQUIRED)


def test_two_recipes_may_call_one_api_but_not_two_apis_by_one_name() -> None:
    night = Recipe("night", subject=lambda _: "x", apis=[Api("rota", why="who is on duty")])
    assert list(own_apis([shifts, night])) == ["rota"]
    other = Recipe("other", subject=lambda _: "x", apis=[Api("rota", trusted=False), Api("assets")])
    with pytest.raises(ConfigurationFault) as refused:
        own_apis([shifts, other])
    assert str(refused.value).splitlines() == [
        "recipe other: there is another API of the name rota",
        "recipe other: there is another API of the name assets",
    ]


@pytest.mark.parametrize("name", ["smtp", "amqp"])
def test_an_api_cannot_take_an_option_that_means_something_else(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shifts, "apis", (Api(name),))
    with pytest.raises(ConfigurationFault, match=f"NS_{name.upper()}_URL: a recipe or channel declares it"):
        Settings.load(REQUIRED)


def test_the_name_of_an_api_makes_a_variable() -> None:
    with pytest.raises(ConfigurationFault, match="API 'on-duty': a name has"):
        Api("on-duty")
