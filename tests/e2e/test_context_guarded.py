"""Our own APIs in trouble: they are not run over, nothing is lost, and it ends by itself."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from redis.asyncio import Redis

from notification_sender.sandbox.behaviour import Behaviour
from notification_sender.sandbox.platform.endpoints import Endpoint
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import fleet
from tests.faults.rows import row
from tests.patience import option, patience

Make = Callable[..., dict[str, Any]]


def turn_all(behaviours: Iterable[Behaviour], **knobs: object) -> None:
    for behaviour in behaviours:
        behaviour.configure(**knobs)


@pytest.fixture
async def sandbox(tmp_path: Path) -> AsyncIterator[Sandbox]:
    """With more facts than a few seconds of trouble can use up."""
    async with Sandbox(tmp_path, organizations=60, incidents=600) as running:
        yield running


@row(46, "an API is out, and comes back")
async def test_an_api_that_is_out_is_left_alone_and_the_backlog_follows_when_it_is_back(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make
) -> None:
    behaviours = [sandbox.platform.behaviours[it] for it in (Endpoint.INCIDENT, Endpoint.CURRENT)]

    async def called(times: int) -> None:
        while sum(it.calls for it in behaviours) < times:  # noqa: ASYNC110 - calls cannot be awaited, only counted
            await asyncio.sleep(0.05)

    turn_all(behaviours, latency=0.05)
    async with fleet(environment | {"NS_CONCURRENCY": "20"}, 2) as workers, patience(90):
        await broker.publish([about(number) for number in range(150)])
        await sandbox.inbox.accepts(150)
        turn_all(behaviours, answer=503)
        before = sum(it.calls for it in behaviours)
        # Only now: workers that are faster than this process would have done them before the API is out.
        await broker.publish([about(number) for number in range(150, 600)])
        for worker in workers:
            await worker.says("api.circuit_opened", api="incidents")
        out = sum(it.calls for it in behaviours)
        # What was under way, then single probes, each pause twice as long as the one before: some seven seconds.
        await called(out + 4)
        turn_all(behaviours, answer=None)
        for worker in workers:
            await worker.says("api.circuit_closed", api="incidents")
        await sandbox.inbox.accepts(600)
        for worker in workers:
            assert await worker.stop() == 0
    # Of each process the last 40 results decide, and 20 units are in hand that may ask while they do.
    assert out - before <= 2 * (40 + 20)
    put_off = sum(event["event"] == "unit.deferred" for worker in workers for event in worker.events)
    assert put_off <= 2 * 20 + 2 * 20, "those under way, and probes: the others wait in the queue"
    assert await broker.depth("dead") == 0
    assert sandbox.inbox.duplicates == 0


@row(55, "a cold cache, a killed worker, and all start to fetch")
async def test_the_fleet_never_has_more_calls_under_way_than_the_budget_of_an_api(
    sandbox: Sandbox, hasty: dict[str, str], broker: Broker, redis_server: str, about: Make
) -> None:
    budget = 10
    turn_all((sandbox.platform.behaviours[it] for it in (Endpoint.INCIDENT, Endpoint.CURRENT)), latency=0.2)
    async with fleet(hasty | {"NS_INCIDENTS_BUDGET": str(budget)}, 3) as workers, patience(90):
        # Meanwhile: else workers may be done with all before the last is published.
        publishing = asyncio.create_task(broker.publish([about(number) for number in range(400)]))
        await sandbox.inbox.accepts(100)
        async with Redis.from_url(redis_server) as redis:
            await redis.flushall()
        await sandbox.inbox.accepts(200)
        workers[0].kill()
        async with fleet(hasty | {"NS_INCIDENTS_BUDGET": str(budget)}, 1):
            await publishing
            await sandbox.inbox.accepts(400)
    assert sandbox.platform.peaks["incidents"] <= budget
    assert len(sandbox.inbox.accepted) == 400
    assert await broker.depth("dead") == 0


async def test_an_aaa_api_that_grows_while_we_run_is_followed(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make
) -> None:
    behaviours = [sandbox.platform.behaviours[it] for it in (Endpoint.ORGANIZATION, Endpoint.TOKEN)]
    turn_all(behaviours, capacity=1, latency=0.4)
    async with fleet(environment | {"NS_API_TIMEOUT": option(3), "NS_GATHER_TIMEOUT": option(20)}, 2), patience(90):
        publishing = asyncio.create_task(broker.publish([about(number) for number in range(600)]))
        for capacity, accepted in ((8, 20), (20, 200)):
            await sandbox.inbox.accepts(accepted)
            turn_all(behaviours, capacity=capacity)
        await publishing
        await sandbox.inbox.accepts(600)
    assert await broker.depth("dead") == 0
    assert sandbox.inbox.duplicates == 0
