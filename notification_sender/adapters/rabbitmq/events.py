"""Publishes events to RabbitMQ in the background, without delaying deliveries."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from functools import lru_cache
from struct import Struct, pack
from typing import Any

import structlog
from aio_pika.exceptions import ChannelPreconditionFailed
from aiormq import Channel
from aiormq.abc import ChannelFrame

from notification_sender.adapters.rabbitmq.address import BrokerAddress
from notification_sender.adapters.rabbitmq.connection import RECONNECT_SECONDS, BrokerConnection, within
from notification_sender.adapters.rabbitmq.deliveries import FRAME
from notification_sender.adapters.rabbitmq.depths import is_blocked
from notification_sender.adapters.rabbitmq.publisher import largest
from notification_sender.fleet.background import LogOnChange, run_forever
from notification_sender.model.errors import ConfigurationFault, Unready
from notification_sender.ports.clock import Clock

MAX_WAITING = 10_000
"""Events that wait at most, about 10 MB: a broker without memory stops reading, for any length of time."""

COLLECT_SECONDS = 0.1
"""Seconds in which events are collected for one write. A write per event would cost ten times as much, or more."""

MAX_WRITE_BYTES = 64 * 1024
"""Bytes of a write from which on no further event is added."""

MAX_EVENT_BYTES = 64 * 1024
"""Bytes of one event at most. Our events have about 2,000. The broker closes the channel at an event that is too large
for it, and all events in transit on it are lost."""

CHANNEL_TIMEOUT = 30.0
"""Seconds that a channel may take to open, and between two attempts at a refused connection."""

CLOSE_TIMEOUT = 1.0
"""Seconds at the end to send the waiting events, and again to close the connection."""

CONTENT_TYPE = b"application/cloudevents+json"

_SIZE = Struct(">Q")

_log = structlog.get_logger()


class RabbitmqEvents:
    """Publishes events on a third connection, which is opened for the first event.

    RabbitMQ slows down a whole connection when a queue behind it is slow; on another connection that would delay acks
    and parked messages. Events are published without confirms and not mandatory: usually no queue is bound.
    ``lost`` gets the number of events that were not sent, or may not have been; ``mend`` declares what is missing.
    """

    def __init__(
        self,
        *,
        address: BrokerAddress,
        exchange: str,
        clock: Clock,
        lost: Callable[[int], None],
        mend: Callable[[], Awaitable[None]],
    ) -> None:
        self._link = BrokerConnection(address=address, purpose="events", clock=clock)
        self._exchange = exchange
        self._clock = clock
        self._lost = lost
        self._mend = mend
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._woken = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self._closing = False
        self._channel: Channel | None = None
        self._largest = MAX_EVENT_BYTES

    @property
    def blocked(self) -> bool:
        """Whether the broker has told that it takes no events."""
        return is_blocked(self._link)

    def publish_event(self, topic: str, event: bytes) -> None:
        """Queue an event; returns at once."""
        if len(self._waiting) >= MAX_WAITING or len(event) > self._largest:
            self._lost(1)
            return
        if not self._waiting:
            self._woken.set()
        self._waiting.append((topic, event))
        if self._sending is None:
            self._sending = run_forever(self._send_for_ever, "rabbitmq events")

    async def close(self) -> None:
        """Send the waiting events, within ``CLOSE_TIMEOUT``, and close the connection."""
        if self._sending is None:
            return
        self._closing = True
        self._woken.set()
        await asyncio.wait([self._sending], timeout=CLOSE_TIMEOUT)
        self._sending.cancel()
        await asyncio.wait([self._sending])
        self._lost(len(self._waiting))
        try:
            async with within(CLOSE_TIMEOUT):
                if self._channel is not None and not self._channel.is_closed:
                    # The broker confirms the close of a channel after all frames before it; that of a connection it
                    # may confirm earlier.
                    await self._channel.close()
                await self._link.close()
        except Unready as fault:
            _log.debug("events.close_failed", error=str(fault))

    async def _send_for_ever(self) -> None:
        unsent = LogOnChange(_log.warning, "events.unsent")
        await self._open()
        while self._waiting or not self._closing:
            if not self._waiting:  # after an error there may be events that nobody wakes us for again
                await self._woken.wait()
            self._woken.clear()
            await self._clock.sleep(COLLECT_SECONDS)
            while self._waiting:
                try:
                    await self._send(await self._writable())
                    unsent("")
                except Exception as fault:  # noqa: BLE001 - any error must leave the next events to be sent
                    unsent(str(fault))
                    await self._clock.sleep(RECONNECT_SECONDS)

    async def _open(self) -> None:
        while True:
            try:
                await self._link.open()
            except ConfigurationFault as fault:
                # The broker took the other two connections: it may have a limit of connections.
                _log.error("events.refused", error=str(fault))
                await self._clock.sleep(CHANNEL_TIMEOUT)
            else:
                return

    async def _writable(self) -> Channel:
        """The open channel, opened if needed; raises Unready."""
        if self._channel is None or self._channel.is_closed:
            async with within(CHANNEL_TIMEOUT):
                if self._channel is not None:
                    await self._mend()
                self._channel = await self._link.channel()
            self._channel.closing.add_done_callback(self._learn)
        return self._channel

    def _learn(self, closed: asyncio.Future[Any]) -> None:
        """Learn the broker's size limit: a larger event would close the next channel, too."""
        fault = None if closed.cancelled() else closed.exception()
        if isinstance(fault, ChannelPreconditionFailed) and (limit := largest(fault)) is not None:
            self._largest = min(self._largest, limit)

    async def _send(self, channel: Channel) -> None:
        """Write a batch of waiting events, and return when the write has left the process.

        Raises:
            Unready: the connection or the channel was lost, and the batch with it.
        """
        events, size = [], 0
        while self._waiting and size < MAX_WRITE_BYTES:
            topic, event = self._waiting.popleft()
            events.append(published(channel.number, channel.max_content_size, self._exchange, topic, event))
            size += len(event)
        # A future of the channel fails when the channel closes. The library's own wait would not end then.
        drained = channel.create_future()
        try:
            # No time limit while the connection lives: a memory alarm may last for hours.
            async with within(math.inf):
                await channel.write_queue.put(ChannelFrame(b"".join(events), should_close=False, drain_future=drained))
                await drained
        except Unready:
            self._lost(len(events))
            raise


