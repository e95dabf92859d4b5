"""What a fleet settles: the script on Redis and on the embedded one, and plain Python that says what it must do."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from notification_sender.adapters.memory.pubsub import MemoryPubSub
from notification_sender.adapters.memory.redis import EmbeddedRedis
from notification_sender.adapters.redis.client import Redis
from notification_sender.adapters.redis.fleet import RedisFleet
from notification_sender.context.upstream.guard import Guard, Health
from notification_sender.context.upstream.guards import Guards
from notification_sender.ports.fleet import AllocationRequest, Fleet, OpenCircuit
from tests.context.fakes import guard_of
from tests.oracles.fleet import MemoryFleet
from tests.steered import Steered
from tests.virtual import VirtualClock

BUDGET = 7


@dataclass
class Pod:
    """What one process holds and does."""

    name: str
    allocated: int = 0
    in_flight: int = 0

    async def announce(self, fleet: Fleet, wanted: int = 100) -> int:
        self.allocated = await fleet.allocate(
            "aaa", self.name, AllocationRequest(BUDGET, self.in_flight, self.allocated, wanted)
        )
        return self.allocated


@dataclass
class Stand:
    clock: VirtualClock
    fleet: Fleet
    pods: dict[str, Pod] = field(default_factory=dict)

    async def rounds(self, count: int, *names: str) -> list[int]:
        """So many announcements of each, a period apart; what they hold at the end."""
        for _ in range(count):
            for name in names:
                await self.pods.setdefault(name, Pod(name)).announce(self.fleet)
            self.clock.jump(1.0)
        return [self.pods[name].allocated for name in names]


@pytest.fixture(params=["memory", "embedded", "redis"])
async def stand(request: pytest.FixtureRequest) -> AsyncIterator[Stand]:
    clock = VirtualClock()
    if request.param == "memory":
        yield Stand(clock, MemoryFleet(clock=clock, period=1.0))
        return
    store: Any = EmbeddedRedis() if request.param == "embedded" else Redis(url=request.getfixturevalue("redis_server"))
    await store.connect()
    yield Stand(clock, RedisFleet(redis=Steered(store, clock), prefix="ns", period=1.0))
    await store.close()


async def test_nothing_rises_before_two_periods_were_heard(stand: Stand) -> None:
    assert [await stand.rounds(1, "a", "b") for _ in range(4)] == [[0, 0], [0, 0], [4, 3], [4, 3]]


async def test_what_a_pod_gives_back_goes_to_whoever_comes(stand: Stand) -> None:
    assert await stand.rounds(3, "a") == [7]
    stand.pods["a"].in_flight = 7
    assert await stand.rounds(2, "b", "a") == [0, 7]
    stand.pods["a"].in_flight = 3
    assert await stand.rounds(2, "b", "a") == [3, 4]


async def test_what_a_dead_pod_held_is_free_after_three_periods(stand: Stand) -> None:
    assert await stand.rounds(4, "a", "b") == [4, 3]
    assert await stand.rounds(2, "b") == [3]
    assert await stand.rounds(2, "b") == [7]


async def test_where_there_are_more_pods_than_calls_an_idle_one_gives_its_place_up(stand: Stand) -> None:
    names = [f"pod-{number}" for number in range(9)]
    assert sum(await stand.rounds(5, *names)) == BUDGET
    assert await stand.pods["pod-0"].announce(stand.fleet, wanted=0) == 0
    assert await stand.pods["pod-8"].announce(stand.fleet) == 1


async def test_one_of_all_tries_what_was_out_until_it_has_or_its_time_is_over(stand: Stand) -> None:
    assert [await stand.fleet.try_acquire_probe("aaa", 60.0) for _ in range(3)] == [True, False, False]
    assert await stand.fleet.try_acquire_probe("assets", 60.0)
    await stand.fleet.release_probe("aaa")
    assert await stand.fleet.try_acquire_probe("aaa", 60.0)


async def fails(guard: Guard) -> None:
    permit = await guard.acquire()
    permit.health = Health.FAILED
    await guard.release(permit)


async def test_ten_processes_that_take_turns_as_the_probe_of_an_api_that_is_down_pause_1_2_4_8_10_s(
    stand: Stand,
) -> None:
    pubsub = MemoryPubSub()
    guards = [guard_of("incidents", stand.clock, fleet=stand.fleet, pubsub=pubsub) for _ in range(10)]
    for guard in guards:
        Guards([guard], fleet=stand.fleet, pubsub=pubsub)
    for _ in range(5):
        await fails(guards[0])
    pauses = [guards[0].probe_in]
    for guard in guards[1:]:
        stand.clock.jump(guard.probe_in)
        await fails(guard)
        await asyncio.sleep(0)  # the messages
        assert len({round(it.probe_in, 3) for it in guards}) == 1
        pauses.append(round(guard.probe_in, 3))
    assert pauses == [1.0, 2.0, 4.0, 8.0] + [10.0] * 6


@pytest.mark.parametrize("kind", ["embedded", "redis"])
async def test_open_circuits_are_reported_and_forgotten(kind: str, request: pytest.FixtureRequest) -> None:
    store = EmbeddedRedis() if kind == "embedded" else Redis(url=request.getfixturevalue("redis_server"))
    await store.connect()
    fleet = RedisFleet(redis=store, prefix="ns", period=1.0)
    assert await fleet.reported_circuits() == []
    opened = [OpenCircuit("host/*/hooks.example:8443", 5.0, 30.0), OpenCircuit("api/aaa", 7.5, 1.0)]
    await fleet.report_circuits(opened, 60.0)
    api, host = await fleet.reported_circuits()
    assert (api.subject, api.since, host.subject) == ("api/aaa", 7.5, "host/*/hooks.example:8443")
    assert 29.0 < host.probe_in <= 30.0
    await fleet.report_circuits(opened[:1], 0.0)
    assert {it.subject for it in await fleet.reported_circuits()} <= {"api/aaa"}
    await store.close()
