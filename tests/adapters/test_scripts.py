"""The scripts do what the plain Python does: the same history, step by step the same replies, the same records."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from steered import Steered
from virtual import VirtualClock

from notification_sender.adapters.embedded_redis import EmbeddedRedis
from notification_sender.adapters.memory_ledger import MemoryLedger, Record
from notification_sender.adapters.memory_places import Place
from notification_sender.adapters.redis import Redis, Store
from notification_sender.adapters.redis_ledger import RedisLedger
from notification_sender.policy.limits import SECOND, Limit
from notification_sender.ports import Ask, Busy, Claim, Crashed, Final, Key, Mine, Throttled, Tried

LEASE, HORIZON, PATIENCE = 30.0, 60.0, 100.0
DAY = 86_400.0
# Records end in the server's own time: no history may last so long on the clock that jumps.
LONGER_THAN_ANY_HISTORY = 1000 * DAY

keys = st.sampled_from([Key("org-1", "notification", f"n-{number}") for number in range(4)])
places = st.sampled_from([Key("org-1", "destination", f"hook-{number}") for number in range(3)])
tokens = st.sampled_from(["t-1", "t-2", "t-3"])
attempts = st.sampled_from([1, 1, 1, 1, 2, 3])
replays = st.sampled_from([False, False, False, True])
finals = st.builds(
    Final,
    st.sampled_from(["delivered", "suppressed", "dead", "done"]),
    st.sampled_from(["", "200 OK\r\nüñ"]),
    st.sampled_from([(), ("n-0",), ("n-0", "n-1")]),
)
# Slow enough that no key expires in the server's own time while a history runs.
limits = st.lists(
    st.sampled_from(
        [
            Limit("webhook", 7 * SECOND, 1),
            Limit("organization", 11 * SECOND + 1, 3),
            Limit("hook", 25 * SECOND, 2),
        ]
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda limit: limit.name,
)
pauses = st.sampled_from([0.25, 7.0, 11.000_001, LEASE, LEASE, HORIZON, 300.0, -5.0, -DAY])
shifts = st.sampled_from([0.0, 0.0, 0.0, -0.000_001, 0.000_001, 6.999_999, 7.0])


@dataclass
class Pair:
    """One history, told to both."""

    clock: VirtualClock
    plain: MemoryLedger
    scripts: RedisLedger
    claims: list[Claim] = field(default_factory=lambda: [Claim(Key("org-1", "notification", "n-0"), "t-9", 7)])
    delay: float = 0.0
    """What the last one that has to wait was told."""

    async def both(self, ask: Callable[[Any], Awaitable[Any]]) -> None:
        expected, reply = await ask(self.plain), await ask(self.scripts)
        assert reply == expected
        if isinstance(reply, Mine | Crashed):
            self.claims.append(reply.claim)
        if isinstance(reply, Busy | Throttled):
            self.delay = reply.delay


Step = Callable[[Pair], Awaitable[None]]


def passing(seconds: float) -> Step:
    async def step(pair: Pair) -> None:
        pair.clock.jump(seconds)

    return step


def waiting(shift: float) -> Step:
    async def step(pair: Pair) -> None:
        pair.clock.jump(pair.delay + shift)

    return step


def claiming(key: Key, token: str, attempt: int, replayed: bool) -> Step:  # noqa: FBT001 - drawn
    return lambda pair: pair.both(lambda it: it.claim(key, token, attempt, replayed=replayed))


def admitting(ask: Ask) -> Step:
    return lambda pair: pair.both(lambda it: it.admit(ask))


def beginning(which: int) -> Step:
    return lambda pair: pair.both(lambda it: it.begin(pair.claims[which % len(pair.claims)]))


def finishing(which: int, final: Final, tried: Tried | None) -> Step:
    return lambda pair: pair.both(lambda it: it.finish(pair.claims[which % len(pair.claims)], final, tried))


def releasing(which: int, attempt: int, delay: float, tried: Tried | None) -> Step:
    return lambda pair: pair.both(
        lambda it: it.release(pair.claims[which % len(pair.claims)], attempt, delay=delay, tried=tried)
    )


def renewing(which: int) -> Step:
    return lambda pair: pair.both(lambda it: it.renew(pair.claims[which % len(pair.claims)]))


def noting(key: Key, final: Final) -> Step:
    return lambda pair: pair.both(lambda it: it.note(key, final))


recipients = st.just(Key("org-1", "recipient", "0123"))
verdicts = st.sampled_from(["accepted", "failed", "failed", "failed", "gone", "neither"])
tries = st.builds(Tried, places, verdicts, st.just("{}"), st.sampled_from([0.0, 0.0, 5.0, 2 * HORIZON]))
asks = st.builds(Ask, keys, tokens, attempts, replays, places, recipients, limits)
latest = st.sampled_from([-1, -1, -1, -2, 0])
weights = {
    st.builds(passing, pauses): 2,
    st.builds(waiting, shifts): 4,
    st.builds(claiming, keys, tokens, attempts, replays): 2,
    st.builds(admitting, asks): 12,
    st.builds(beginning, latest): 3,
    st.builds(finishing, latest, finals, st.none() | tries): 1,
    st.builds(releasing, latest, attempts, st.sampled_from([0.0, 7.5]), st.none() | tries): 5,
    st.builds(renewing, latest): 1,
    st.builds(noting, keys, finals): 1,
}
steps = st.sampled_from([step for step, weight in weights.items() for _ in range(weight)]).flatmap(lambda it: it)
histories = st.lists(steps, min_size=20, max_size=60)


def fields(record: Record) -> dict[str, str]:
    """As the hash has it: what says nothing is not there."""
    booking = record.booking
    shown = {
        "state": record.state,
        "attempt": record.attempt,
        "fence": record.fence,
        "token": record.token,
        "lease": record.lease,
        "takeovers": record.takeovers,
        "doubt": int(record.doubt),
        "due": record.due,
        "limit": booking and booking.limit,
        "slot": booking and booking.due,
        "text": record.text,
        "notifications": " ".join(record.notifications),
    }
    return {name: str(value) for name, value in shown.items() if value}


def place_fields(place: Place) -> dict[str, str]:
    shown = {"failing": place.failing, "off": place.off, "until": place.until, "hold": place.hold}
    return {name: str(value) for name, value in shown.items() if value}


class Bench:
    """One store and one loop for all histories; each has keys of its own."""

    def __init__(self, store: Redis | EmbeddedRedis, runner: asyncio.Runner) -> None:
        self._store: Store = store
        self._runner = runner
        self._prefixes = count()

    def compare(self, history: list[Step]) -> None:
        self._runner.run(self._compare(history))

    async def _compare(self, history: list[Step]) -> None:
        clock, prefix = VirtualClock(), f"t{next(self._prefixes)}"
        times: dict[str, Any] = {
            "lease": LEASE,
            "ledger_ttl": LONGER_THAN_ANY_HISTORY,
            "horizon": HORIZON,
            "disable_after": PATIENCE,
        }
        scripts = RedisLedger(redis=Steered(self._store, clock), prefix=prefix, **times)
        pair = Pair(clock, MemoryLedger(clock=clock, **times), scripts)
        for step in history:
            await step(pair)
        for key, record in pair.plain.records.items():
            assert await self._hash(scripts._at(key)) == fields(record)
            assert await self._store.execute("LLEN", f"{scripts._at(key)}:story") == len(pair.plain.stories[key])
        for key, place in pair.plain.places.places.items():
            assert await self._hash(scripts._at(key)) == place_fields(place)
        for (organization, name), known in pair.plain.arrivals.items():
            told = b"%d %d %d" % (known.booked, known.sent, known.skew)
            assert await self._store.execute("GET", f"{prefix}:1:{{{organization}}}:limit:{name}") == told

    async def _hash(self, key: str) -> dict[str, str]:
        flat = await self._store.execute("HGETALL", key)
        stored = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
        return {name: value for name, value in stored.items() if value not in {"", "0"}}


@pytest.fixture(scope="module", params=["embedded", "redis"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    store: Redis | EmbeddedRedis = EmbeddedRedis()
    if request.param == "redis":
        store = Redis(url=request.getfixturevalue("redis_url"))
    with asyncio.Runner() as runner:
        runner.run(store.connect())
        yield Bench(store, runner)
        runner.run(store.close())


@given(histories)
@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_a_script_answers_and_records_what_the_plain_ledger_does(bench: Bench, history: list[Step]) -> None:
    bench.compare(history)
