"""What a fleet settles: the script on Redis and on the embedded one, and plain Python that says what it must do."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from steered import Steered
from virtual import VirtualClock

from notification_sender.adapters.embedded_redis import EmbeddedRedis
from notification_sender.adapters.memory_fleet import MemoryFleet
from notification_sender.adapters.redis import Redis
from notification_sender.adapters.redis_fleet import RedisFleet
from notification_sender.ports import Fleet, Share

BUDGET = 7


@dataclass
class Pod:
    """What one process holds and does."""

    name: str
    held: int = 0
    under_way: int = 0

    async def announce(self, fleet: Fleet, wanted: int = 100) -> int:
        self.held = await fleet.allot("aaa", self.name, Share(BUDGET, self.under_way, self.held, wanted))
        return self.held


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
        return [self.pods[name].held for name in names]


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
    stand.pods["a"].under_way = 7
    assert await stand.rounds(2, "b", "a") == [0, 7]
    stand.pods["a"].under_way = 3
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
    assert [await stand.fleet.probe("aaa", 60.0) for _ in range(3)] == [True, False, False]
    assert await stand.fleet.probe("assets", 60.0)
    await stand.fleet.probed("aaa")
    assert await stand.fleet.probe("aaa", 60.0)


steps = st.lists(
    st.one_of(
        st.tuples(st.just("announce"), st.sampled_from("abcd")),
        st.tuples(st.just("call"), st.sampled_from("abcd")),
        st.tuples(st.just("end"), st.sampled_from("abcd")),
        st.tuples(st.just("flush"), st.none()),
        st.tuples(st.just("tick"), st.none()),
    ),
    max_size=60,
)


@settings(max_examples=100, deadline=None)
@given(steps)
def test_whatever_happens_the_budget_holds_and_the_script_does_what_plain_python_does(
    history: list[tuple[str, str | None]],
) -> None:
    async def play() -> None:
        clock, store = VirtualClock(), EmbeddedRedis()
        fleets = [
            MemoryFleet(clock=clock, period=1.0),
            RedisFleet(redis=Steered(store, clock), prefix="ns", period=1.0),
        ]
        pods = {name: Pod(name) for name in "abcd"}
        for what, name in history:
            match what:
                case "flush":
                    fleets[0].forget()  # type: ignore[union-attr]
                    await store.execute("FLUSHALL")
                case "tick":  # all announce themselves within a period: that is the promise of a live one
                    clock.jump(0.5)
                    for pod in pods.values():
                        await announce(pod, fleets)
                    clock.jump(0.5)
                case _:
                    await step(pods[str(name)], what, fleets)
            assert sum(pod.under_way for pod in pods.values()) <= BUDGET
            assert all(pod.under_way <= pod.held for pod in pods.values())
        await store.close()

    asyncio.run(play())


async def step(pod: Pod, what: str, fleets: list[Any]) -> None:
    if what == "call" and pod.under_way < pod.held:
        pod.under_way += 1
    elif what == "end" and pod.under_way:
        pod.under_way -= 1
    elif what == "announce":
        await announce(pod, fleets)


async def announce(pod: Pod, fleets: list[Any]) -> None:
    before = pod.held
    held = []
    for fleet in fleets:
        pod.held = before
        held.append(await pod.announce(fleet, wanted=pod.under_way))
    assert held[0] == held[1]
