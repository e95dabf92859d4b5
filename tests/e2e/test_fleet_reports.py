"""Workers report to their fleet, and the commands say what limits it, from RabbitMQ and Redis alone."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

from notification_sender.model.process_report import PERIOD
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import Worker, fleet
from tests.patience import patience
from tests.services.redis import Redis

Make = Callable[..., dict[str, Any]]


async def why(environment: dict[str, str]) -> dict[str, Any]:
    ended = await command(environment, "why", "--json")
    said: dict[str, Any] = json.loads(ended.out)
    assert ended.code == (0 if said["limit"] == "idle" else 1)
    return said


async def summary(worker: Worker) -> dict[str, Any]:
    """The verdict in its ``/status``, once it has one of a fleet that delivered something."""
    async with patience(4 * PERIOD):
        while not (said := (await worker.get("/status")).json()["fleet"]).get("deliveries_per_min"):  # noqa: ASYNC110 - it can only be asked
            await asyncio.sleep(0.2)
    assert isinstance(said, dict)
    return said


async def test_each_process_reports_and_says_goodbye_and_any_of_them_knows_the_fleet(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make
) -> None:
    async with fleet(environment, 2) as workers:
        await broker.publish([unit() for _ in range(10)])
        await sandbox.inbox.receives(10)
        said = [await summary(worker) for worker in workers]
        assert {(it["processes"], it["expected"], it["fresh"]) for it in said} == {(2, 2, True)}
        metrics = (await workers[0].get("/metrics")).text
        assert "notification_sender_fleet_processes 2.0" in metrics
        assert 'notification_sender_fleet_backlog{queue="dead"} 0.0' in metrics
        assert "notification_sender_fleet_reports_stale 0.0" in metrics
        known = await why(environment)
        assert known["fresh"]
        assert known["deliveries_per_min"] > 0
        assert await workers[0].stop() == 0
        kept = {it["step"]: it for it in json.loads((await command(environment, "slo", "--json")).out)}
        assert kept["end_to_end"]["observed_30d"] >= 10
        assert (kept["claim"]["state"], kept["api.aaa"]["target"]) == ("quiet", 0.999)
        pods = await command(environment, "pods", "--json")
        assert [it["state"] for it in json.loads(pods.out)] == ["fresh"]
        assert await workers[1].stop() == 0
    assert (await why(environment))["limit"] == "unknown"


async def test_where_redis_is_away_the_command_says_so_without_an_advice(
    environment: dict[str, str], redis_service: Redis
) -> None:
    redis_service.stop()
    try:
        said = await why(environment)
    finally:
        redis_service.start()
    assert (said["limit"], said["fresh"], said["advice"]) == ("redis", False, [])
    assert "refuses connections" in said["sentence"]


async def test_where_rabbitmq_is_away_the_command_says_so(environment: dict[str, str]) -> None:
    said = await why(environment | {"NS_AMQP_URL": "amqp://guest:guest@127.0.0.1:1/"})
    assert (said["limit"], "refuses connections" in said["sentence"]) == ("broker", True)


async def test_where_a_service_is_frozen_each_command_says_so(
    environment: dict[str, str], redis_service: Redis
) -> None:
    """Nothing of the last minutes is shown as if it were of now."""
    redis_service.freeze()
    try:
        ended = [await command(environment, it, "--json") for it in ("status", "top", "eta")]
    finally:
        redis_service.thaw()
    assert [it.code for it in ended] == [1, 1, 1]
    for it in ended:
        assert "(NS_REDIS_URL): accepts connections, but did not answer" in json.loads(it.out)["away"]["redis"]
    assert json.loads(ended[0].out)["state"]["slots"] is None
