"""Events on their way to RabbitMQ: beside the work, never in its way."""

import asyncio
import math
from collections import deque
from collections.abc import Awaitable, Callable
from functools import lru_cache
from struct import pack

import structlog
from aiormq import Channel
from aiormq.abc import ChannelFrame

from notification_sender.adapters.amqp import RETRY, Link, within
from notification_sender.model.errors import ConfigurationFault, Unready
from notification_sender.ports import Clock

WAITING = 10_000
"""Events that wait at most, about 10 MB: a broker that is out of memory stops reading for as long as it likes."""

TOGETHER = 0.1
"""Seconds in which events are collected for one write: alone, each would cost ten times as much, or more."""

ONE_WRITE = 64 * 1024
"""Bytes after which no further event is added to a write."""

PATIENCE = 30.0
"""Seconds that a channel may take to open."""

LEAVING = 1.0
"""Seconds at the end for what still waits, and as many for the connection to close."""

CONTENT_TYPE = b"application/cloudevents+json"

_log = structlog.get_logger()


class RabbitmqEvents:
    """A third connection, opened for the first event: the broker slows down a whole connection when a queue behind it
    is slow, and on one of the others that would slow what we ack or park. Without confirms, and not mandatory: mostly
    nobody listens.

    ``lost`` is told how many events were not sent, or perhaps not; ``mend`` declares again what is missing.
    """

    def __init__(
        self, *, url: str, exchange: str, clock: Clock, lost: Callable[[int], None], mend: Callable[[], Awaitable[None]]
    ) -> None:
        self._link = Link(url=url, purpose="events", clock=clock)
        self._exchange = exchange
        self._clock = clock
        self._lost = lost
        self._mend = mend
        self._waiting: deque[tuple[str, bytes]] = deque()
        self._woken = asyncio.Event()
        self._sending: asyncio.Task[None] | None = None
        self._leaving = False
        self._channel: Channel | None = None

    def tell(self, topic: str, event: bytes) -> None:
        """Hand it over, at once."""
        if len(self._waiting) >= WAITING:
            self._lost(1)
            return
        self._waiting.append((topic, event))
        self._woken.set()
        if self._sending is None:
            self._sending = asyncio.create_task(self._send_for_ever(), name="rabbitmq events")

    async def close(self) -> None:
        """What waits is sent if that goes quickly."""
        if self._sending is None:
            return
        self._leaving = True
        self._woken.set()
        await asyncio.wait([self._sending], timeout=LEAVING)
        self._sending.cancel()
        await asyncio.wait([self._sending])
        self._lost(len(self._waiting))
        try:
            async with within(LEAVING):
                if self._channel is not None and not self._channel.is_closed:
                    # Its end is confirmed after all that was sent before; that of a connection is not.
                    await self._channel.close()
                await self._link.close()
        except Unready as fault:
            _log.debug("events.closed_late", error=str(fault))

    async def _send_for_ever(self) -> None:
        told = ""
        await self._open()
        while self._waiting or not self._leaving:
            await self._woken.wait()
            self._woken.clear()
            await self._clock.sleep(TOGETHER)
            while self._waiting:
                try:
                    await self._send(await self._writable())
                    told = ""
                except Exception as fault:  # noqa: BLE001 - whatever it is, the next events are sent
                    if str(fault) != told:
                        told = str(fault)
                        _log.warning("events.unsent", error=told)
                    await self._clock.sleep(RETRY)

    async def _open(self) -> None:
        while True:
            try:
                await self._link.open()
            except ConfigurationFault as fault:
                # It took the other two: it may have a limit of connections.
                _log.error("events.refused", error=str(fault))
                await self._clock.sleep(PATIENCE)
            else:
                return

    async def _writable(self) -> Channel:
        """Raises Unready."""
        if self._channel is None or self._channel.is_closed:
            async with within(PATIENCE):
                if self._channel is not None:
                    await self._mend()
                self._channel = await self._link.channel()
        return self._channel

    async def _send(self, channel: Channel) -> None:
        """One write of some that wait; on return the broker may have room for more.

        Raises:
            Unready: the connection or the channel was lost meanwhile, and these with it.
        """
        events, size = [], 0
        while self._waiting and size < ONE_WRITE:
            topic, event = self._waiting.popleft()
            events.append(published(channel.number, channel.max_content_size, self._exchange, topic, event))
            size += len(event)
        # Of the channel: it fails with it. The library waits with the write itself, and knows nothing of its end.
        drained = channel.create_future()
        try:
            # For as long as the connection lives: an alarm may last for hours.
            async with within(math.inf):
                await channel.write_queue.put(ChannelFrame(b"".join(events), should_close=False, drain_future=drained))
                await drained
        except Unready:
            self._lost(len(events))
            raise


def published(number: int, longest: int, exchange: str, topic: str, body: bytes) -> bytes:
    """The frames of one event on channel ``number``, as AMQP 0-9-1 (2.3.5, 4.2) has them; a frame of the body holds
    ``longest`` bytes. By hand, because the library's way costs eleven µs, and this one.
    """
    head, tail = _method_and_header(number, exchange, topic)
    chunks = (body[start : start + longest] for start in range(0, len(body), longest))
    return b"".join((head, pack(">Q", len(body)), tail, *(_frame(3, number, chunk) for chunk in chunks)))


@lru_cache(maxsize=256)
def _method_and_header(number: int, exchange: str, topic: str) -> tuple[bytes, bytes]:
    """What comes before and after the size of the body."""
    publish = pack(">HHH", 60, 40, 0) + _short(exchange.encode()) + _short(topic.encode()) + b"\x00"
    # The flags say which properties follow: the content type, and that it is to survive a restart of the broker.
    properties = pack(">H", 0x9000) + _short(CONTENT_TYPE) + b"\x02"
    header = _frame(2, number, pack(">HHQ", 60, 0, 0) + properties)
    return _frame(1, number, publish) + header[:11], header[19:]


def _frame(kind: int, number: int, payload: bytes) -> bytes:
    return b"".join((pack(">BHI", kind, number, len(payload)), payload, b"\xce"))


def _short(text: bytes) -> bytes:
    return bytes((len(text),)) + text
