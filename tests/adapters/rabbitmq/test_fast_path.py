"""What every message passes in aiormq is ours: whole frames, consumers without a task, packed acks."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from struct import pack
from typing import Any

import aiormq.connection
import pytest
from aiormq.abc import DeliveredMessage
from aiormq.exceptions import ChannelInvalidStateError
from hypothesis import given
from hypothesis import strategies as st
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.frame import marshal
from pamqp.heartbeat import Heartbeat

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.connection import BrokerConnection
from notification_sender.adapters.rabbitmq.fast_path import DirectChannel, WholeFrames
from tests.services.rabbitmq import RabbitMQ

BODIES = st.lists(st.binary(max_size=300), min_size=1, max_size=12)


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


@given(bodies=BODIES, cuts=st.lists(st.integers(0, 5000), max_size=20))
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


@pytest.fixture
async def channel(rabbitmq: RabbitMQ) -> AsyncIterator[DirectChannel]:
    link = BrokerConnection(url=rabbitmq.url, purpose="test", clock=SystemClock())
    await link.open()
    channel: Any = await link.channel()
    assert isinstance(channel, DirectChannel), "aiormq makes its channels in another way"
    yield channel
    await link.close()


async def consumed(channel: DirectChannel, consumer: Any, *bodies: bytes) -> str:
    """Publish these to a queue of its own that ``consumer`` consumes without the library's coroutine. Its name."""
    queue = (await channel.queue_declare("", exclusive=True)).queue or ""
    tag = (await channel.basic_consume(queue, consumer)).consumer_tag or ""
    channel.consumers[tag] = consumer
    for body in bodies:
        await channel.basic_publish(body, routing_key=queue)
    return queue


async def test_a_consumer_that_fails_takes_nothing_from_the_next_delivery(channel: DirectChannel) -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    def take(message: DeliveredMessage) -> None:
        if message.body == b"bad":
            raise KeyError("a bug")
        seen.put_nowait(message.body)

    await consumed(channel, take, b"bad", b"good")
    assert await seen.get() == b"good"


async def test_a_consumer_may_be_a_coroutine(channel: DirectChannel) -> None:
    seen: asyncio.Queue[bytes] = asyncio.Queue()

    async def take(message: DeliveredMessage) -> None:
        await seen.put(message.body)

    await consumed(channel, take, b"one")
    assert await seen.get() == b"one"


async def test_an_ack_settles_its_delivery_and_no_other(channel: DirectChannel) -> None:
    seen: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
    queue = await consumed(channel, seen.put_nowait, b"one", b"two")
    first, second = await seen.get(), await seen.get()
    await channel.ack(second)
    await channel.basic_recover(requeue=True)
    again = await seen.get()
    assert (again.body, again.redelivered) == (first.body, True)
    await channel.ack(again)
    await channel.basic_recover(requeue=True)
    assert (await channel.queue_declare(queue, passive=True)).message_count == 0


async def test_an_ack_on_a_channel_that_the_broker_closed_is_an_error_and_no_frame(channel: DirectChannel) -> None:
    seen: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
    await consumed(channel, seen.put_nowait, b"one")
    message = await seen.get()
    with pytest.raises(aiormq.exceptions.ChannelNotFoundEntity):
        await channel.queue_declare("no-such-queue", passive=True)
    with pytest.raises(ChannelInvalidStateError):
        await channel.ack(message)
    assert channel.connection.is_opened
    assert isinstance(message.delivery, Basic.Deliver)


async def test_an_ack_on_a_channel_that_we_are_closing_is_an_error_and_no_frame(channel: DirectChannel) -> None:
    seen: asyncio.Queue[DeliveredMessage] = asyncio.Queue()
    await consumed(channel, seen.put_nowait, b"one")
    message = await seen.get()
    declaring = asyncio.create_task(channel.queue_declare("late", exclusive=True))
    while channel.write_queue.empty() and not declaring.done():  # noqa: ASYNC110 - it cannot be awaited, only asked
        await asyncio.sleep(0)
    declaring.cancel()  # a question without its reply: the library closes the channel for it
    with pytest.raises(asyncio.CancelledError):
        await declaring
    with pytest.raises(ChannelInvalidStateError):
        await channel.ack(message)
