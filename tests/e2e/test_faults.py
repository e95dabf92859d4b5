"""Broker, store or worker go away in the middle of it: nothing is lost, nothing is sent unguarded."""

import asyncio
import signal
from collections.abc import Callable
from typing import Any

from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.e2e.holding import hold
from tests.faults.rows import row
from tests.patience import option, patience
from tests.services.rabbitmq import RabbitMQ
from tests.services.redis import Redis

Make = Callable[..., dict[str, Any]]

TEN_FOR_ONE = {"NS_CONCURRENCY": "10", "NS_ORGANIZATION_SHARE": "1", "NS_DESTINATION_SHARE": "1"}
"""All slots of a worker are full, although there is one destination alone."""


def long() -> dict[str, str]:
    """A send may take until the test lets it end."""
    return {"NS_SEND_TIMEOUT": option(15), "NS_LEASE": option(20), "NS_GRACE": option(25)}


@row(21, "Redis is away")
async def test_without_the_store_it_is_not_ready_and_sends_nothing_and_then_everything(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, redis_service: Redis, unit: Make
) -> None:
    async with fleet(hasty, 2) as workers:
        redis_service.kill()
        try:
            for worker in workers:
                await worker.becomes(503)
                assert (await worker.get("/livez")).status_code == 200
            await broker.publish([unit() for _ in range(100)])
            await broker.drained("units")
            assert sandbox.inbox.webhooks == []
        finally:
            redis_service.start()
        async with patience(30):
            await sandbox.inbox.accepts(100)
        for worker in workers:
            await worker.becomes(200)
    assert sandbox.inbox.duplicates == 0
    assert await broker.depth("dead") == 0


@row(2, "kill -9 under load")
async def test_without_the_broker_it_is_not_ready_and_goes_on_by_itself_when_it_is_back(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, rabbitmq: RabbitMQ, unit: Make
) -> None:
    units = [unit() for _ in range(200)]
    release = hold(sandbox.inbox)
    async with fleet(hasty | TEN_FOR_ONE | long(), 2) as workers:
        await broker.publish(units[:100])
        await sandbox.inbox.receives(20)
        await asyncio.to_thread(rabbitmq.kill)
        release.set()
        try:
            for worker in workers:
                await worker.becomes(503)
        finally:
            await asyncio.to_thread(rabbitmq.start)
        for worker in workers:
            await worker.becomes(200, within=60)
        async with patience(60):
            await broker.publish(units[100:])
            await sandbox.inbox.accepts(200)
    assert sandbox.inbox.duplicates == 0
    assert await broker.depth("dead") == 0


@row(37, "SIGTERM")
async def test_sigterm_takes_no_more_within_a_second_and_finishes_what_it_has_begun(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    release = hold(sandbox.inbox, "slow")
    async with fleet(environment | TEN_FOR_ONE | long()) as (worker,):
        await broker.publish([unit(destinations=[hook("slow")]) for _ in range(30)])
        await sandbox.inbox.receives(10)
        stopping = asyncio.create_task(worker.stop())
        async with patience(1):
            while await broker.depth("units") < 20:  # noqa: ASYNC110 - it cannot be awaited, only asked
                await asyncio.sleep(0.05)
        assert sandbox.inbox.behaviours["slow"].in_flight == 10
        release.set()
        assert await stopping == 0
        await worker.says("notification.delivered", times=10)
    assert len(sandbox.inbox.webhooks) == 10
    await broker.holds("units", 20)


@row(38, "SIGTERM and a receiver that hangs, then another one")
async def test_a_second_sigterm_cuts_off_what_is_being_sent_and_somebody_else_makes_it_good(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    sandbox.inbox.behaviours["noc"].script.append("hang")
    impatient = environment | {"NS_SEND_TIMEOUT": option(7), "NS_LEASE": option(8), "NS_GRACE": option(25)}
    async with fleet(impatient) as (leaving,):
        await broker.publish([unit(destinations=[hook("noc")])])
        await sandbox.inbox.receives(1)
        leaving.process.send_signal(signal.SIGTERM)
        await leaving.becomes(503)
        leaving.process.send_signal(signal.SIGINT)
        assert await leaving.ended(within=3) == 0
        await broker.holds("units", 1)
        async with fleet(impatient) as (heir,), patience(30):
            await sandbox.inbox.accepts(1)
            await heir.says("notification.delivered")
    assert len({post.notification_id for post in sandbox.inbox.webhooks}) == 1


@row(37, "SIGTERM under load")
async def test_sigterm_finishes_what_is_in_hand_and_leaves_the_rest_to_others(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, unit: Make, hook: Make
) -> None:
    release = hold(sandbox.inbox, "slow")
    async with fleet(hasty | TEN_FOR_ONE | long(), 2) as (leaving, staying):
        await broker.publish([unit(destinations=[hook("slow")]) for _ in range(100)])
        await sandbox.inbox.receives(20)
        stopping = asyncio.create_task(leaving.stop())
        await leaving.becomes(503)
        release.set()
        assert await stopping == 0
        async with patience(60):
            await sandbox.inbox.accepts(100)
        assert await staying.stop() == 0
    assert len(sandbox.inbox.webhooks) == 100
    assert [await broker.depth(it) for it in ("units", "notifications", "dead")] == [0, 0, 0]
