"""Whatever goes wrong, what waits in a process is bounded, in number and in time, and keeps no other out."""

from collections import Counter
from collections.abc import Iterable
from typing import Any

import orjson

from notification_sender.adapters.memory.broker import MemoryBroker
from notification_sender.model.errors import ContextUnavailable
from notification_sender.model.notification import Notification
from notification_sender.model.unit import WorkUnit
from notification_sender.ports.broker import Envelope, Lane, MessageState
from notification_sender.telemetry.steps import current
from notification_sender.worker.handled import AskAgain
from notification_sender.worker.waiting import CAPACITY, LEAST, LONGEST_WAIT, Waiting
from tests.virtual import START, VirtualClock
from tests.worker.conftest import WorkerHarness
from tests.worker.test_isolation import DOWN, flood, hook, slow, took
from tests.worker.test_waiting import Room, behind, built, deferrals, until

MOST_HERE = CAPACITY // LEAST + 800
"""Unsettled deliveries of a process with 200 slots that takes 400: a full room, and what two consumers took."""


def count_consumers(harness: WorkerHarness) -> Counter[Lane]:
    """Those that are subscribed from now on."""
    counted: Counter[Lane] = Counter()
    consume = harness.broker.consume

    async def counting(lane: Lane, *told: Any) -> None:
        counted[lane] += 1
        await consume(lane, *told)

    harness.broker.consume = counting  # type: ignore[assignment, method-assign]
    return counted


def count_handled(harness: WorkerHarness) -> Counter[Lane]:
    """Deliveries that are handled from now on, however often each."""
    counted: Counter[Lane] = Counter()
    handlers = dict(harness.worker.lanes._handlers)

    async def counting(envelope: Envelope) -> Any:
        counted[envelope.lane] += 1
        return await handlers[envelope.lane](envelope)

    harness.worker.lanes._handlers = dict.fromkeys(Lane, counting)
    return counted


async def test_a_destination_whose_units_never_come_to_a_send_keeps_no_other_out(harness: WorkerHarness) -> None:
    compose = harness.composer.compose

    async def failing(unit: WorkUnit) -> Any:
        if unit.organization_id == "org-flood":
            await harness.clock.sleep(10.0)
            raise ContextUnavailable("no answer")
        return await compose(unit)

    harness.composer.compose = failing  # type: ignore[method-assign]
    handled = count_handled(harness)
    await flood(harness, 3000, hooks=1)
    await behind(harness)
    assert max(took(harness, "other")) < 1.0
    await until(harness, 30.0)
    assert harness.worker.lanes.unsettled < MOST_HERE
    before = handled.total()
    await until(harness, 40.0)
    assert handled.total() - before < 1500


async def test_what_has_waited_for_the_longest_time_is_parked_and_asks_no_more(harness: WorkerHarness) -> None:
    harness.channel.takes = slow("org-flood", 15.0)
    await flood(harness, 800, hooks=1)
    await until(harness, LONGEST_WAIT + 1.5)
    handled = count_handled(harness)
    assert deferrals(harness)["destination_full"] > 400
    await until(harness, LONGEST_WAIT + 11.5)
    assert handled.total() < 400
    await harness.clock.until(harness.idle)
    assert len(took(harness, "org-flood")) == 800


async def test_a_destination_with_a_corrected_address_is_not_held_for_its_old_host(harness: WorkerHarness) -> None:
    harness.channel.takes = lambda it: 5.0 if "dead" in harness.channel.address(it.destination) else 0.0
    harness.channel.fails = lambda it: DOWN if "dead" in harness.channel.address(it.destination) else None

    async def publish(first: int, last: int, host: str) -> None:
        told = [hook("hook-0") | {"url": f"https://{host}.example/x"}]
        for number in range(first, last):
            await harness.publish(work_unit_id=f"wu-{number}", organization_id="org", destinations=told)

    await publish(0, 60, "dead")
    await until(harness, 10.0)
    await publish(60, 660, "good")
    await until(harness, 20.0)
    sent = {it.work_unit_id for _, it in harness.channel.sends if "good" in harness.channel.address(it.destination)}
    assert len(sent) == 600


async def test_a_destination_that_is_looked_up_and_was_corrected_is_tried_when_a_probe_of_its_old_host_is_due(
    harness: WorkerHarness,
) -> None:
    host, told = "dead", [hook("hook-0")]
    dead: set[str] = set()
    harness.channel.address = lambda destination: f"https://{host}.example/x"  # type: ignore[method-assign]  # noqa: ARG005

    def takes(it: Notification) -> float:
        (dead.add if host == "dead" else dead.discard)(it.notification_id)
        return 5.0 if host == "dead" else 0.0

    harness.channel.takes = takes
    harness.channel.fails = lambda it: DOWN if it.notification_id in dead else None
    compose = harness.composer.compose

    async def looked_up(unit: WorkUnit) -> Any:
        return await compose(unit.model_copy(update={"destinations": told}))

    harness.composer.compose = looked_up  # type: ignore[method-assign]
    for number in range(600):
        if number == 60:
            await until(harness, 10.0)
            host = "good"
        unit = {"work_unit_id": f"wu-{number}", "organization_id": "org", "destination_ids": ["hook-0"]}
        await harness.broker.publish(orjson.dumps(unit))
    await until(harness, 90.0)
    assert len({it.work_unit_id for _, it in harness.channel.sends}) == 600


