"""Several processes and one API: how much it is called, when it is left alone, and who tries it again."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from structlog.testing import capture_logs

from notification_sender.adapters.memory.pubsub import MemoryPubSub
from notification_sender.context.upstream.guard import CallPermit, Guard, Health
from notification_sender.context.upstream.guards import Guards
from notification_sender.context.upstream.intake import UpstreamIntakeGate
from notification_sender.fleet.circuit import Change
from notification_sender.model.errors import ContextUnavailable, Outage, Unready
from notification_sender.model.override import Override
from tests.context.fakes import LoopClock, guard_of, run_timeless, until
from tests.oracles.fleet import MemoryFleet


class Fleet:
    """So many processes, that hear each other at once."""

    def __init__(self, size: int, budget: int | None = None) -> None:
        self.clock = LoopClock()
        self.pubsub = MemoryPubSub()
        self.fleet = MemoryFleet(clock=self.clock, period=1.0)
        self.pods = [self.join(budget) for _ in range(size)]

    def join(self, budget: int | None = None) -> Guards:
        guard = guard_of("incidents", self.clock, fleet=self.fleet, pubsub=self.pubsub, budget=budget)
        return Guards([guard], fleet=self.fleet, pubsub=self.pubsub)

    @property
    def guards(self) -> list[Guard]:
        return [pod.by_api["incidents"] for pod in self.pods]


@asynccontextmanager
async def permitted(guard: Guard) -> AsyncIterator[CallPermit]:
    permit = await guard.acquire()
    try:
        yield permit
    finally:
        await guard.release(permit)


async def call(guard: Guard, health: Health, wish: float | None = None, seconds: float = 0.0) -> None:
    async with permitted(guard) as permit:
        await asyncio.sleep(seconds)
        permit.health, permit.wish = health, wish


async def break_(guard: Guard) -> None:
    for _ in range(5):
        await call(guard, Health.FAILED)


def test_what_one_process_finds_out_the_whole_fleet_knows_at_once() -> None:
    async def main() -> None:
        here, there = Fleet(2).guards
        await break_(here)
        for guard in (here, there):
            with pytest.raises(Outage, match="incidents is out"):
                await call(guard, Health.WELL)

    run_timeless(main())


def test_one_probe_of_the_whole_fleet_finds_out_that_it_is_well_again() -> None:
    async def main() -> None:
        guards = Fleet(5).guards
        await break_(guards[0])
        await asyncio.sleep(1.5)
        probes = [asyncio.create_task(call(guard, Health.WELL, seconds=1.0)) for guard in guards * 3]
        await asyncio.wait(probes)
        assert sum(probe.exception() is None for probe in probes) == 1
        await asyncio.gather(*(call(guard, Health.WELL) for guard in guards))

    run_timeless(main())


def test_a_probe_that_fails_keeps_everybody_away_for_longer() -> None:
    async def main() -> None:
        here, there = Fleet(2).guards
        await break_(here)
        await asyncio.sleep(1.1)
        await call(there, Health.FAILED)
        assert here.probe_in == pytest.approx(2.0, abs=0.01)
        await asyncio.sleep(2.1)
        await call(here, Health.FAILED)
        assert there.probe_in == pytest.approx(4.0, abs=0.01)

    run_timeless(main())


def test_an_api_that_wants_to_be_left_alone_is_by_everybody_for_as_long_as_it_says() -> None:
    async def main() -> None:
        here, there = Fleet(2).guards
        await call(here, Health.OVERLOADED, wish=7.0)
        await asyncio.sleep(6.9)
        with pytest.raises(Outage):
            await call(there, Health.WELL)
        await asyncio.sleep(0.2)
        await call(there, Health.WELL)
        assert not here.out

    run_timeless(main())


def test_whoever_waits_for_room_comes_in_turn_and_is_sent_away_when_it_goes_out() -> None:
    async def main() -> None:
        (guard,) = Fleet(1).guards
        done: list[int] = []
        slow = [asyncio.create_task(call(guard, Health.WELL, seconds=1.0)) for _ in range(50)]
        waiting = [asyncio.create_task(call(guard, Health.WELL)) for _ in range(5)]
        for number, task in enumerate(waiting):
            task.add_done_callback(lambda _, number=number: done.append(number))
        await until(lambda: guard.summary()["waiting"] == 5)
        waiting[2].cancel()
        await asyncio.wait(slow + waiting)
        assert done == [2, 0, 1, 3, 4]
        many = [asyncio.create_task(call(guard, Health.WELL, seconds=1.0)) for _ in range(200)]
        await until(lambda: guard.summary()["waiting"] > 0)
        inside = guard.summary()["in_flight"]
        guard.apply(Change("out", 5.0))
        await asyncio.wait(many)
        assert [isinstance(it.exception(), Outage) for it in many] == [False] * inside + [True] * (200 - inside)
        assert guard.summary()["in_flight"] == 0

    run_timeless(main())


def test_what_we_broke_off_ourselves_says_nothing_of_the_api() -> None:
    async def main() -> None:
        (guard,) = Fleet(1).guards
        for _ in range(30):
            task = asyncio.create_task(call(guard, Health.FAILED, seconds=1.0))
            await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])
        assert not guard.out
        assert guard.summary() == {"state": "well", "probe_in": 0.0, "limit": 50, "in_flight": 0, "waiting": 0}

    run_timeless(main())


# --- an API that hangs, and one that is slow ---------------------------------------------------------------


DEADLINE = 10.0


async def hangs(guard: Guard, organization: str = "", seconds: float = DEADLINE) -> None:
    """A call that is broken off at its deadline, as the client of the API tells of it."""
    async with permitted(guard) as permit:
        await asyncio.sleep(seconds)
        permit.health, permit.organization = Health.OVERLOADED, organization


async def answers(guard: Guard, seconds: float, health: Health = Health.WELL) -> None:
    async with permitted(guard) as permit:
        await asyncio.sleep(seconds)
        permit.health, permit.first_byte = health, seconds


def test_an_api_that_hangs_is_out_after_two_deadlines_though_it_is_asked_once_at_a_time() -> None:
    async def main() -> None:
        here, there = Fleet(2).guards
        await hangs(here)
        assert here.summary()["state"] == "well"
        await hangs(here)
        assert [it.summary()["state"] for it in (here, there)] == ["out", "out"]

    assert run_timeless(main()) == 2 * DEADLINE


def test_it_is_out_while_the_second_call_still_hangs() -> None:
    async def main() -> None:
        fleet = Fleet(1)
        (pod,), (guard,) = fleet.pods, fleet.guards
        pod.start()
        first = asyncio.create_task(hangs(guard))
        await asyncio.sleep(DEADLINE - 1)
        second = asyncio.create_task(hangs(guard))
        await first
        await asyncio.sleep(DEADLINE - 2)
        third = asyncio.create_task(hangs(guard))
        await second
        assert not guard.out
        await asyncio.sleep(2.5)
        assert not third.done()
        assert guard.out
        await third
        await pod.stop()

    run_timeless(main())


def test_an_error_is_an_answer() -> None:
    async def main() -> None:
        (guard,) = Fleet(1).guards
        for _ in range(10):
            await hangs(guard)
            await answers(guard, 1.0, Health.FAILED)
            await asyncio.sleep(DEADLINE)
        assert not guard.out

    run_timeless(main())


def test_records_of_one_organization_over_which_an_api_hangs_take_it_from_nobody() -> None:
    async def main() -> None:
        (guard,) = Fleet(1).guards
        for _ in range(10):
            await hangs(guard, organization="a")
        assert not guard.out
        await hangs(guard, organization="b")
        await hangs(guard, organization="c")
        assert guard.out

    run_timeless(main())


def test_time_that_our_own_loop_has_lost_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        clock = LoopClock()
        guard, began = guard_of("incidents", clock), clock.monotonic()
        monkeypatch.setattr(
            "notification_sender.context.upstream.guard.lost_seconds", lambda: 0.9 * (clock.monotonic() - began)
        )
        for _ in range(4):
            await hangs(guard)
        assert not guard.out

    run_timeless(main())


def test_when_it_has_answered_again_it_counts_anew() -> None:
    async def main() -> None:
        (guard,) = Fleet(1).guards
        await hangs(guard)
        await hangs(guard)
        await asyncio.sleep(1.1)
        await answers(guard, 1.0)
        assert not guard.out
        await hangs(guard)
        assert not guard.out

    run_timeless(main())


def test_what_answers_late_is_slow_and_is_called_all_the_same() -> None:
    async def main() -> list[tuple[str, int | None]]:
        fleet = Fleet(1)
        (guard,) = fleet.guards
        outages = UpstreamIntakeGate(fleet.pods[0], clock=fleet.clock)
        with capture_logs() as lines:
            for seconds in [1.5] * 20 + [0.9] * 20 + [0.1] * 20:
                await answers(guard, seconds)
                assert outages.admits()
        assert guard.summary()["state"] == "well"
        return [(line["event"], line["first_byte_ms"]) for line in lines]

    told: list[Any] = []

    async def tell() -> None:
        told.extend(await main())

    run_timeless(tell())
    assert told == [("api.slow", 1500), ("api.slow_ended", 500)]


def test_calls_that_hang_are_slow_too_unless_it_is_out() -> None:
    async def main() -> None:
        (guard,) = Fleet(1).guards
        for _ in range(11):
            await hangs(guard, organization="a")
            await answers(guard, 0.1)
        assert guard.summary()["state"] == "slow"
        for _ in range(2):
            await hangs(guard)
        assert guard.summary()["state"] == "out"
        await asyncio.sleep(1.1)
        await answers(guard, 0.1)
        assert guard.summary()["state"] == "well"

    run_timeless(main())


# --- budgets ----------------------------------------------------------------------------------------------


class Load:
    """Calls of all processes together, as the API sees them."""

    def __init__(self) -> None:
        self.now = self.peak = self.ended = 0

    @contextmanager
    def one(self) -> Iterator[None]:
        self.now += 1
        self.peak = max(self.peak, self.now)
        try:
            yield
        finally:
            self.now -= 1
            self.ended += 1

    async def caller(self, guard: Guard, seconds: float) -> None:
        while True:
            with suppress(ContextUnavailable):  # where there is no room for too long
                async with permitted(guard) as permit:
                    with self.one():
                        await asyncio.sleep(seconds)
                    permit.health = Health.WELL


def test_the_fleet_stays_within_its_budget_while_processes_come_and_go_and_the_store_is_flushed() -> None:
    async def main() -> None:
        fleet, load = Fleet(1, budget=10), Load()
        callers: list[asyncio.Task[None]] = []

        def begin(pod: Guards) -> None:
            pod.start()
            guard = pod.by_api["incidents"]
            callers.extend(asyncio.create_task(load.caller(guard, 1.7)) for _ in range(20))

        begin(fleet.pods[0])
        await asyncio.sleep(10)
        assert load.now == 10
        for _ in range(3):
            fleet.pods.append(fleet.join(budget=10))
            begin(fleet.pods[-1])
        await asyncio.sleep(20)
        fleet.fleet.forget()
        before = load.ended
        await asyncio.sleep(10)
        assert load.ended > before + 30  # it has not come to a stop
        await fleet.pods[0].stop()
        for caller in callers[:20]:
            caller.cancel()
        await asyncio.sleep(10)
        assert (load.now, load.peak) == (9, 10) or (load.now, load.peak) == (10, 10)
        for caller in callers:
            caller.cancel()
        for pod in fleet.pods:
            await pod.stop()

    run_timeless(main())


class Away:
    async def allocate(self, *_: object) -> int:
        raise Unready("the store is away")


def test_a_process_that_cannot_announce_itself_stops_calling_before_others_take_over() -> None:
    async def main() -> None:
        fleet = Fleet(1, budget=10)
        (pod,), (guard,) = fleet.pods, fleet.guards
        for _ in range(3):
            await pod.announce()
            await asyncio.sleep(1.0)
        calls = [asyncio.create_task(call(guard, Health.WELL, seconds=5.0)) for _ in range(4)]
        await until(lambda: guard.summary()["in_flight"] == 4)
        pod._fleet = Away()  # type: ignore[assignment]
        await pod.announce()
        assert guard.summary()["limit"] == 4, "nothing more is begun than is under way"
        await asyncio.sleep(1.0)
        await pod.announce()
        assert guard.summary()["limit"] == 0
        await asyncio.wait(calls)

    run_timeless(main())


# --- what it means for the intake -------------------------------------------------------------------------


def test_units_wait_while_what_stopped_one_is_out_but_for_a_probe() -> None:
    async def main() -> None:
        fleet = Fleet(1)
        (guard,) = fleet.guards
        outages = UpstreamIntakeGate(fleet.pods[0], clock=fleet.clock)
        await break_(guard)
        assert outages.admits(), "nothing was stopped by it yet"
        error = ContextUnavailable("incident: out")
        error.__cause__ = Outage("incidents", 1.0)
        outages.record_failure(ContextUnavailable("assets: 503"))
        assert outages.admits()
        outages.record_failure(error)
        assert not outages.admits()
        await asyncio.sleep(1.1)
        assert outages.admits()
        outages.unit_started()
        assert not outages.admits()
        await call(guard, Health.WELL)
        assert outages.admits()

    run_timeless(main())


def test_whoever_waits_for_a_change_is_told_of_probes_and_of_the_end() -> None:
    async def main() -> None:
        fleet = Fleet(1)
        (guard,) = fleet.guards
        outages = UpstreamIntakeGate(fleet.pods[0], clock=fleet.clock)
        time = asyncio.get_running_loop().time
        await break_(guard)
        await outages.changed()
        outages.record_failure(Outage("incidents", 1.0))
        await outages.changed()
        began = time()
        await outages.changed()
        assert time() - began == pytest.approx(1.0, abs=0.01)
        waiting = asyncio.create_task(outages.changed())
        asyncio.get_running_loop().call_later(0.5, partial(guard.apply, Change("well", 0.0)))
        began = time()
        await waiting
        assert time() - began == pytest.approx(0.5, abs=0.01)

    run_timeless(main())


def test_a_probe_does_not_exceed_the_budget_either() -> None:
    async def main() -> None:
        fleet = Fleet(1, budget=4)
        (pod,), (guard,) = fleet.pods, fleet.guards
        pod.start()
        await asyncio.sleep(5)
        slow = [asyncio.create_task(call(guard, Health.WELL, seconds=9.0)) for _ in range(4)]
        await until(lambda: guard.summary()["in_flight"] == 4)
        guard.apply(Change("out", 1.0))
        await asyncio.sleep(1.5)
        probe = asyncio.create_task(call(guard, Health.WELL, seconds=5.0))
        await asyncio.sleep(3)
        assert guard.summary()["in_flight"] == 4
        await asyncio.wait([*slow, probe])
        assert probe.exception() is None
        assert not guard.out
        await pod.stop()

    run_timeless(main())


def test_a_process_that_stood_still_calls_nobody_before_it_has_announced_itself() -> None:
    async def main() -> None:
        fleet = Fleet(1, budget=10)
        (pod,), (guard,) = fleet.pods, fleet.guards
        for _ in range(3):
            await pod.announce()
            await asyncio.sleep(1)
        await pod.announce()
        assert guard.summary()["limit"] == 10
        await asyncio.sleep(4)
        assert guard.summary()["limit"] == 0, "by now others may have what it held"
        await pod.announce()
        assert guard.summary()["limit"] == 10

    run_timeless(main())


def test_a_circuit_that_an_operator_holds_open_lets_nothing_through_and_one_held_closed_lets_all() -> None:
    async def go() -> None:
        fleet = Fleet(1)
        [pod], [guard] = fleet.pods, fleet.guards
        changed: list[bool] = []
        guard.changes.append(lambda: changed.append(guard.out))
        now = fleet.clock.now()
        pod.force([Override("circuit", "api/incidents", now, now + 60.0, "anna", "open")])
        with pytest.raises(Outage):
            await guard.acquire()
        assert guard.probe_in == pytest.approx(60.0)
        assert pod.open_circuits() == []
        pod.force([Override("circuit", "api/incidents", now, now + 60.0, "anna", "closed")])
        for _ in range(3):
            await break_(guard)
        assert not guard.out
        [opened] = pod.open_circuits()
        assert opened.subject == "api/incidents"
        pod.force([])
        assert guard.out
        assert changed[:2] == [True, False]

    run_timeless(go())
