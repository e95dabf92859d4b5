"""The script that allots calls does what the plain Python does, and whatever happens the budget holds."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from notification_sender.adapters.redis.fleet import RedisFleet
from notification_sender.ports.fleet import AllocationRequest
from tests.oracles.fleet import MemoryFleet
from tests.steered import Bench, Steered
from tests.virtual import VirtualClock

BUDGET = 7
# Long, for keys end in the server's own time and nothing else does.
PERIOD, LONG = 1000.0, 1e6
API = "aaa"

places = st.integers(0, 2 * BUDGET)


@dataclass
class Pod:
    """What one process holds and does."""

    name: str
    allocated: int = 0
    in_flight: int = 0


class Fleets(RuleBasedStateMachine):
    """One history, told to both. All that live announce themselves within a period: that is what living means."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench, self.clock = bench, VirtualClock()
        self.plain = MemoryFleet(clock=self.clock, period=PERIOD)
        self.scripts = RedisFleet(redis=Steered(bench.store, self.clock), prefix=bench.prefix(), period=PERIOD)
        self.pods: list[Pod] = []
        self.names = (f"pod-{number}" for number in count())

    def both(self, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        expected, reply = self.bench.run(self._both(ask))
        assert reply == expected
        return reply

    async def _both(self, ask: Callable[[Any], Awaitable[Any]]) -> tuple[Any, Any]:
        return await ask(self.plain), await ask(self.scripts)

    def announced(self, pod: Pod, wanted: int) -> None:
        request = AllocationRequest(BUDGET, pod.in_flight, pod.allocated, wanted)
        pod.allocated = self.both(lambda it: it.allocate(API, pod.name, request))

    def pod(self, which: int) -> Pod:
        return self.pods[which % len(self.pods)]

    @precondition(lambda self: self.pods)
    @rule(which=places, wanted=st.integers(0, 2))
    def announce(self, which: int, wanted: int) -> None:
        self.announced(self.pod(which), wanted)

    @rule(periods=st.integers(1, 4))
    def let_periods_pass(self, periods: int) -> None:
        for _ in range(periods):
            self.clock.jump(PERIOD / 2)
            for pod in self.pods:
                self.announced(pod, pod.in_flight)
            self.clock.jump(PERIOD / 2)

    @precondition(lambda self: self.pods)
    @rule(which=places, calls=st.integers(0, BUDGET))
    def call(self, which: int, calls: int) -> None:
        pod = self.pod(which)
        pod.in_flight = min(calls, pod.allocated)

    @rule(many=st.sampled_from([1, 1, 1, BUDGET]))
    def start(self, many: int) -> None:
        self.pods += [Pod(next(self.names)) for _ in range(many)]

    @precondition(lambda self: self.pods)
    @rule(which=places)
    def die(self, which: int) -> None:
        self.pods.remove(self.pod(which))

    @rule(seconds=st.sampled_from([PERIOD / 2, PERIOD, 86_400.0]))
    def set_the_clock_back(self, seconds: float) -> None:
        self.clock.jump(-seconds)

    @rule(seconds=st.just(LONG))
    def probe(self, seconds: float) -> None:
        self.both(lambda it: it.try_acquire_probe(API, seconds))

    @rule()
    def probed(self) -> None:
        self.both(lambda it: it.release_probe(API))

    @rule()
    def flush(self) -> None:
        self.plain.forget()
        self.bench.run(self.bench.store.execute("FLUSHALL"))

    @invariant()
    def the_budget_holds(self) -> None:
        assert sum(pod.in_flight for pod in self.pods) <= BUDGET
        assert all(pod.in_flight <= pod.allocated for pod in self.pods)


@pytest.mark.timeout(600)
def test_the_script_allots_what_plain_python_does(bench: Bench) -> None:
    bench.play(Fleets)
