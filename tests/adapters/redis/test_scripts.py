"""The scripts of the ledger do what the plain Python does: step by step the same replies, at last the same records."""

import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from notification_sender.adapters.memory.pubsub import MemoryPubSub
from notification_sender.adapters.redis.keys import story_key
from notification_sender.adapters.redis.ledger import RedisLedger
from notification_sender.adapters.redis.operators import RedisDestinations, RedisSuppressions
from notification_sender.adapters.redis.overrides import RedisOverrides, field
from notification_sender.model.override import PauseScope
from notification_sender.policy.limits import SECOND, Limit
from notification_sender.ports.ledger import (
    AdmissionRequest,
    AttemptReport,
    Busy,
    Claim,
    Claimed,
    Crashed,
    Key,
    Paused,
    TerminalState,
    Throttled,
    UnitEnd,
)
from tests.oracles.ledger import MemoryLedger
from tests.oracles.places import Place
from tests.oracles.record import Record
from tests.steered import Bench, Steered
from tests.virtual import VirtualClock

LEASE, HORIZON, PATIENCE = 30.0, 40.0, 100.0
DAY = 86_400.0
# Records end in the server's own time: no history may last so long on the clock that jumps.
LONGER_THAN_ANY_HISTORY = 1000 * DAY

KEYS = [Key("org-1", "notification", f"n-{number}") for number in range(3)]
RECIPIENTS = [Key("org-1", "recipient", name) for name in ("0123", "4567")]
PLACES = [Key("org-1", "destination", f"hook-{number}:0a1b") for number in range(2)]
BATCH = "batch-1"

