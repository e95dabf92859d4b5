"""The scripts of the shared cache do what the plain Python does, and of all who look for a fact one fetches it."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from notification_sender.adapters.redis.shared_cache import RedisSharedCache
from notification_sender.ports.cache import CacheEntry
from tests.oracles.shared_cache import MemorySharedCache
from tests.steered import Bench, Overheard, Steered
from tests.virtual import VirtualClock

# Long, for keys end in the server's own time and nothing else does.
LEASE, SOFT, HARD, TTL = 300.0, 4_000.0, 5_000.0, 1e9

names = st.lists(st.sampled_from("ab"), min_size=1, max_size=2, unique=True)
tokens = st.sampled_from(["t-1", "t-2", "t-3"])
fetches = st.sampled_from([100.0, 200.0, 300.0])
facts = st.none() | st.builds(
    CacheEntry, st.sampled_from([b"one", b"\x00\xff\r\n"]), fetches, *map(st.just, (SOFT, HARD, TTL))
)
pauses = st.sampled_from([0.5, LEASE - 0.5, LEASE, SOFT, HARD, -0.5, -LEASE, -86_400.0])


class SharedCaches(RuleBasedStateMachine):
    """One history, told to both."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench, self.clock, self.prefix = bench, VirtualClock(), bench.prefix()
        self.woken: list[str] = []
        self.plain = MemorySharedCache(clock=self.clock, wake=self.woken.append, lease=LEASE)
        self.overheard = Overheard(bench.store, f"{self.prefix}:said")
        steered = Steered(self.overheard, self.clock)
        self.scripts = RedisSharedCache(redis=steered, channel=f"{self.prefix}:said", lease=LEASE)
        self.fetching: dict[str, tuple[str, float]] = {}
        """By fact: who was told to fetch it, and until when nobody else is."""

    def both(self, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        expected, reply = self.bench.run(self._both(ask))
        assert reply == expected
        return reply

    async def _both(self, ask: Callable[[Any], Awaitable[Any]]) -> tuple[Any, Any]:
        return await ask(self.plain), await ask(self.scripts)

    def at(self, name: str) -> str:
        return f"{self.prefix}:{name}"

    @rule(names=names, token=tokens, unusable=st.just(0.0) | fetches)
    def look(self, names: list[str], token: str, unusable: float) -> None:
        looks = self.both(lambda it: it.lookup({self.at(name): unusable for name in names}, token))
        for name, look in zip(names, looks, strict=True):
            if look.fetcher == "you":
                holder, until = self.fetching.get(name, (token, 0.0))
                assert holder == token or until <= self.clock.now()
                self.fetching[name] = (token, self.clock.now() + LEASE)

    @rule(names=names, first=tokens, second=tokens, age=st.sampled_from([0.0, SOFT, HARD]), end=facts)
    def fetch_while_another_looks(
        self, names: list[str], first: str, second: str, age: float, end: CacheEntry | None
    ) -> None:
        self.look(names, first, 0.0)
        self.fill({name: CacheEntry(b"one", 100.0, SOFT, HARD, TTL) for name in names}, first)
        self.let_time_pass(age)
        self.look(names, first, 0.0)
        self.look(names, second, 0.0)
        self.fill(dict.fromkeys(names, end), first)

    @rule(names=names, token=tokens, late=pauses, fact=facts)
    def fetch_for_long(self, names: list[str], token: str, late: float, fact: CacheEntry | None) -> None:
        self.look(names, token, 0.0)
        self.let_time_pass(late)
        self.extend(names, token)
        self.fill(dict.fromkeys(names, fact), token)

    @rule(facts=st.dictionaries(st.sampled_from("ab"), facts, min_size=1), token=tokens)
    def fill(self, facts: dict[str, CacheEntry | None], token: str) -> None:
        self.both(lambda it: it.store({self.at(name): fact for name, fact in facts.items()}, token, "503"))
        self.fetching = {it: held for it, held in self.fetching.items() if it not in facts or held[0] != token}

    @rule(names=names, token=tokens)
    def extend(self, names: list[str], token: str) -> None:
        self.both(lambda it: it.renew_leases([self.at(name) for name in names], token))

    @rule(seconds=pauses)
    def let_time_pass(self, seconds: float) -> None:
        self.clock.jump(seconds)
        if seconds < 0:  # a lease that lasts longer than any is none
            self.fetching.clear()

    @rule()
    def flush(self) -> None:
        self.plain.forget()
        self.woken.clear()
        self.fetching.clear()
        self.bench.run(self.bench.store.execute("FLUSHALL"))

    def teardown(self) -> None:
        assert self.bench.run(self.overheard.said()) == self.woken


@pytest.mark.timeout(600)
def test_the_scripts_answer_what_plain_python_does(bench: Bench) -> None:
    bench.play(SharedCaches)
