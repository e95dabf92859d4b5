"""Events on a real broker, and on one that stops reading."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import aio_pika
import pamqp.frame
import pytest
from pamqp.body import ContentBody
from pamqp.commands import Basic
from pamqp.header import ContentHeader
from yarl import URL

from notification_sender.adapters.clock import SystemClock
from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.broker import RabbitMQ
from notification_sender.adapters.rabbitmq.events import MAX_EVENT_BYTES, MAX_WAITING, RabbitmqEvents, published
from notification_sender.adapters.rabbitmq.topology import Topology
from notification_sender.ports.broker import Lane, MessageState, Parked
from tests.patience import patience, patient
from tests.services.rabbitmq import RabbitMQ as Node


@pytest.mark.parametrize("size", [0, 1, 100, 101, 250])
def test_the_frames_are_those_of_the_protocol(size: int) -> None:
    body = bytes(range(256))[:size]
    properties = Basic.Properties(content_type="application/cloudevents+json", delivery_mode=2)
    frames: list[Any] = [
        Basic.Publish(exchange="p.events", routing_key="webhook.delivered"),
        ContentHeader(body_size=size, properties=properties),
        *(ContentBody(body[start : start + 100]) for start in range(0, size, 100)),
    ]
    assert published(7, 100, "p.events", "webhook.delivered", body) == b"".join(
        pamqp.frame.marshal(frame, 7) for frame in frames
    )


class Gateway:
    """Between us and the broker; while ``open`` is clear it takes nothing from us, as a broker without memory does."""

    def __init__(self, url: str) -> None:
        self._broker = URL(url)
        self.open = asyncio.Event()
        self.open.set()

    async def __aenter__(self) -> str:
        self._server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        return str(self._broker.with_port(self._server.sockets[0].getsockname()[1]))

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        await self._server.wait_closed()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        inner_reader, inner_writer = await asyncio.open_connection(self._broker.host, self._broker.port)
        await asyncio.gather(self._copy(reader, inner_writer, self.open), self._copy(inner_reader, writer, None))

    @staticmethod
    async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, gate: asyncio.Event | None) -> None:
        while chunk := await reader.read(65536):
            if gate is not None:
                await gate.wait()
            writer.write(chunk)
            await writer.drain()
        writer.close()


class Told(RabbitmqEvents):
    """What is lost is counted; nothing is missing that had to be declared again."""

    def __init__(self, url: str, prefix: str) -> None:
        self.count: Counter[str] = Counter()

        async def mend() -> None:
            self.count["mended"] += 1

        exchange = Topology(prefix).events
        super().__init__(address=BrokerAddress(url), exchange=exchange, clock=SystemClock(), lost=self._drop, mend=mend)

    def _drop(self, number: int) -> None:
        self.count["lost"] += number


class Ear:
    """A queue bound to the exchange."""

    def __init__(self, queue: aio_pika.abc.AbstractQueue) -> None:
        self._queue = queue

    async def hears(self, count: int) -> list[aio_pika.abc.AbstractIncomingMessage]:
        heard: list[aio_pika.abc.AbstractIncomingMessage] = []
        async with self._queue.iterator(timeout=patient(20)) as arriving:
            async for message in arriving:
                await message.ack()
                heard.append(message)
                if len(heard) == count:
                    break
        return heard


@pytest.fixture
async def broker(amqp_url: str, topology_prefix: str) -> AsyncIterator[RabbitMQ]:
    broker = RabbitMQ(address=BrokerAddress(amqp_url), topology=Topology(topology_prefix), clock=SystemClock())
    await broker.connect()
    yield broker
    await broker.close()


@pytest.fixture
async def ear(amqp_url: str, topology_prefix: str, broker: RabbitMQ) -> AsyncIterator[Ear]:  # noqa: ARG001 - declares
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await queue.bind(f"{topology_prefix}.events", "#")
        yield Ear(queue)


async def test_whoever_binds_a_queue_hears_them_in_their_order(broker: RabbitMQ, ear: Ear) -> None:
    for number in range(300):
        broker.publish_event("webhook.delivered" if number % 2 else "email.dead", b'{"n":%d}' % number)
    heard = await ear.hears(300)
    assert [message.body for message in heard] == [b'{"n":%d}' % number for number in range(300)]
    assert [message.routing_key for message in heard[:2]] == ["email.dead", "webhook.delivered"]
    assert {message.content_type for message in heard} == {"application/cloudevents+json"}
    assert {message.delivery_mode for message in heard} == {aio_pika.DeliveryMode.PERSISTENT}


async def test_what_is_told_right_before_the_end_is_sent(amqp_url: str, topology_prefix: str, ear: Ear) -> None:
    events = Told(amqp_url, topology_prefix)
    for number in range(5000):
        events.publish_event("webhook.delivered", b'{"n":%d}' % number)
    await events.close()
    assert len(await ear.hears(5000)) == 5000
    assert events.count["lost"] == 0


async def test_a_broker_that_stops_reading_holds_up_nobody_and_costs_no_more_memory(
    amqp_url: str, topology_prefix: str, broker: RabbitMQ, ear: Ear
) -> None:
    gateway, event = Gateway(amqp_url), b"x" * 2000
    async with gateway as url:
        events = Told(url, topology_prefix)
        events.publish_event("webhook.delivered", event)
        await ear.hears(1)
        gateway.open.clear()
        for number in range(3 * MAX_WAITING):
            events.publish_event("webhook.delivered", event)
            if number % MAX_WAITING == 0:
                await broker.park(Parked(Lane.UNITS, b"{}", 0.0, MessageState(0.0)))
        assert len(events._waiting) == MAX_WAITING
        lost = events.count["lost"]
        assert lost > MAX_WAITING
        gateway.open.set()
        assert len(await ear.hears(3 * MAX_WAITING - lost)) == 3 * MAX_WAITING - lost
        await events.close()
    assert events.count["lost"] == lost


async def test_a_connection_that_is_lost_takes_no_more_than_what_was_on_its_way(
    amqp_url: str, topology_prefix: str, ear: Ear
) -> None:
    events = Told(amqp_url, topology_prefix)
    events.publish_event("webhook.delivered", b"first")
    await ear.hears(1)
    await events._link.connection.transport.connection.close()
    events.publish_event("webhook.delivered", b"second")
    [second] = await ear.hears(1)
    assert second.body == b"second"
    await events.close()


async def test_an_exchange_that_somebody_deleted_is_declared_again(
    amqp_url: str, topology_prefix: str, broker: RabbitMQ, ear: Ear
) -> None:
    broker.publish_event("webhook.delivered", b"first")
    await ear.hears(1)
    async with await aio_pika.connect(amqp_url) as connection:
        channel = await connection.channel()
        await channel.exchange_delete(f"{topology_prefix}.events")
        while True:
            broker.publish_event("webhook.delivered", b"lost")
            if broker._events._channel is not None and broker._events._channel.is_closed:
                break
            await asyncio.sleep(0.02)
        async with patience(10):
            while True:
                broker.publish_event("webhook.delivered", b"second")
                try:
                    other = await connection.channel()
                    await other.declare_exchange(f"{topology_prefix}.events", passive=True)
                    break
                except aio_pika.exceptions.ChannelNotFoundEntity:
                    await asyncio.sleep(0.05)


async def test_one_that_is_too_large_is_dropped_and_counted(amqp_url: str, topology_prefix: str, ear: Ear) -> None:
    events = Told(amqp_url, topology_prefix)
    for event in (b"1", b"x" * (MAX_EVENT_BYTES + 1), b"2", b"x" * MAX_EVENT_BYTES):
        events.publish_event("webhook.delivered", event)
    assert [len(message.body) for message in await ear.hears(3)] == [1, 1, MAX_EVENT_BYTES]
    await events.close()
    assert events.count["lost"] == 1


async def test_what_is_too_large_for_this_broker_ends_one_channel_and_no_other(
    amqp_url: str, topology_prefix: str, ear: Ear, rabbitmq: Node
) -> None:
    await asyncio.to_thread(rabbitmq.limit_messages, 1000)
    try:
        events = Told(amqp_url, topology_prefix)
        async with patience(30):
            while not events.count["lost"]:
                events.publish_event("webhook.delivered", b"x" * 1001)
                await asyncio.sleep(0.05)
        events.publish_event("webhook.delivered", b"x" * 1000)
        assert [len(message.body) for message in await ear.hears(1)] == [1000]
        await events.close()
    finally:
        await asyncio.to_thread(rabbitmq.limit_messages)
