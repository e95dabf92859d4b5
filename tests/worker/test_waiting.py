"""A delivery whose share is full waits in the process for its turn: a bounded number of them, and in nobody's way."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.adapters.memory.broker import MemoryBroker
from notification_sender.model.errors import SendFailed, Sent
from notification_sender.model.unit import WorkUnit, only_destination
from notification_sender.policy.limits import Limit
from notification_sender.ports.broker import Envelope, Intake, Lane, MessageState
from notification_sender.telemetry.metrics import Metrics
from notification_sender.telemetry.steps import current
from notification_sender.worker.bulkheads import Slots
from notification_sender.worker.drain import Drain
from notification_sender.worker.handled import SETTLED, Handler, Settled
from notification_sender.worker.lanes import Lanes
from notification_sender.worker.retry_unready import UnreadyRetry
from notification_sender.worker.waiting import (
    CAPACITY,
    LEAST,
    LONGEST_FOR_HOST,
    LONGEST_WAIT,
    OF_THE_REST,
    Waiting,
    WaitingRoom,
)
from tests.virtual import START, VirtualClock
from tests.worker.conftest import WorkerHarness
from tests.worker.platform import Platform
from tests.worker.test_isolation import OTHERS, Host, flood, hook, slow, took

HANGS = 15.0
"""Seconds until a send without an answer is given up."""

MOST_OF_ONE = OF_THE_REST * CAPACITY // LEAST // (OF_THE_REST + 1)
"""Small deliveries of one name that an empty room takes."""


class Room:
    """A room, and who has left it, with the seconds after which it goes on."""

    def __init__(self) -> None:
        self.room = WaitingRoom()
        self.left: list[tuple[Envelope, float]] = []
        self.room.open(lambda envelope, _, seconds: self.left.append((envelope, seconds)))
        self._numbers: Iterator[int] = iter(range(1_000_000))

    def enter(self, name: str, *, size: int = 1, now: float = 0.0, pace: float = 0.0) -> bool:
        number = next(self._numbers)
        envelope = Envelope(Lane.UNITS, b"." * size, str(number), MessageState(START), 0.0, number)
        if taken := self.room.takes(Waiting(name, "deferred.full"), envelope, now=now):
            self.room.enter(Waiting(name, "deferred.full", pace), envelope, current(), now=now)
        return taken

    @property
    def tags(self) -> list[object]:
        return [envelope.tag for envelope, _ in self.left]


def test_the_first_of_a_name_goes_on_first_and_no_other_name_with_it() -> None:
    it = Room()
    assert all(it.enter(name) for name in "abab")
    it.room.call("b", 1, now=0.0)
    it.room.call("a", 3, now=0.0)
    assert it.tags == [1, 0, 2]
    assert len(it.room) == 1


def test_one_that_has_waited_before_waits_in_front_and_since_then() -> None:
    it = Room()
    for _ in range(2):
        it.enter("a")
    it.room.call("a", 1, now=1.0)
    it.room.enter(Waiting("a", "deferred.full"), it.left[0][0], current(), now=2.0)
    it.room.call("a", 1, now=2.0)
    assert it.tags == [0, 0]
    assert it.left[1][0].waiting_since == 0.0


def test_a_name_never_takes_the_whole_room_however_much_of_it_comes() -> None:
    it = Room()
    entered = [sum(it.enter(name) for _ in range(2000)) for name in "abc"]
    assert entered[0] == MOST_OF_ONE
    assert all(later >= earlier // 6 for earlier, later in pairwise(entered))
    assert sum(entered) < CAPACITY // LEAST
    assert not it.enter("d", size=CAPACITY)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.integers(1, CAPACITY // 3)), max_size=60))
def test_nobody_is_lost_nobody_goes_on_twice_and_the_room_is_never_too_small(steps: list[tuple[str, int, int]]) -> None:
    it, entered, inside = Room(), 0, 0
    for name, called, size in steps:
        if called:
            it.room.call(name, called, now=0.0)
        else:
            entered += it.enter(name, size=size)
        inside = entered - len(it.left)
        assert len(it.room) == inside
    left = [*it.tags, *(envelope.tag for envelope in it.room.empty())]
    assert len(set(left)) == len(left) == entered
    assert len(it.room) == 0
    assert it.enter("a", size=CAPACITY * OF_THE_REST // (OF_THE_REST + 1))


def test_at_each_look_one_of_each_name_goes_on_and_all_that_have_waited_too_long_which_wait_no_more() -> None:
    it = Room()
    for now in (0.0, 0.0, 0.0, LONGEST_WAIT, LONGEST_WAIT):
        it.enter("a", now=now)
    it.room.recheck(1.0)
    assert it.tags == [0]
    it.enter("b", now=LONGEST_WAIT)
    it.room.recheck(LONGEST_WAIT)
    assert it.tags == [0, 1, 2, 5]
    assert not it.room.takes(Waiting("a", "deferred.full"), it.left[1][0], now=LONGEST_WAIT)
    assert it.room.takes(Waiting("a", "deferred.full"), it.left[3][0], now=LONGEST_WAIT)


def test_those_that_wait_for_a_host_go_on_one_after_the_other_and_are_not_called_far_ahead() -> None:
    it = Room()
    for _ in range(500):
        it.enter("a", pace=0.02)
    it.room.call("a", 3, now=10.0)
    assert [seconds for _, seconds in it.left] == pytest.approx([0.0, 0.02, 0.04])
    for _ in range(300):
        it.room.call("a", 2, now=10.0)
    assert len(it.left) == pytest.approx(50, abs=3)


@pytest.mark.parametrize(("held", "after"), [(0.1, 0.0), (1.0, 0.05), (HANGS, 0.1)])
def test_after_a_slot_that_was_held_for_long_there_is_a_moment_to_learn_that_its_host_is_out(
    held: float, after: float
) -> None:
    it = Room()
    it.enter("a")
    it.room.call("a", 1, now=7.0, held=held)
    assert it.left[0][1] == pytest.approx(after)


@pytest.mark.parametrize(
    ("fields", "only"),
    [
        ({}, None),
        ({"destination_ids": ["a"]}, "a"),
        ({"destination_ids": ["a", "b"]}, None),
        ({"destinations": [{"destination_id": "a"}]}, "a"),
        ({"destinations": [{"destination_id": "a"}, {"destination_id": "b"}]}, None),
        ({"destinations": [{"destination_id": "a"}, {"destination_id": "b"}], "destination_ids": ["b"]}, "b"),
        ({"destinations": [{"destination_id": 7}, "odd"]}, None),
    ],
)
def test_the_only_destination_of_a_unit(fields: dict[str, Any], only: str | None) -> None:
    unit = {"work_unit_id": "wu", "organization_id": "org", "incident_id": "inc"}
    assert only_destination(WorkUnit.model_validate(unit | fields)) == only


# --- lanes ------------------------------------------------------------------------------------------------


@given(
    waits=st.lists(st.booleans(), min_size=1, max_size=60),
    taken=st.integers(1, 12),
    slots=st.integers(1, 4),
    first=st.integers(0, 60),
)
def test_whatever_waits_keeps_no_other_out_in_whatever_order_they_come(
    waits: list[bool], taken: int, slots: int, first: int
) -> None:
    """Whatever waits is never called, so its consumer never gets its prefetch back."""
    asyncio.run(_all_but_those_that_wait(waits, taken, slots, first))


def built(clock: VirtualClock, broker: MemoryBroker, handle: Handler, slots: int) -> Lanes:
    """Lanes whose deliveries are all handled by ``handle``."""
    return Lanes(
        intake=cast("Intake", broker),
        outbox=broker,
        handlers=dict.fromkeys(Lane, handle),
        slots=Slots(slots, Platform()),
        retry=UnreadyRetry(clock=clock),
        drain=Drain(clock=clock, send_timeout=15.0),
        clock=clock,
        metrics=Metrics(),
    )


async def _all_but_those_that_wait(waits: list[bool], taken: int, slots: int, first: int) -> None:
    clock, settled = VirtualClock(), 0
    broker = MemoryBroker(clock=clock)

    async def handle(envelope: Envelope) -> Settled | Waiting:
        nonlocal settled
        await asyncio.sleep(0)
        if envelope.body == b"waits":
            return Waiting("name", "deferred.full")
        settled += 1
        return SETTLED

    lanes = built(clock, broker, handle, slots)
    bodies = [b"waits" if it else b"goes" for it in waits]
    for body in bodies[:first]:
        await broker.publish(body)
    await lanes.open(max(1, taken // 2))
    for body in bodies[first:]:
        await broker.publish(body)
        await asyncio.sleep(0)
    await clock.until(lambda: settled == waits.count(False) and lanes.unsettled == waits.count(True))
    closing = asyncio.create_task(lanes.close(1.0))
    await clock.until(closing.done)
    assert (await broker.depths()).units == waits.count(True)


# --- the whole worker -------------------------------------------------------------------------------------


def deferrals(harness: WorkerHarness) -> Counter[str]:
    """Of units and notifications, by reason."""
    counted: Counter[str] = Counter()
    for metric in harness.metrics.outcomes.collect():
        for sample in metric.samples:
            if sample.name.endswith("_total") and sample.labels["outcome"] == "deferred":
                counted[sample.labels["reason"]] += int(sample.value)
    return counted


def hang(harness: WorkerHarness) -> None:
    """Whatever is for the organization of the flood hangs, and then fails."""
    harness.channel.takes = slow("org-flood", HANGS)
    no_answer = SendFailed("no answer", sent=Sent.UNKNOWN, ill=True)
    harness.channel.fails = lambda it: no_answer if it.organization_id == "org-flood" else None


async def behind(harness: WorkerHarness) -> None:
    """Units of other organizations, each sent once."""
    for number in range(OTHERS):
        await flood(harness, 1, f"other-{number}")
    await harness.clock.until(lambda: len(took(harness, "other")) == OTHERS)


async def until(harness: WorkerHarness, seconds: float) -> None:
    await harness.clock.until(lambda: harness.clock.now() - START >= seconds)


async def test_what_a_destination_that_hangs_turns_away_is_deferred_about_once_in_ten_minutes(
    harness: WorkerHarness,
) -> None:
    hang(harness)
    await flood(harness, 800, hooks=1)
    await behind(harness)
    assert max(took(harness, "other")) < 1.0
    await until(harness, LONGEST_WAIT - 1)
    tried = len(took(harness, "org-flood"))
    assert tried < 70
    assert deferrals(harness).total() < 30
    claims = harness.ledger.asked.count("claim")
    assert claims <= tried + OTHERS + deferrals(harness).total()
    await until(harness, 2 * LONGEST_FOR_HOST - 1)
    assert deferrals(harness).total() <= 1.2 * 800


@pytest.mark.parametrize("hooks", [1, 4])
async def test_a_slow_backlog_that_finds_room_is_not_deferred_at_all(harness: WorkerHarness, hooks: int) -> None:
    harness.channel.takes = slow("org-flood", 2.0)
    await flood(harness, 800, hooks=hooks)
    await behind(harness)
    await harness.clock.until(harness.idle)
    assert len(took(harness, "org-flood")) == 800
    assert not deferrals(harness)


async def test_a_destination_that_was_quick_and_hangs_all_of_a_sudden_leaves_the_others_their_slots(
    harness: WorkerHarness,
) -> None:
    await flood(harness, 100, "org-flood", hooks=1)
    await harness.clock.until(harness.idle)
    hang(harness)
    for number in range(100, 700):
        told = [hook("hook-0")]
        await harness.publish(work_unit_id=f"wu-{number}", organization_id="org-flood", destinations=told)
    await behind(harness)
    assert max(took(harness, "other")) < 1.0
    assert harness.channel.most_in_flight == 50


async def test_what_finds_no_room_is_parked_and_nothing_is_lost(harness: WorkerHarness) -> None:
    harness.channel.takes = slow("org-flood", 2.0)
    await flood(harness, 2000, hooks=1)
    await behind(harness)
    assert max(took(harness, "other")) < 1.0
    await harness.clock.until(harness.idle)
    sent = Counter(it.work_unit_id for _, it in harness.channel.sends if it.organization_id == "org-flood")
    assert len(sent) == 2000
    assert set(sent.values()) == {1}
    assert set(deferrals(harness)) == {"destination_full"}


async def test_what_waits_for_a_host_goes_on_as_soon_as_that_answers_whatever_its_share_was(
    harness: WorkerHarness,
) -> None:
    host = Host(harness)
    await flood(harness, 500, hooks=1)
    await until(harness, 45)
    host.down, back = None, harness.clock.now() - START
    await harness.clock.until(lambda: any(at > back for at in host.came))
    probe = max(host.came)
    await harness.clock.until(lambda: len({it.work_unit_id for _, it in harness.channel.sends}) == 500)
    assert harness.clock.now() - START - probe < 500 / 50 + 5


async def test_a_limit_that_defers_the_work_of_one_that_waits_loses_nothing(harness: WorkerHarness) -> None:
    harness.limits.append(Limit.per("webhook", 50, 1, 1))
    harness.channel.takes = slow("org-flood", 2.0)
    await flood(harness, 600, hooks=1)
    await harness.clock.until(harness.idle)
    assert len({it.work_unit_id for _, it in harness.channel.sends}) == 600


async def test_a_worker_that_stops_requeues_all_that_waits_at_once(harness: WorkerHarness) -> None:
    harness.channel.takes = slow("org-flood", 2.0)
    await flood(harness, 500, hooks=1)
    await harness.clock.until(lambda: len(took(harness, "org-flood")) == 50)
    assert harness.worker.lanes.unsettled == 500
    closing = asyncio.create_task(harness.worker.close(30.0))
    await harness.clock.until(closing.done)
    assert harness.clock.now() - START < 5.0
    assert len(harness.channel.sends) == 50
    assert (await harness.broker.depths()).units == 450


async def test_a_host_that_was_out_for_long_is_found_well_while_its_notifications_are_parked(
    harness: WorkerHarness,
) -> None:
    host = Host(harness)
    await flood(harness, 100, hooks=1)
    await until(harness, 300)
    host.down, back = None, harness.clock.now()
    await harness.clock.until(
        lambda: len({it.work_unit_id for at, it in harness.channel.sends if it.attempt == 1 and at >= back}) > 20
    )
    assert harness.clock.now() - back < 120
