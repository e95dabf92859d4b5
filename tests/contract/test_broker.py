"""What the worker may rely on, whichever broker it is: the same tests on memory and on RabbitMQ."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from typing import Any, Protocol

import aio_pika
import pytest

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.memory.broker import MemoryBroker
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.broker import RabbitMQ
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.model.trace import TraceContext
from notification_sender.ports.broker import DeadLetter, Envelope, Lane, MessageState, Parked, Wait
from notification_sender.ports.clock import Clock
from tests.patience import patience, patient


class LeapingClock:
    """Whoever sleeps on it wakes at once, that much later."""

    def __init__(self) -> None:
        self._time = time.time()

    def now(self) -> float:
        return self._time

    monotonic = now

    async def sleep(self, seconds: float) -> None:
        self._time += seconds


class Stand(Protocol):
    """One kind of broker under test."""

    clock: Clock
    broker: MemoryBroker | RabbitMQ

    async def start(self) -> None: ...
    async def restart(self) -> None:
        """Our process ends and another begins."""

    async def letter(self) -> tuple[bytes, Mapping[str, Any]]:
        """The oldest dead letter, taken out."""


class MemoryStand:
    def __init__(self) -> None:
        self.clock = LeapingClock()
        self.broker = MemoryBroker(clock=self.clock)

    async def start(self) -> None:
        await self.broker.connect()

    async def restart(self) -> None:
        await self.broker.close()

    async def letter(self) -> tuple[bytes, Mapping[str, Any]]:
        letter = self.broker.dead.pop(0)
        return letter.body, letter.headers


class RabbitStand:
    def __init__(self, url: str, prefix: str) -> None:
        self.clock = SystemClock()
        self._url = url
        self._topology = Topology(prefix)
        self.broker = self._new()

    def _new(self) -> RabbitMQ:
        return RabbitMQ(address=BrokerAddress(self._url), topology=self._topology, clock=self.clock)

    async def start(self) -> None:
        await self.broker.connect()

    async def restart(self) -> None:
        await self.broker.close()
        self.broker = self._new()
        await self.broker.connect()

    async def letter(self) -> tuple[bytes, Mapping[str, Any]]:
        async with await aio_pika.connect(self._url) as connection, connection.channel() as channel:
            queue = await channel.declare_queue(self._topology.dead, passive=True)
            letter = await queue.get(no_ack=True)
            return letter.body, {**letter.headers, "content-type": letter.content_type}


@pytest.fixture(params=["memory", "rabbitmq"])
async def stand(request: pytest.FixtureRequest, topology_prefix: str) -> AsyncIterator[Stand]:
    stand: Stand
    if request.param == "memory":
        stand = MemoryStand()
    else:
        stand = RabbitStand(request.getfixturevalue("amqp_url"), topology_prefix)
    await stand.start()
    yield stand
    await stand.broker.close()


class Taker:
    """What a lane handed over, in its order."""

    def __init__(self) -> None:
        self._taken: asyncio.Queue[Envelope] = asyncio.Queue()
        self.put = self._taken.put_nowait

    async def next(self) -> Envelope:
        async with patience(15):
            return await self._taken.get()

    @property
    def idle(self) -> bool:
        return self._taken.empty()


async def taking(stand: Stand, lane: Lane = Lane.UNITS, prefetch: int = 10) -> Taker:
    taker = Taker()
    await stand.broker.consume(lane, prefetch, taker.put)
    return taker


async def test_what_is_published_is_taken_once_as_a_first_delivery(stand: Stand) -> None:
    taker = await taking(stand)
    before = stand.clock.now()
    await stand.broker.publish(b'{"a": 1}')
    taken = await taker.next()
    assert (taken.body, taken.lane, taken.state.attempt, taken.state.misses) == (b'{"a": 1}', Lane.UNITS, 1, 0)
    assert (taken.due, taken.state.replays) == (0, 0)
    assert before <= taken.state.first_seen <= stand.clock.now()
    await stand.broker.ack(taken)
    await stand.restart()
    assert taker.idle
    assert (await stand.broker.depths()).units == 0


async def test_every_delivery_has_a_token_of_its_own(stand: Stand) -> None:
    taker = await taking(stand)
    await stand.broker.publish(b"1")
    first = await taker.next()
    await stand.broker.give_back(first)
    second = await taker.next()
    assert second.body == first.body
    assert second.token != first.token


async def test_prefetch_bounds_what_is_unsettled(stand: Stand) -> None:
    taker = await taking(stand, prefetch=2)
    for body in (b"1", b"2", b"3"):
        await stand.broker.publish(body)
    first, _ = await taker.next(), await taker.next()
    assert (await stand.broker.depths()).units == 1
    assert taker.idle
    await stand.broker.ack(first)
    assert (await taker.next()).body == b"3"


async def test_prefetch_changes_while_it_is_consumed(stand: Stand) -> None:
    taker = await taking(stand, prefetch=3)
    for number in range(6):
        await stand.broker.publish(str(number).encode())
    before = [await taker.next() for _ in range(3)]
    await stand.broker.consume(Lane.UNITS, 1, taker.put)
    for envelope in before:
        await stand.broker.ack(envelope)
    assert (await taker.next()).body == b"3"
    assert (await stand.broker.depths()).units == 2
    assert taker.idle
    await stand.broker.consume(Lane.UNITS, 3, taker.put)
    assert [(await taker.next()).body for _ in range(2)] == [b"4", b"5"]
    await stand.restart()


async def test_what_a_former_consumer_has_taken_does_not_count_for_the_next(stand: Stand) -> None:
    taker = await taking(stand, prefetch=2)
    for number in range(5):
        await stand.broker.publish(str(number).encode())
    taken = [await taker.next() for _ in range(2)]
    await stand.broker.consume(Lane.UNITS, 2, taker.put)
    assert [(await taker.next()).body for _ in range(2)] == [b"2", b"3"]
    for envelope in taken:
        await stand.broker.ack(envelope)
    assert (await stand.broker.depths()).units == 1
    assert taker.idle
    await stand.restart()


async def test_lanes_do_not_share_their_slots(stand: Stand) -> None:
    units, notifications = await taking(stand, prefetch=1), await taking(stand, Lane.NOTIFICATIONS, prefetch=1)
    await stand.broker.publish(b"unit")
    await stand.broker.park(Parked(Lane.NOTIFICATIONS, b"due", 0, MessageState(stand.clock.now())))
    assert (await units.next()).body == b"unit"
    assert (await notifications.next()).body == b"due"


async def test_what_is_parked_comes_back_on_its_lane_when_due_and_not_before(stand: Stand) -> None:
    taker = await taking(stand, Lane.NOTIFICATIONS)
    parked_at = stand.clock.now()
    first_seen = parked_at - 7200.25
    trace = TraceContext("ab" * 16, "cd" * 8, previous="ef" * 8)
    state, wait = MessageState(first_seen, attempt=4, misses=2, trace=trace), Wait("retry_wait", parked_at)
    await stand.broker.park(Parked(Lane.NOTIFICATIONS, b"later", 2.75, state, wait))
    taken = await taker.next()
    assert 2 <= stand.clock.now() - parked_at < 2 + patient(0.75)
    assert taken.due == pytest.approx(parked_at + 2.75, abs=patient(0.05))
    assert taken.due >= parked_at + 2.75
    assert (taken.body, taken.state.attempt, taken.state.misses, taken.state.replays) == (b"later", 4, 2, 0)
    assert taken.state.first_seen == pytest.approx(first_seen, abs=0.001)
    assert taken.state.trace == trace
    assert taken.wait is not None
    assert (taken.wait.step, round(taken.wait.since - parked_at, 5)) == ("retry_wait", 0.0)


async def test_less_than_a_second_goes_straight_to_the_lane(stand: Stand) -> None:
    taker = await taking(stand)
    parked_at = stand.clock.now()
    await stand.broker.park(Parked(Lane.UNITS, b"soon", 0.9, MessageState(parked_at)))
    taken = await taker.next()
    assert stand.clock.now() - parked_at < patient(0.9)
    assert taken.due >= parked_at + 0.9


async def test_a_shorter_delay_overtakes_a_longer_one(stand: Stand) -> None:
    taker = await taking(stand)
    for delay in (3, 1, 2):
        await stand.broker.park(Parked(Lane.UNITS, b"%d" % delay, delay, MessageState(stand.clock.now())))
    assert [(await taker.next()).body for _ in range(3)] == [b"1", b"2", b"3"]


async def test_a_dead_letter_is_the_body_unchanged_and_four_headers(stand: Stand) -> None:
    body = b'\xff not json "\x00'
    first_seen = datetime(2026, 3, 6, 8, 26, 0, 125000, UTC).timestamp()
    await stand.broker.bury(
        DeadLetter(body, "malformed", "line one\nline\x00 two \ud800" + "é" * 2000, "unit", MessageState(first_seen))
    )
    assert (await stand.broker.depths()).dead == 1
    buried, headers = await stand.letter()
    assert buried == body
    assert headers["x-reason"] == "malformed"
    assert headers["x-stage"] == "unit"
    assert headers["x-first-seen"] == "2026-03-06T08:26:00.125Z"
    assert headers["x-detail"].startswith("line one line two é")
    assert len(headers["x-detail"].encode()) <= 1024
    assert headers.get("content-type", "application/json") == "application/json"


@pytest.mark.parametrize("before", [0, 2])
async def test_a_dead_letter_moved_back_is_the_next_replay_and_starts_afresh(stand: Stand, before: int) -> None:
    await stand.broker.bury(DeadLetter(b"again", "exhausted", "", "notification", MessageState(1.0, replays=before)))
    body, headers = await stand.letter()
    moved = stand.clock.now()
    taker = await taking(stand, Lane.NOTIFICATIONS)
    await stand.broker.publish(body, {**headers, "x-attempt": 9, "x-misses": 2}, Lane.NOTIFICATIONS)
    taken = await taker.next()
    assert (taken.body, taken.state.replays, taken.state.attempt, taken.state.misses, taken.due) == (
        b"again",
        before + 1,
        1,
        0,
        0,
    )
    assert taken.state.first_seen >= moved


async def test_a_replay_that_is_parked_stays_that_replay(stand: Stand) -> None:
    taker = await taking(stand)
    await stand.broker.publish(b"again", {"x-reason": "crashed", "x-death": "whatever"})
    replay = await taker.next()
    await stand.broker.park(Parked(Lane.UNITS, replay.body, 0, replay.state))
    assert (await taker.next()).state.replays == replay.state.replays == 1


async def test_after_stop_nothing_is_taken_and_what_is_in_hand_is_settled(stand: Stand) -> None:
    taker = await taking(stand)
    await stand.broker.publish(b"in hand")
    in_hand = await taker.next()
    await stand.broker.stop()
    await stand.broker.publish(b"not ours")
    assert (await stand.broker.depths()).units == 1
    assert taker.idle
    await stand.broker.ack(in_hand)
    await stand.restart()
    assert (await stand.broker.depths()).units == 1
    assert (await (await taking(stand)).next()).body == b"not ours"


async def test_consuming_goes_on_after_a_stop(stand: Stand) -> None:
    await taking(stand)
    await stand.broker.stop()
    taker = await taking(stand, prefetch=1)
    for body in (b"1", b"2"):
        await stand.broker.publish(body)
    assert (await taker.next()).body == b"1"
    assert (await stand.broker.depths()).units == 1


async def test_what_a_process_leaves_unsettled_comes_again(stand: Stand) -> None:
    taker = await taking(stand)
    for body in (b"1", b"2"):
        await stand.broker.publish(body)
    await stand.broker.ack(await taker.next())
    await taker.next()
    await stand.restart()
    assert (await (await taking(stand)).next()).body == b"2"


async def test_an_ack_that_comes_too_late_is_no_error(stand: Stand) -> None:
    taker = await taking(stand)
    await stand.broker.publish(b"1")
    stale, broker = await taker.next(), stand.broker
    await stand.restart()
    await broker.ack(stale)
    await broker.give_back(stale)
    assert (await (await taking(stand)).next()).body == b"1"


GARBLED = [
    {"x-first-seen": "yesterday", "x-attempt": "many", "x-misses": [1], "x-due": {"a": 1}},
    {"x-first-seen": "2026-03-06T08:26:00", "x-attempt": 0, "x-misses": -1, "x-due": -5},
    {"x-first-seen": True, "x-attempt": True, "x-misses": 2.5, "x-due": "٣"},
    {"x-first-seen": 2**62, "x-attempt": 2**62, "x-misses": None, "x-due": "9" * 40},
    {"x-first-seen": "2999-01-01T00:00:00Z", "x-attempt": bytearray(b"\xff"), "foreign": "x" * 5000},
    {},
]


@pytest.mark.parametrize("headers", GARBLED, ids=range(len(GARBLED)))
async def test_headers_that_make_no_sense_count_as_not_given(stand: Stand, headers: Mapping[str, Any]) -> None:
    taker = await taking(stand)
    before = stand.clock.now()
    await stand.broker.publish(b"1", headers)
    taken = await taker.next()
    assert (taken.state.attempt, taken.state.misses, taken.due, taken.state.replays) == (1, 0, 0, 0)
    assert before <= taken.state.first_seen <= stand.clock.now()


MOMENT = datetime(2026, 3, 6, 8, 26, tzinfo=UTC)


@pytest.mark.parametrize(
    "first_seen",
    ["2026-03-06T08:26:00Z", "2026-03-06T10:26:00.000+02:00", MOMENT, int(MOMENT.timestamp())],
    ids=["utc", "offset", "amqp timestamp", "number"],
)
async def test_first_seen_is_read_however_it_is_written(stand: Stand, first_seen: object) -> None:
    taker = await taking(stand)
    await stand.broker.publish(b"1", {"x-first-seen": first_seen, "x-attempt": "3"})
    taken = await taker.next()
    assert (taken.state.first_seen, taken.state.attempt) == (MOMENT.timestamp(), 3)
