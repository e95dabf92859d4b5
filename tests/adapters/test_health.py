from collections.abc import AsyncIterator
from types import SimpleNamespace

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from notification_sender.adapters.health import Health
from notification_sender.model.errors import ConfigurationFault


@pytest.fixture
def worker() -> SimpleNamespace:
    """What the process says about itself."""
    parts = {"rabbitmq": True, "redis": True, "consuming": True}
    return SimpleNamespace(ready=parts, live=True, status={"in_hand": 3, "version": "0.1.0"})


@pytest.fixture
async def health(worker: SimpleNamespace) -> AsyncIterator[Health]:
    server = Health(
        ready=lambda: worker.ready,
        live=lambda: worker.live,
        status=lambda: worker.status,
        metrics=lambda: b"# TYPE attempts_total counter\nattempts_total 7.0\n",
    )
    await server.start("127.0.0.1", 0)
    yield server
    await server.stop()


@pytest.fixture
async def http(health: Health) -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession(f"http://127.0.0.1:{health.port}") as session:
        yield session


async def test_live_follows_the_loop(http: aiohttp.ClientSession, worker: SimpleNamespace) -> None:
    assert (await http.get("/livez")).status == 200
    worker.live = False
    assert (await http.get("/livez")).status == 503


@pytest.mark.parametrize("away", ["rabbitmq", "redis", "consuming"])
async def test_readiness_names_each_part(http: aiohttp.ClientSession, worker: SimpleNamespace, away: str) -> None:
    assert (await http.get("/readyz")).status == 200
    worker.ready[away] = False
    answer = await http.get("/readyz")
    assert answer.status == 503
    assert await answer.json() == {"ready": False, "rabbitmq": True, "redis": True, "consuming": True} | {away: False}
    assert (await http.get("/livez")).status == 200


async def test_status_is_json(http: aiohttp.ClientSession, worker: SimpleNamespace) -> None:
    assert await (await http.get("/status")).json() == worker.status


async def test_prometheus_reads_the_metrics(http: aiohttp.ClientSession) -> None:
    answer = await http.get("/metrics")
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    [family] = text_string_to_metric_families(await answer.text())
    assert family.samples[0].value == 7


async def test_nothing_else_is_served(http: aiohttp.ClientSession) -> None:
    assert (await http.get("/")).status == 404
    assert (await http.post("/status")).status == 405


async def test_no_request_is_logged(http: aiohttp.ClientSession, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "aiohttp")
    await http.get("/livez")
    assert not caplog.records


async def test_a_port_in_use_is_a_configuration_fault(health: Health) -> None:
    second = Health(ready=dict, live=lambda: True, status=dict, metrics=bytes)
    with pytest.raises(ConfigurationFault, match=f"NS_HTTP_PORT.*127.0.0.1:{health.port}"):
        await second.start("127.0.0.1", health.port)
    await second.stop()
    assert second.port == 0


async def test_after_the_stop_nobody_answers(health: Health) -> None:
    port = health.port
    await health.stop()
    await health.stop()
    async with aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.get(f"http://127.0.0.1:{port}/livez")