def published(number: int, longest: int, exchange: str, topic: str, body: bytes) -> bytes:
    """Encode one event as AMQP 0-9-1 frames (2.3.5, 4.2) for channel ``number``; a body frame holds ``longest`` bytes.

    Encoded by hand: 1 µs an event, against 11 µs through the library.
    """
    head, tail = _method_and_header(number, exchange, topic)
    size = len(body)
    if 0 < size <= longest:
        return b"".join((head, _SIZE.pack(size), tail, FRAME.pack(3, number, size), body, b"\xce"))
    chunks = (body[start : start + longest] for start in range(0, size, longest))
    return b"".join((head, _SIZE.pack(size), tail, *(_frame(3, number, chunk) for chunk in chunks)))


@lru_cache(maxsize=256)
def _method_and_header(number: int, exchange: str, topic: str) -> tuple[bytes, bytes]:
    """The bytes before and after the size of the body."""
    publish = pack(">HHH", 60, 40, 0) + _short(exchange.encode()) + _short(topic.encode()) + b"\x00"
    # The flags say which properties follow: the content type, and the delivery mode (persistent).
    properties = pack(">H", 0x9000) + _short(CONTENT_TYPE) + b"\x02"
    header = _frame(2, number, pack(">HHQ", 60, 0, 0) + properties)
    return _frame(1, number, publish) + header[:11], header[19:]


def _frame(kind: int, number: int, payload: bytes) -> bytes:
    return b"".join((pack(">BHI", kind, number, len(payload)), payload, b"\xce"))


def _short(text: bytes) -> bytes:
    return bytes((len(text),)) + text
