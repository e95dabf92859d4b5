"""What every message passes in aiormq is ours: whole frames, deliveries at once, acks of a turn in one write."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from struct import pack
from typing import Any

import aiormq.connection
import pytest
from aiormq.abc import ChannelFrame, DeliveredMessage
from aiormq.exceptions import AMQPConnectionError, ChannelInvalidStateError
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Channel
from pamqp.frame import marshal
from pamqp.heartbeat import Heartbeat

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.connection import BrokerConnection
from notification_sender.adapters.rabbitmq.deliveries import Delivery
from notification_sender.adapters.rabbitmq.fast_path import (
    AT_ONCE,
    FORMER,
    DirectChannel,
    DirectConnection,
    WholeFrames,
)
from tests.adapters.rabbitmq.publishers import USUAL, mutated
from tests.adapters.rabbitmq.wire import FRAME_MAX, HEARTBEAT, content, cut, frame, frames_of, method, wire
from tests.faults.raw import properties
from tests.services.rabbitmq import RabbitMQ

BODIES = st.lists(st.binary(max_size=300), min_size=1, max_size=12)
CUTS = st.lists(st.integers(0, 5000), max_size=20)


async def read(written: bytes, cuts: list[int], count: int) -> list[bytes]:
    """The first ``count`` bodies of the frames in ``written``, which arrives in pieces."""
    reader = asyncio.StreamReader(limit=256)
    frames = WholeFrames(reader)
    frames.started = True
    places = sorted({0, len(written), *(cut % len(written) for cut in cuts)})

    async def arrive() -> None:
        for start, end in pairwise(places):
            reader.feed_data(written[start:end])
            await asyncio.sleep(0)

    arriving = asyncio.create_task(arrive())
    bodies = []
    while len(bodies) < count:
        _, channel, frame = await frames.get_frame()
        if channel:
            bodies.append(frame.value)
    await arriving
    return bodies


@given(bodies=BODIES, cuts=CUTS)
def test_frames_are_the_same_however_they_arrive(bodies: list[bytes], cuts: list[int]) -> None:
    written = b"".join(marshal(ContentBody(body), 3) + marshal(Heartbeat(), 0) for body in bodies)
    assert asyncio.run(read(written, cuts, len(bodies))) == bodies


class Transport(asyncio.Transport):
    paused = False

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False


async def test_a_buffer_that_was_full_is_read_into_again() -> None:
    reader, transport = asyncio.StreamReader(limit=64), Transport()
    reader.set_transport(transport)
    frames = WholeFrames(reader)
    frames.started = True
    reader.feed_data(marshal(ContentBody(b"x" * 200), 3))
    assert transport.paused
    await frames.get_frame()
    assert not transport.paused


async def test_a_frame_without_its_end_is_refused() -> None:
    reader = asyncio.StreamReader()
    frames = WholeFrames(reader)
    frames.started = True
    reader.feed_data(pack(">BHI", 3, 1, 2) + b"ab\x00")
    with pytest.raises(aiormq.exceptions.InvalidFrameError):
        await frames.get_frame()


SENT = st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40), USUAL | mutated(), st.sampled_from([FRAME_MAX, 7]))
"""A delivery: its channel, its body, what stands beside it, and how much of it a frame holds."""


async def taken_of(sent: list[tuple[int, bytes, bytes, int]], cuts: list[int], between: list[int]) -> list[Any]:
    """What is taken of these deliveries, which arrive in pieces, with heartbeats ``between`` their frames."""
    frames = [it for tag, (number, *rest) in enumerate(sent) for it in frames_of(number, tag, *rest)]
    for place in between:
        frames.insert(place % (len(frames) + 1), HEARTBEAT)
    async with wire() as one:
        await one.feed(cut(b"".join(frames), cuts))
        return [(it.channel.number, it.delivery_tag, it.body, it.routing_key) for it in one.taken]


@given(st.lists(SENT, min_size=1, max_size=8), CUTS, st.lists(st.integers(0, 40), max_size=4))
def test_deliveries_are_the_same_however_they_arrive(
    sent: list[tuple[int, bytes, bytes, int]], cuts: list[int], between: list[int]
) -> None:
    taken = asyncio.run(taken_of(sent, cuts, between))
    wanted = [(number, tag, body, "key") for tag, (number, body, _, _) in enumerate(sent)]
    for number in (1, 2):
        assert [it for it in taken if it[0] == number] == [it for it in wanted if it[0] == number]


async def test_a_usual_delivery_does_not_pass_the_library_wherever_it_is_cut() -> None:
    written = b"".join(frames_of(1, 7, b"abc", properties(delivery_mode=b"\x02")))
    for place in range(len(written)):
        async with wire() as one:
            await one.feed([written[:place], written[place:]])
            assert (one.seen, one.library) == ([(7, b"abc")], 0)


async def test_an_empty_body_has_no_frame() -> None:
    async with wire() as one:
        await one.feed(frames_of(1, 1, b"") + frames_of(1, 2, b"next"))
        assert (one.seen, one.library) == ([(1, b""), (2, b"next")], 0)


async def test_a_body_of_several_frames_is_not_overtaken() -> None:
    async with wire() as one:
        await one.feed([b"".join(frames_of(1, 1, b"x" * 300, longest=100) + frames_of(1, 2, b"next"))])
        assert one.seen == [(1, b"x" * 300), (2, b"next")]


async def test_frames_of_two_channels_may_alternate() -> None:
    first, second = frames_of(1, 1, b"one"), frames_of(2, 2, b"two")
    async with wire() as one:
        await one.feed([b"".join(it for pair in zip(first, second, strict=True) for it in pair)])
        assert sorted(one.seen) == [(1, b"one"), (2, b"two")]


async def test_a_body_that_is_larger_than_announced_is_that_messages_own() -> None:
    async with wire() as one:
        await one.feed([method(1, 1) + content(1, 3) + frame(3, 1, b"abcdef"), *frames_of(1, 2, b"next")])
        assert one.seen == [(1, b"abcdef"), (2, b"next")]


async def test_a_channel_that_the_broker_closes_within_a_delivery_takes_no_other_with_it() -> None:
    closing = marshal(Channel.Close(reply_code=406, reply_text="PRECONDITION_FAILED", class_id=0, method_id=0), 1)
    async with wire() as one:
        await one.feed([method(1, 1) + content(1, 3) + closing, *frames_of(2, 2, b"next")])
        assert one.seen == [(2, b"next")]
        assert [it.is_closed for it in one.channels] == [True, False]
        assert one.reading is not None
        assert not one.reading.done()


async def test_a_delivery_without_its_end_is_refused() -> None:
    written = b"".join(frames_of(1, 1, b"abc"))
    async with wire() as one:
        await one.feed([written[:-1] + b"\x00"])
        assert one.seen == []
        assert one.reading is not None
        assert isinstance(one.reading.exception(), aiormq.exceptions.InvalidFrameError)


async def test_deliveries_leave_turns_to_others() -> None:
    async with wire() as one:
        one.stream.feed_data(b"".join(it for tag in range(4 * AT_ONCE) for it in frames_of(1, tag, b"abc")))
        counts = [0]
        while counts[-1] < 4 * AT_ONCE:
            await asyncio.sleep(0)
            counts.append(len(one.taken))
        assert max(after - before for before, after in pairwise(counts)) <= AT_ONCE


async def test_deliveries_alone_show_that_the_broker_is_alive() -> None:
    async with wire() as one:
        one.connection._Connection__last_frame_time = -1e9
        assert one.connection.is_connection_was_stuck
        await one.feed(frames_of(1, 1, b"abc"))
        assert not one.connection.is_connection_was_stuck


@pytest.mark.parametrize("fault", [None, ConnectionResetError("gone")], ids=["ended", "reset"])
@pytest.mark.parametrize("rest", [b"", b"\x01\x00"], ids=["between frames", "within a frame"])
async def test_a_connection_that_is_lost_is_an_error_of_the_library(fault: Exception | None, rest: bytes) -> None:
    async with wire() as one:
        await one.feed([*frames_of(1, 1, b"abc"), rest])
        if fault is None:
            one.stream.feed_eof()
        else:
            one.stream.set_exception(fault)
        await one.quiet()
        assert one.reading is not None
        assert isinstance(one.reading.exception(), AMQPConnectionError)
        assert one.seen == [(1, b"abc")]


async def test_acks_of_one_turn_are_one_write_before_what_is_next() -> None:
    async with wire() as one:
        channel, written = one.channels[0], one.write()
        for tag in range(20):
            channel.ack(tag)
        await asyncio.sleep(0)
        assert [len(it) for it in written] == [20 * 21]
        channel.ack(1)
        one.connection.write_queue.put_nowait(ChannelFrame(b"close", should_close=False))
        channel.ack(2)
        one.write_next()
        await asyncio.sleep(0)
        assert [len(it) for it in written[1:]] == [2 * 21, len(b"close")]


async def test_a_connection_that_closes_writes_first_what_is_queued() -> None:
    async with wire() as one:
        written = one.write()
        one.channels[0].ack(7)
        one.connection.write_queue.put_nowait(ChannelFrame(b"next", should_close=False))
        await one.connection.close()
        assert [len(it) for it in written] == [21, len(b"next")]
        assert written[-1] == b"next"


async def test_an_ack_waits_for_no_place() -> None:
    async with wire() as one:
        written, queue = one.write(), one.connection.write_queue
        while not queue.full():
            queue.put_nowait(ChannelFrame(b"next", should_close=False))
        one.channels[0].ack(7)
        await asyncio.sleep(0)
        assert [len(it) for it in written] == [21]


async def test_an_ack_of_a_connection_whose_writer_has_not_begun_is_written_first() -> None:
    async with wire() as one:
        one.channels[0].ack(7)
        await asyncio.sleep(0)
        written = one.write()
        one.connection.write_queue.put_nowait(ChannelFrame(b"next", should_close=False))
        one.write_next()
        assert [len(it) for it in written] == [21, len(b"next")]


@pytest.fixture
async def channel(rabbitmq: RabbitMQ) -> AsyncIterator[DirectChannel]:
    link = BrokerConnection(address=BrokerAddress(rabbitmq.url), purpose="test", clock=SystemClock())
    await link.open()
    channel: Any = await link.channel()
    assert isinstance(channel, DirectChannel), "aiormq makes its channels in another way"
    yield channel
    await link.close()


async def consumed(channel: DirectChannel, take: Any, *bodies: bytes) -> str:
    """Publish these to a queue of its own that is consumed. Its name."""
    queue = (await channel.queue_declare("", exclusive=True)).queue or ""
    await channel.consume(queue, take)
    for body in bodies:
        await channel.basic_publish(body, routing_key=queue)
    return queue


async def test_the_last_cancelled_consumers_may_get_a_delivery_and_older_ones_are_forgotten(
    channel: DirectChannel,
) -> None:
    queue = (await channel.queue_declare("", exclusive=True)).queue or ""
    tags = []
    for _ in range(FORMER + 5):
        tags.append(await channel.consume(queue, lambda _: None))
        await channel.basic_cancel(tags[-1])
    tags.append(await channel.consume(queue, lambda _: None))
    assert list(channel.takers) == [it.encode() for it in tags[-FORMER - 1 :]]


async def test_a_consumer_that_fails_takes_nothing_from_the_next_delivery(channel: DirectChannel) -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    def take(delivery: Delivery) -> None:
        if delivery.body == b"bad":
            raise KeyError("a bug")
        seen.put_nowait(delivery.body)

    await consumed(channel, take, b"bad", b"good")
    assert await seen.get() == b"good"


async def test_the_library_has_its_own_consumers_too(channel: DirectChannel) -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(message: DeliveredMessage) -> None:
        await seen.put(message.body)

    queue = (await channel.queue_declare("", exclusive=True)).queue or ""
    await channel.basic_consume(queue, take)
    await channel.basic_publish(b"one", routing_key=queue)
    assert await seen.get() == b"one"


async def test_the_library_reads_no_usual_delivery(channel: DirectChannel, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[object] = []
    monkeypatch.setattr(channel, "_on_deliver_frame", read.append)
    seen: asyncio.Queue[Delivery] = asyncio.Queue()
    await consumed(channel, seen.put_nowait, b"one")
    delivery = await seen.get()
    assert (delivery.body, read) == (b"one", [])
    assert isinstance(channel.connection, DirectConnection), "aiormq makes its connections in another way"


async def test_an_ack_settles_its_delivery_and_no_other(channel: DirectChannel) -> None:
    seen: asyncio.Queue[Delivery] = asyncio.Queue()
    queue = await consumed(channel, seen.put_nowait, b"one", b"two")
    first, second = await seen.get(), await seen.get()
    channel.ack(second.delivery_tag)
    await channel.basic_recover(requeue=True)
    again = await seen.get()
    assert again.body == first.body
    assert again.delivery_tag > second.delivery_tag
    channel.ack(again.delivery_tag)
    await channel.basic_recover(requeue=True)
    assert (await channel.queue_declare(queue, passive=True)).message_count == 0


async def test_an_ack_on_a_channel_that_the_broker_closed_is_an_error_and_no_frame(channel: DirectChannel) -> None:
    seen: asyncio.Queue[Delivery] = asyncio.Queue()
    await consumed(channel, seen.put_nowait, b"one")
    delivery = await seen.get()
    with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity):
        await channel.queue_declare("no-such-queue", passive=True)
    with pytest.raises(ChannelInvalidStateError):
        channel.ack(delivery.delivery_tag)
    assert channel.connection.is_opened


async def test_an_ack_after_a_question_without_its_reply_is_an_error_and_no_frame(channel: DirectChannel) -> None:
    seen: asyncio.Queue[Delivery] = asyncio.Queue()
    await consumed(channel, seen.put_nowait, b"one")
    delivery = await seen.get()
    declaring = asyncio.create_task(channel.queue_declare("late", exclusive=True))
    while channel.write_queue.empty() and not declaring.done():  # noqa: ASYNC110 - it cannot be awaited, only asked
        await asyncio.sleep(0)
    declaring.cancel()  # the library closes the channel for it
    with pytest.raises(asyncio.CancelledError):
        await declaring
    with pytest.raises(ChannelInvalidStateError):
        channel.ack(delivery.delivery_tag)


async def test_an_ack_on_a_channel_that_we_are_closing_is_an_error_and_no_frame(channel: DirectChannel) -> None:
    seen: asyncio.Queue[Delivery] = asyncio.Queue()
    await consumed(channel, seen.put_nowait, *(b"%d" % number for number in range(50)))
    deliveries = [await seen.get() for _ in range(50)]
    closing = asyncio.create_task(channel.close())
    refused = 0
    while not closing.done():
        await asyncio.sleep(0)
        try:
            channel.ack(deliveries.pop().delivery_tag)
        except ChannelInvalidStateError:
            refused += 1
        except IndexError:
            break
    await closing
    assert refused
    # RabbitMQ ends the connection at a frame of a channel that it has closed.
    another: Any = await channel.connection.channel()
    assert not another.is_closed
