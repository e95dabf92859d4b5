"""The queues: when they are there, how they are declared, and another name for the one that publishers know."""

import asyncio
import json
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import aio_pika
import pytest

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.command import command
from tests.e2e.fleet import fleet
from tests.faults.rows import row
from tests.patience import patience, patient
from tests.services.rabbitmq import RabbitMQ

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
    async with fleet(environment), patience(30):
        await sandbox.inbox.accepts(1)


async def test_units_may_come_from_another_queue_and_come_back_through_it(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, topology_prefix: str
) -> None:
    async with (
        fleet(environment | {"NS_UNITS_QUEUE": f"{topology_prefix}.their-own"}) as (worker,),
        patience(30),
    ):
        await worker.becomes(200)
        later = (datetime.now(UTC) + timedelta(seconds=patient(3))).isoformat()
        await broker.publish([unit(), unit(not_before=later)], lane="their-own")
        await worker.says("unit.deferred", reason="not_yet_due")
        await sandbox.inbox.accepts(2)
        with pytest.raises(aio_pika.exceptions.ChannelNotFoundEntity):
            await broker.depth("units")


@row(108, "the ladder was declared by an older version, without a way out")
async def test_an_older_ladder_is_accepted_and_every_command_names_what_it_lacks(
    environment: dict[str, str], rabbitmq: RabbitMQ
) -> None:
    exit_ = f"{environment['NS_TOPOLOGY_PREFIX']}.delay.due"
    async with await aio_pika.connect(rabbitmq.url) as connection, connection.channel() as channel:
        await channel.declare_exchange(exit_, "topic", durable=True)
    declared = await command(environment, "topology")
    assert declared.code == 0
    checked = await command(environment, "check")
    assert (checked.code, "by policy" in checked.out) == (0, False)
    async with fleet(environment) as (worker,):
        said = await worker.says("topology.no_way_out")
    asked = [text[text.index("rabbitmqctl set_policy") :].splitlines()[0] for text in (checked.out, said["advice"])]
    assert asked[0] == asked[1]
    assert "rabbitmqctl set_policy" in declared.err
    await asyncio.to_thread(rabbitmq.ctl, *shlex.split(asked[0])[1:])
    assert "by policy" in (await command(environment, "check")).out
    assert "set_policy" not in (await command(environment, "topology")).err


async def test_a_new_ladder_has_its_way_out_by_argument(environment: dict[str, str]) -> None:
    await command(environment, "topology")
    assert "by argument" in (await command(environment, "check")).out
