"""The queues: when they are there, how they are declared, and another name for the one that publishers know."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika
import pytest
from e2e.broker import Broker
from e2e.command import command
from e2e.fleet import fleet
from services.rabbitmq import RabbitMQ

from notification_sender.sandbox.sandbox import Sandbox

Make = Callable[..., dict[str, Any]]


async def test_the_topology_is_durable_quorum_queues_and_publishers_declare_nothing(
    *,
    sandbox: Sandbox,
    environment: dict[str, str],
    rabbitmq: RabbitMQ,
    broker: Broker,
    unit: Make,
    topology_prefix: str,
) -> None:
    with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
        await broker.depth("units")
    ended = await command(environment, "topology")
    assert ended.code == 0
    assert set(ended.out.split()) == {f"{topology_prefix}.{it}" for it in ("units", "notifications", "dead", "events")}
    await broker.publish([unit()])
    listed = await asyncio.to_thread(rabbitmq.ctl, "list_queues", "name", "type", "durable", "--formatter", "json")
    ours = [it for it in json.loads(listed) if it["name"].startswith(topology_prefix)]
    assert {it["name"].removeprefix(f"{topology_prefix}.").partition(".")[0] for it in ours} == {
        "units",
        "notifications",
        "delay",
        "dead",
    }
    assert {(it["type"].removeprefix("rabbit_").removesuffix("_queue"), it["durable"]) for it in ours} == {
        ("quorum", True)
    }
    async with fleet(environment), asyncio.timeout(30):
        await sandbox.inbox.accepts(1)


async def test_units_may_come_from_another_queue_and_come_back_through_it(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, topology_prefix: str
) -> None:
    async with (
        fleet(environment | {"NS_UNITS_QUEUE": f"{topology_prefix}.their-own"}) as (worker,),
        asyncio.timeout(30),
    ):
        await worker.becomes(200)
        later = (datetime.now(UTC) + timedelta(seconds=3)).isoformat()
        await broker.publish([unit(), unit(not_before=later)], lane="their-own")
        await worker.says("unit.deferred", reason="not_yet_due")
        await sandbox.inbox.accepts(2)
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await broker.depth("units")
