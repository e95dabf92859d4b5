"""Each fact is fetched once by the whole fleet, however many units, copies and processes want it."""

import asyncio
from collections.abc import Callable
from typing import Any

from redis.asyncio import Redis

from notification_sender.sandbox.platform.endpoints import Endpoint
from notification_sender.sandbox.sandbox import Sandbox
from tests.e2e.broker import Broker
from tests.e2e.fleet import Worker, fleet
from tests.faults.rows import row
from tests.patience import option, patience

Make = Callable[..., dict[str, Any]]
PODS = 5


def calls_of(sandbox: Sandbox) -> dict[str, int]:
    """By endpoint, without the tokens, of which every process has its own."""
    return {name: count for name, count in sandbox.platform.calls.items() if name != Endpoint.TOKEN}


async def counted(workers: list[Worker], metric: str, label: str) -> float:
    """The sum of all series of a metric with this label, over all processes."""
    texts = [(await worker.get("/metrics")).text for worker in workers]
    lines = [line for text in texts for line in text.splitlines() if line.startswith(metric) and label in line]
    return sum(float(line.rpartition(" ")[2]) for line in lines)


async def test_copies_of_a_unit_cost_one_call_to_each_api_and_are_told_once(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, unit: Make
) -> None:
    async with fleet(environment, PODS) as workers:
        await broker.publish([unit(channels=["webhook", "email"])] * 75)
        async with patience(30):
            await sandbox.inbox.accepts(2)
        # Seventy-four found it claimed and were parked, or found it done: all of them must have come to an end.
        for worker in workers:
            assert await worker.stop() == 0
        async with fleet(environment, 1) as (last,), patience(30):
            while await broker.depth("units"):
                await last.says("unit.suppressed", times=1)
    assert (len(sandbox.inbox.webhooks), len(sandbox.inbox.emails)) == (1, 1)
    assert set(calls_of(sandbox).values()) == {1}, sandbox.platform.calls
    assert sandbox.platform.calls[Endpoint.TOKEN] <= 2 * PODS


async def test_units_of_one_incident_cost_one_call_for_each_entity_though_a_fetch_takes_seven_seconds(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make
) -> None:
    # Organization 2 has no current entries: the slow path, unscaled.
    sandbox.platform.behaviours[Endpoint.INCIDENT].latency = 7.0
    async with fleet(environment | {"NS_API_TIMEOUT": option(10), "NS_GATHER_TIMEOUT": option(20)}, PODS):
        await broker.publish([about(2) for _ in range(75)])
        async with patience(40):
            await sandbox.inbox.accepts(75)
    assert set(calls_of(sandbox).values()) == {1}, sandbox.platform.calls
    assert sandbox.inbox.duplicates == 0


async def test_when_the_process_that_fetches_dies_another_one_fetches_within_its_lease(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, about: Make, hook: Make
) -> None:
    incident = sandbox.platform.behaviours[Endpoint.INCIDENT]
    incident.script.append("hang")
    async with fleet(environment) as (leader,), patience(60):
        await broker.publish([about(2, destinations=[hook("first")])])
        while not incident.calls:  # noqa: ASYNC110 - the call cannot be awaited, only seen
            await asyncio.sleep(0.01)
        async with fleet(environment, 2) as followers:
            await broker.publish([about(2, destinations=[hook("others")]) for _ in range(20)])
            async with patience(10):
                while not await counted(followers, "notification_sender_in_hand", "units"):  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            leader.kill()
            async with patience(4):  # the lease of three seconds, and the work
                await sandbox.inbox.accepts(10)  # the leader may hold half of the others, until its claims end
            assert incident.calls == 2
            await leader.ended()


@row(54, "a hot fact expires, and five processes want it")
async def test_a_hot_fact_that_expires_is_fetched_once_and_nobody_waits_for_it(
    sandbox: Sandbox, environment: dict[str, str], broker: Broker, redis_server: str, about: Make
) -> None:
    async with fleet(environment), patience(30):
        await broker.publish([about(2)])
        await sandbox.inbox.accepts(1)
    prefix = environment["NS_TOPOLOGY_PREFIX"]
    async with Redis.from_url(redis_server) as redis:
        for key in await redis.keys(f"{prefix}:1:*:fact:*:incident:*"):
            assert await redis.hset(key, "soft", 0) == 0  # as if most of its time were over
    incident = sandbox.platform.behaviours[Endpoint.INCIDENT]
    incident.latency = 1.0
    async with fleet(environment, PODS) as workers, patience(60):
        await broker.publish([about(2) for _ in range(300)])
        await sandbox.inbox.accepts(301)
        waited = await counted(workers, "notification_sender_facts_total", 'how="waited"')
        stale = await counted(workers, "notification_sender_facts_total", 'how="revalidating"')
    assert incident.calls == 2
    assert waited == 0
    assert stale >= 1