keys, places, recipients = st.sampled_from(KEYS), st.sampled_from(PLACES), st.sampled_from(RECIPIENTS)
tokens = st.sampled_from(["t-1", "t-2", "t-3"])
attempts = st.sampled_from([1, 1, 1, 2, 3])
replays = st.sampled_from([0, 0, 0, 1, 1, 2])
entries = st.sampled_from(['{"outcome":"deferred","reason":"a"}', '{"outcome":"deferred","reason":"a","host":"b"}'])
finals = st.builds(
    TerminalState,
    st.sampled_from(["delivered", "suppressed", "dead", "dead", "done"]),
    st.sampled_from(["", "200 OK\r\nüñ"]),
    st.sampled_from([(), ("n-0",), ("n-0", "n-1")]),
    entry=st.just("") | entries,
)
# Slow enough that no key expires in the server's own time while a history runs.
limits = st.lists(
    st.sampled_from(
        [
            Limit("webhook", 7 * SECOND, 1),
            Limit("webhook", 19 * SECOND, 2, era="1"),
            Limit("organization", 11 * SECOND + 1, 3),
            Limit("hook", 25 * SECOND, 2),
        ]
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda limit: limit.name,
)
asks = st.builds(
    AdmissionRequest,
    keys,
    tokens,
    replays,
    attempts,
    places,
    recipients,
    limits,
    st.sampled_from(["webhook", "email"]),
    st.sampled_from(["hook-0", "hook-1"]),
    st.sampled_from([None, 1.0]),
)
scopes = st.sampled_from(
    [PauseScope("org-1"), PauseScope("org-1", channel="email"), PauseScope("org-1", destination_id="hook-1")]
)
verdicts = st.sampled_from(["accepted", "failed", "failed", "failed", "gone", "neither"])
report = st.builds(
    AttemptReport,
    places,
    verdicts,
    st.sampled_from(['{"outcome":"failed"}', '{"outcome":"failed","at":1}']),
    st.sampled_from([0.0, 0.0, 5.0, 2 * HORIZON]),
)
delays = st.sampled_from([0.0, 7.5])
latest = st.sampled_from([-1, -1, -1, -2, -3, 0])
pauses = st.sampled_from([0.25, 7.0, 11.000_001, LEASE, LEASE, HORIZON, 300.0, 8 * DAY, -5.0, -DAY])
shifts = st.sampled_from([0.0, 0.0, 0.0, -0.000_001, 0.000_001, 6.999_999, 7.0, 60.0])


class Ledgers(RuleBasedStateMachine):
    """One history, told to both."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.bench, self.clock, self.prefix = bench, VirtualClock(), bench.prefix()
        times: dict[str, Any] = {
            "lease": LEASE,
            "ledger_ttl": LONGER_THAN_ANY_HISTORY,
            "story_ttl": LONGER_THAN_ANY_HISTORY,
            "horizon": HORIZON,
            "disable_after": PATIENCE,
        }
        self.plain = MemoryLedger(clock=self.clock, process="worker:1", **times)
        self.scripts = RedisLedger(
            redis=Steered(bench.store, self.clock), prefix=self.prefix, process="worker:1", **times
        )
        self.given = [Claim(KEYS[0], "t-9", 7)]
        """Claims; this one never was."""
        self.fences: dict[Key, int] = {}
        """The highest that was given."""
        self.waiting: list[tuple[AdmissionRequest, float]] = []
        """Those that have to, and until when."""

    def both(self, ask: Callable[[Any], Awaitable[Any]]) -> Any:
        expected, reply = self.bench.run(self._both(ask))
        assert reply == expected
        if isinstance(reply, Claimed | Crashed):
            assert reply.claim.fence >= self.fences.get(reply.claim.key, 1)
            self.fences[reply.claim.key] = reply.claim.fence
            self.given.append(reply.claim)
        return reply

    async def _both(self, ask: Callable[[Any], Awaitable[Any]]) -> tuple[Any, Any]:
        return await ask(self.plain), await ask(self.scripts)

    def admitted(self, ask: AdmissionRequest) -> bool:
        reply = self.both(lambda it: it.admit(ask))
        if isinstance(reply, Busy | Throttled | Paused):
            self.waiting.append((ask, self.clock.now() + reply.delay))
        return isinstance(reply, Claimed)

    @rule(ask=asks, crowd=st.lists(keys, min_size=1, max_size=5))
    def admit(self, ask: AdmissionRequest, crowd: list[Key]) -> None:
        for key in crowd:
            self.admitted(replace(ask, key=key))

    @precondition(lambda self: self.waiting)
    @rule(many=st.integers(1, 3), token=tokens, shift=shifts)
    def come_back_when_told(self, many: int, token: str, shift: float) -> None:
        back, self.waiting = self.waiting[:many], self.waiting[many:]
        self.clock.jump(max(0.0, max(due for _, due in back) + shift - self.clock.now()))
        for ask, _ in back:
            self.admitted(replace(ask, token=token))

    @rule(ask=asks, tries=st.lists(report, min_size=2, max_size=3), pause=pauses)
    def try_in_vain(self, ask: AdmissionRequest, tries: list[AttemptReport], pause: float) -> None:
        for each in tries:
            if self.admitted(ask):
                self.begin(-1)
                self.release(-1, ask.attempt, 0.0, replace(each, destination=ask.destination), None)
            self.clock.jump(pause)

    @rule(ask=asks, sending=st.lists(st.booleans(), min_size=1, max_size=6))
    def die_with_it(self, ask: AdmissionRequest, sending: list[bool]) -> None:
        for number, begun in enumerate(sending):
            if self.admitted(replace(ask, token=f"t-{number}")) and begun:
                self.begin(-1)
            self.clock.jump(LEASE)

    @rule(key=keys, token=tokens, attempt=attempts, replays=replays, alone=st.booleans())
    def claim(self, key: Key, token: str, attempt: int, replays: int, alone: bool) -> None:  # noqa: FBT001 - drawn
        self.both(lambda it: it.claim(key, token, attempt, replays=replays, alone=alone))

    @rule(which=latest)
    def begin(self, which: int) -> None:
        claim = self.held(which)
        if self.both(lambda it: it.begin(claim)):
            assert claim.fence == self.fences[claim.key]

    @rule(which=latest)
    def renew(self, which: int) -> None:
        claim = self.held(which)
        if self.both(lambda it: it.renew(claim)):
            assert claim.fence == self.fences[claim.key]

    @rule(which=latest, final=finals, report=st.none() | report, of=st.none() | latest)
    def finish(self, which: int, final: TerminalState, report: AttemptReport | None, of: int | None) -> None:
        claim, unit = self.held(which), self.unit_end(of)
        self.both(lambda it: it.finish(claim, final, report, unit))

    @rule(
        which=latest,
        attempt=attempts,
        delay=delays,
        report=st.none() | report,
        of=st.none() | latest,
        entry=st.just("") | entries,
    )
    def release(  # noqa: PLR0917 - drawn
        self, which: int, attempt: int, delay: float, report: AttemptReport | None, of: int | None, entry: str = ""
    ) -> None:
        claim, unit = self.held(which), self.unit_end(of)
        self.both(lambda it: it.release(claim, attempt, delay=delay, report=report, unit=unit, entry=entry))

    def unit_end(self, which: int | None) -> UnitEnd | None:
        return None if which is None else UnitEnd(self.held(which), "n-1")

    def held(self, which: int) -> Claim:
        return self.given[which % len(self.given)]

    @rule(key=keys, entry=entries, delay=delays)
    def note_deferral(self, key: Key, entry: str, delay: float) -> None:
        self.both(lambda it: it.note_deferral(key, entry, delay=delay))

    @rule(key=keys, final=finals)
    def note(self, key: Key, final: TerminalState) -> None:
        self.both(lambda it: it.note(key, final))

    @rule(key=keys, size=st.integers(1, 3))
    def register(self, key: Key, size: int) -> None:
        self.both(lambda it: it.register(BATCH, size, key))

    @rule(seconds=pauses)
    def let_time_pass(self, seconds: float) -> None:
        self.clock.jump(seconds)

    @rule(place=places)
    def enable(self, place: Key) -> None:
        if place in self.plain.places.places:
            self.plain.places.places[place].until = 0
        people = RedisDestinations(redis=self.bench.store, prefix=self.prefix)
        self.bench.run(people.enable("org-1", place.id.partition(":")[0]))

    @rule(recipient=recipients, wanted=st.booleans())
    def suppress(self, recipient: Key, wanted: bool) -> None:  # noqa: FBT001 - drawn
        people = RedisSuppressions(redis=self.bench.store, prefix=self.prefix)
        if wanted:
            self.plain.unsubscribed.discard(recipient)
            self.bench.run(people.unsuppress("org-1", [recipient.id]))
        else:
            self.plain.unsubscribed.add(recipient)
            self.bench.run(people.suppress("org-1", [recipient.id], seconds=LONGER_THAN_ANY_HISTORY, reason=""))

    @rule(name=scopes.map(field) | st.just("off/hook-1"), seconds=st.sampled_from([0.0, 7.0, 3600.0, 60 * DAY]))
    def pause(self, name: str, seconds: float) -> None:
        until = round((self.clock.now() + seconds) * SECOND)
        self.plain.pauses["org-1", name] = until
        key = f"{self.prefix}:1:{{org-1}}:pauses"
        self.bench.run(self.bench.store.execute("HSET", key, name, until))

    @rule(scope=scopes)
    def resume(self, scope: PauseScope) -> None:
        self.plain.pauses.pop(("org-1", field(scope)), None)
        overrides = RedisOverrides(redis=self.bench.store, prefix=self.prefix, pubsub=MemoryPubSub())
        self.bench.run(overrides.resume(scope))

    @rule()
    def flush(self) -> None:
        known = (self.plain.records, self.plain.arrivals, self.plain.stories.told, self.plain.places.places)
        mine = (self.fences, self.waiting)
        for each in (*known, self.plain.unsubscribed, self.plain.pauses, self.plain._batches, self.plain._sizes, *mine):
            each.clear()
        self.bench.run(self.bench.store.execute("FLUSHALL"))

    def teardown(self) -> None:
        self.both(lambda it: it.batches(BATCH))
        self.both(lambda it: it.unit_states(BATCH, "org-1"))
        self.bench.run(self._compare())

    async def _compare(self) -> None:
        plain, at = self.plain, self.scripts._at
        for key, record in plain.records.items():
            assert await self._hash(at(key)) == fields(record)
        for key, told in plain.stories.told.items():
            stored = await self.bench.store.execute("LRANGE", story_key(at(key)), 0, -1)
            assert [json.loads(it) for it in stored] == told
        for key, place in plain.places.places.items():
            assert await self._hash(at(key)) == place_fields(place)
        for (organization, name), known in plain.arrivals.items():
            told = b"%d %d %d" % (known.booked, known.sent, known.skew)
            assert await self.bench.store.execute("GET", f"{self.prefix}:1:{{{organization}}}:limit:{name}") == told

    async def _hash(self, key: str) -> dict[str, str]:
        flat = await self.bench.store.execute("HGETALL", key)
        stored = {name.decode(): value.decode() for name, value in zip(flat[::2], flat[1::2], strict=True)}
        return {name: value for name, value in stored.items() if value not in {"", "0"}}


def fields(record: Record) -> dict[str, str]:
    """As the hash has it: what says nothing is not there."""
    booking = record.booking
    shown = {
        "state": record.state,
        "replays": record.replays,
        "attempt": record.attempt,
        "fence": record.fence,
        "token": record.token,
        "holder": record.holder,
        "first": record.first,
        "noted": record.noted,
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


@pytest.mark.timeout(600)
def test_the_scripts_answer_and_record_what_the_plain_ledger_does(bench: Bench) -> None:
    bench.play(Ledgers)
