"""The broker drops us or takes nothing more, while webhooks are under way: they are finished, and made once."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.e2e.holding import hold
from tests.e2e.reading import posts_at
from tests.faults.rows import row
from tests.patience import option, patience
from tests.services.rabbitmq import RabbitMQ

Make = Callable[..., dict[str, Any]]
HELD = re.compile(r'\{"([^"]+)",(\d+),(\d+)\}')


def long() -> dict[str, str]:
    """A send may take until whatever is done to the broker is done; that is done by a command of two seconds."""
    return {"NS_SEND_TIMEOUT": option(12), "NS_LEASE": option(13), "NS_GRACE": option(25)}


@row(5, "every connection is closed in mid-send")
async def test_connections_that_are_closed_cut_off_no_webhook_and_repeat_none(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, rabbitmq: RabbitMQ, unit: Make, hook: Make
) -> None:
    release = hold(sandbox.inbox, "slow")
    async with fleet(environment | long()) as (worker,):
        await broker.publish([unit(destinations=[hook("slow")]) for _ in range(20)])
        await sandbox.inbox.receives(20)
        await asyncio.to_thread(rabbitmq.drop_connections)
        await worker.says("broker.returned", connection="consume")
        assert sandbox.inbox.behaviours["slow"].in_flight == 20
        release.set()
        await worker.says("notification.delivered", times=20)
        await worker.says("unit.suppressed", times=20, reason="already_done")
        assert await worker.stop() == 0
    assert len(sandbox.inbox.webhooks) == len(sandbox.inbox.accepted) == 20
    assert [await broker.depth(it) for it in ("units", "notifications", "dead")] == [0, 0, 0]


@row(9, "memory alarm")
async def test_while_the_broker_is_out_of_memory_what_is_done_is_acked_and_what_is_to_be_parked_waits(  # noqa: PLR0917 - fixtures
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, rabbitmq: RabbitMQ, unit: Make, hook: Make
) -> None:
    release = hold(sandbox.inbox, "well", "unwell")
    sandbox.inbox.behaviours["unwell"].script.append(500)
    async with fleet(hasty | long()) as (worker,):
        await broker.publish([unit(destinations=[hook(it)]) for it in ("well", "unwell")])
        await sandbox.inbox.receives(2)
        async with out_of_memory(rabbitmq):
            release.set()
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
