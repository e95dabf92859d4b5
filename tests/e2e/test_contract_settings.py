"""What variables do to the program that is run: faults, secrets in files, limits of time and number."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import httpx
import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import Worker, fleet
from tests.patience import option, patience, patient, stretched
from tests.services.program import HOST, free_port

Make = Callable[..., dict[str, Any]]

REQUIRED = [
    *(f"NS_{part}_URL" for part in ("INCIDENTS", "INTEL_REQUESTS", "ASSETS", "AAA", "GEOCODING", "AMQP", "REDIS")),
    "NS_AAA_CLIENT_ID",
    "NS_AAA_CLIENT_SECRET",
]
REFUSED = {
    "sentinel": ({"NS_REDIS_URL": "redis+sentinel://a,b,c/master/0"}, {"NS_REDIS_URL": "not supported yet"}),
    "cluster": ({"NS_REDIS_URL": "redis+cluster://a:6379/0"}, {"NS_REDIS_URL": "not supported yet"}),
    "several at once": (
        {"NS_AAA_URL": "", "NS_CONCURENCY": "8", "NS_MAX_DISTANCE": "11", "NS_LEASE": "1s"},
        {
            "NS_AAA_URL": "missing",
            "NS_CONCURENCY": "did you mean NS_CONCURRENCY?",
            "NS_MAX_DISTANCE": "10",
            "NS_LEASE": "NS_SEND_TIMEOUT",
        },
    ),
    "production": (
        {"NS_ENVIRONMENT": "", "NS_AMQP_URL": "memory://", "NS_REDIS_URL": "memory://"},
        {
            "NS_AMQP_URL": "NS_ENVIRONMENT=development",
            "NS_REDIS_URL": "NS_ENVIRONMENT=development",
            "NS_SMTP_URL": "starttls=none",
        },
    ),
    "tls": (
        {
            "NS_ENVIRONMENT": "production",
            "NS_AMQP_URL": "amqps://rabbit/?no_verify_ssl=1",
            "NS_REDIS_URL": "rediss://redis/0?ssl_cert_reqs=none",
            "NS_SMTP_URL": "smtp://mail?startls=none",
        },
        {
            "NS_AMQP_URL": "NS_ENVIRONMENT=development",
            "NS_REDIS_URL": "NS_ENVIRONMENT=development",
            "NS_SMTP_URL": "did you mean ?starttls=?",
        },
    ),
    "nothing": (dict.fromkeys(REQUIRED, ""), dict.fromkeys(REQUIRED, "missing")),
}


@pytest.mark.parametrize(("given", "faults"), REFUSED.values(), ids=REFUSED)
async def test_a_worker_that_cannot_work_says_all_that_is_wrong_and_exits_with_78(
    environment: dict[str, str], tmp_path: Path, given: dict[str, str], faults: dict[str, str]
) -> None:
    (tmp_path / ".env").write_text("NS_AAA_URL=http://aaa\nNS_ENVIRONMENT=development\nNS_REDIS_URL=redis://redis\n")
    ended = await command(environment | given, "run", folder=tmp_path)
    assert (ended.code, ended.out) == (78, "")
    first, *lines = ended.err.splitlines()
    said = dict(line.strip().split(": ", 1) for line in lines)
    assert f"{len(faults)} fault" in first
    assert said.keys() == faults.keys()
    assert all(part in said[name] for name, part in faults.items())


async def test_a_service_that_is_reached_in_the_open_is_named_once_at_start(environment: dict[str, str]) -> None:
    elsewhere = {"NS_GEOCODING_URL": "http://geocoding.example", "NS_ASSETS_URL": "http://assets.example"}
    async with fleet(environment | elsewhere) as (worker,):
        said = [it["variable"] for it in worker.events if it["event"] == "connection.unencrypted"]
    assert sorted(said) == sorted(elsewhere)


async def test_secrets_may_be_files_and_what_kubernetes_injects_is_left_alone(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, tmp_path: Path
) -> None:
    for name in ("NS_AMQP_URL", "NS_REDIS_URL", "NS_AAA_CLIENT_SECRET", "NS_SMTP_URL"):
        (tmp_path / name).write_text(environment.pop(name) + "\n")
        environment[f"{name}_FILE"] = str(tmp_path / name)
    environment |= {"NS_WEB_SERVICE_HOST": "10.0.0.1", "NS_WEB_PORT": "tcp://10.0.0.1:80", "NS_WEB_SERVICE_PORT": "80"}
    async with fleet(environment), patience(30):
        await broker.publish([unit(channels=None)])
        await sandbox.inbox.accepts(2)


async def test_no_more_is_in_hand_than_allowed_and_the_end_comes_within_the_grace(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    behaviour = sandbox.inbox.behaviours["slow"]
    behaviour.latency = patient(0.1)
    grace = stretched(3) + 0.5
    limits = {"NS_CONCURRENCY": "3", "NS_SEND_TIMEOUT": option(3), "NS_GRACE": f"{grace:.3f}s"}
    # On a slow machine everybody is slow, and who is slow may not hold all.
    limits |= {"NS_ORGANIZATION_SHARE": "1", "NS_DESTINATION_SHARE": "1"}
    async with fleet(hasty | limits) as (worker,), patience(30):
        await broker.publish([unit(destinations=[hook("slow")]) for _ in range(30)])
        await sandbox.inbox.accepts(30)
        sandbox.inbox.behaviours["silent"].answer = "hang"
        await broker.publish([unit(destinations=[hook("silent")])])
        await sandbox.inbox.receives(31)
        asked = monotonic()
        assert await worker.stop() == 0
        assert monotonic() - asked < grace + patient(1) - 1
    assert behaviour.peak == 3
    await broker.holds("units", 1)


async def test_a_delivery_is_remembered_for_the_time_of_the_ledger(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    made = unit(destinations=[hook("noc")])
    kept = stretched(3)
    async with fleet(hasty | {"NS_LEDGER_TTL": f"{kept:.3f}s"}) as (worker,), patience(30):
        await broker.publish([made])
        await worker.says("unit.done")
        after = (datetime.now(UTC) + timedelta(seconds=kept + 0.5)).isoformat()
        await broker.publish([made | {"not_before": after}, made])
        await worker.says("unit.suppressed", reason="already_done")
        await worker.says("unit.done", times=2)
    first, second = sandbox.inbox.webhooks
    assert first.notification_id == second.notification_id
    assert second.arrived - first.arrived > kept


async def test_the_health_port_and_the_log_are_where_and_as_they_were_asked_for(
    environment: dict[str, str],
) -> None:
    port = free_port()
    environment |= {"NS_HTTP_HOST": HOST, "NS_HTTP_PORT": str(port), "NS_LOG_FORMAT": "text", "NS_LOG_LEVEL": "info"}
    talkative = await _log_of(environment, port)
    assert any("worker.ready" in line for line in talkative)
    assert not any(line.startswith("{") for line in talkative)
    assert await _log_of(environment | {"NS_LOG_LEVEL": "error"}, port) == []


async def _log_of(environment: dict[str, str], port: int) -> list[str]:
    worker = Worker(environment)
    await worker.start()
    try:
        async with patience(30), httpx.AsyncClient(timeout=patient(5)) as client:
            while not await _ready(client, port):  # noqa: ASYNC110 - it cannot be awaited, only asked
                await asyncio.sleep(0.05)
    finally:
        assert await worker.stop() == 0
    return worker.raw


async def _ready(client: httpx.AsyncClient, port: int) -> bool:
    try:
        return (await client.get(f"http://{HOST}:{port}/readyz")).status_code == 200
    except httpx.TransportError:
        return False
