"""The broker drops us or takes nothing more, while webhooks are under way: they are finished, and made once."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.e2e.reading import posts_at
from tests.faults.rows import row
from tests.patience import patience, slowness
from tests.services.rabbitmq import RabbitMQ

Make = Callable[..., dict[str, Any]]
HELD = re.compile(r'\{"([^"]+)",(\d+),(\d+)\}')


@row(5, "every connection is closed in mid-send")
async def test_connections_that_are_closed_cut_off_no_webhook_and_repeat_none(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, rabbitmq: RabbitMQ, unit: Make, hook: Make
) -> None:
    stretched = slowness()
    sandbox.inbox.behaviours["slow"].latency = 6 * stretched
    long = {
        "NS_SEND_TIMEOUT": f"{8 * stretched:.3f}s",
        "NS_LEASE": f"{9 * stretched:.3f}s",
        "NS_GRACE": f"{25 * stretched:.3f}s",
    }
    async with fleet(environment | long) as (worker,):
        await broker.publish([unit(destinations=[hook("slow")]) for _ in range(20)])
        await sandbox.inbox.receives(20)
        await asyncio.to_thread(rabbitmq.drop_connections)
        assert sandbox.inbox.behaviours["slow"].in_flight == 20
        await worker.says("notification.delivered", times=20)
        await worker.says("unit.suppressed", times=20, reason="already_done")
        assert await worker.stop() == 0
    assert len(sandbox.inbox.webhooks) == len(sandbox.inbox.accepted) == 20
    assert [await broker.depth(it) for it in ("units", "notifications", "dead")] == [0, 0, 0]


@row(9, "memory alarm")
async def test_while_the_broker_is_out_of_memory_what_is_done_is_acked_and_what_is_to_be_parked_waits(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, rabbitmq: RabbitMQ, unit: Make, hook: Make
) -> None:
    within = float(hasty["NS_SEND_TIMEOUT"].removesuffix("s"))
    for name in ("well", "unwell"):
        sandbox.inbox.behaviours[name].latency = within * 5 / 6
    sandbox.inbox.behaviours["unwell"].script.append(500)
    async with fleet(hasty) as (worker,):
        await broker.publish([unit(destinations=[hook(it)]) for it in ("well", "unwell")])
        await sandbox.inbox.receives(2)
        async with out_of_memory(rabbitmq):
            await worker.says("unit.done")
            await worker.says("backend.retrying")
            await until_unsettled(rabbitmq, hasty["NS_TOPOLOGY_PREFIX"], 1)
            assert len(sandbox.inbox.webhooks) == 2
        async with patience(30):
            await sandbox.inbox.accepts(2)
        await worker.says("unit.done", times=2)
    assert [len(posts_at(sandbox.inbox, it)) for it in ("well", "unwell")] == [1, 2]
    assert await broker.depth("dead") == 0


@asynccontextmanager
async def out_of_memory(rabbitmq: RabbitMQ) -> AsyncIterator[None]:
    await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "absolute", "1")
    try:
        yield
    finally:
        await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "absolute", "2GB")


async def until_unsettled(rabbitmq: RabbitMQ, prefix: str, count: int) -> None:
    """Wait until so many units are given out and not acked, and none waits: an ack arrives when it arrives."""
    async with patience(30):
        while set(HELD.findall(await asyncio.to_thread(rabbitmq.held, prefix))) != {
            (f"{prefix}.units", "0", str(count))
        }:
            pass