async def test_those_that_wait_for_one_dead_host_cost_no_new_consumers(harness: WorkerHarness) -> None:
    harness.channel.takes = lambda _: 5.0
    harness.channel.fails = lambda _: DOWN
    harness.channel.host = lambda address: "dead.example"  # type: ignore[method-assign]  # noqa: ARG005
    await flood(harness, 900, hooks=100)
    await until(harness, 60.0)
    consumers = count_consumers(harness)
    await until(harness, 160.0)
    assert consumers[Lane.UNITS] <= 2


def in_room(room: Room, name: str, *, since: float | None, now: float) -> None:
    envelope = Envelope(Lane.UNITS, b"", "", MessageState(START), 0.0, (name, since), waiting_since=since)
    room.room.enter(Waiting(name, "deferred.full"), envelope, current(), now=now)


def test_the_one_that_has_waited_longest_goes_on_first_even_where_others_came_from_another_name() -> None:
    it = Room()
    in_room(it, "a", since=1.0, now=1.0)
    for since in (9.0, 5.0, 0.5):
        in_room(it, "a", since=since, now=10.0)
    it.room.call("a", 4, now=10.0)
    assert [envelope.waiting_since for envelope, _ in it.left] == [0.5, 1.0, 5.0, 9.0]


def test_nobody_waits_for_longer_than_the_longest_wait_behind_those_that_return() -> None:
    it = Room()
    for now in range(10):
        in_room(it, "a", since=None, now=float(now))
    late = LONGEST_WAIT + 4.5
    for number in range(100):
        in_room(it, "a", since=late - number / 100, now=late)
    it.room.recheck(late)
    assert all(since >= 5.0 for since in sinces(it.room.empty()))


def sinces(envelopes: Iterable[Envelope]) -> list[float]:
    return [it.waiting_since for it in envelopes if it.waiting_since is not None]


def test_those_that_return_find_a_full_room_full_in_the_end() -> None:
    it, old = Room(), Envelope(Lane.UNITS, b"", "", MessageState(START), 0.0, 0, waiting_since=0.0)
    place = Waiting("a", "deferred.full")
    entered = 0
    while it.room.takes(place, old, now=0.0):
        it.room.enter(place, old, current(), now=0.0)
        entered += 1
        assert entered < 2 * CAPACITY // LEAST
    assert entered >= CAPACITY // LEAST


async def test_no_unit_leaves_the_room_while_our_own_apis_are_out_and_all_do_afterwards(harness: WorkerHarness) -> None:
    given_back: list[Envelope] = []
    give_back = harness.broker.give_back

    async def counting(envelope: Envelope) -> None:
        given_back.append(envelope)
        await give_back(envelope)

    harness.broker.give_back = counting  # type: ignore[method-assign]
    harness.channel.takes = slow("org-flood", 2.0)
    await flood(harness, 400, hooks=1)
    await until(harness, 1.0)
    harness.platform.turn(out=True)
    for number in range(500):
        await flood(harness, 1, f"other-{number}")
    await until(harness, 30.0)
    assert len(harness.worker.slots.room) == 350
    assert not given_back
    harness.platform.turn(out=False)
    await harness.clock.until(harness.idle)
    assert len(took(harness, "org-flood")) == 400
    assert not deferrals(harness)


async def test_what_a_lost_connection_took_along_keeps_no_place_in_the_room(harness: WorkerHarness) -> None:
    harness.channel.takes = slow("org-flood", 2.0)
    await flood(harness, 800, hooks=1)
    await until(harness, 1.5)
    assert len(harness.worker.slots.room) == 749
    queue = harness.broker._queues[Lane.UNITS]
    take, queue.take = queue.take, None
    harness.reconnect()
    await until(harness, 3.0)
    assert not len(harness.worker.slots.room)
    queue.take = take
    harness.broker._hand_out_soon(Lane.UNITS)
    await harness.clock.until(harness.idle)
    assert len(took(harness, "org-flood")) == 800
    assert not deferrals(harness)["destination_full"]


async def test_of_those_that_ask_again_no_more_stay_than_a_consumer_takes() -> None:
    clock = VirtualClock()
    broker = MemoryBroker(clock=clock)

    async def handle(_: Envelope) -> AskAgain:
        return AskAgain(0.25)

    lanes = built(clock, broker, handle, slots=4)
    for _ in range(10):
        await broker.publish(b"", lane=Lane.NOTIFICATIONS)
    await lanes.open(1)
    await clock.until(lambda: clock.now() - START >= 0.2)
    assert lanes.unsettled == 2
    assert (await broker.depths()).ladder == (8,)
    await lanes.close(0.0)
    await broker.close()
