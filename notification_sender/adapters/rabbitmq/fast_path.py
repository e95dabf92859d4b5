"""What every message passes in aiormq, for less: deliveries straight from the bytes, acks of a turn in one write.

Measured: the library spends a fifth of a worker's CPU on these. It offers no hook for them, so its classes are replaced
in its own module; a test checks that it still uses them.
"""

import asyncio
from collections.abc import Callable
from itertools import count
from struct import Struct
from typing import Any, cast

import aiormq.connection
import pamqp.frame
import structlog
from aiormq import Channel, Connection
from aiormq.abc import ChannelFrame, ExceptionType
from aiormq.connection import FrameReceiver
from aiormq.exceptions import AMQPConnectionError, ChannelInvalidStateError, InvalidFrameError
from pamqp import commands
from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader

from notification_sender.adapters.rabbitmq.deliveries import (
    AROUND,
    DELIVER,
    FRAME,
    FRAME_END,
    Delivery,
    Take,
    delivery,
    end_of_frame,
    parts,
)

AT_ONCE = 16
"""Deliveries that are handed over in one turn of the event loop: each begins work, and headers may be slow to read."""

FORMER = 16
"""Cancelled consumers of a channel that may still get a delivery. Each change of a prefetch cancels one."""

_ACK = Struct(">BHIHHQBB")
"""A whole frame (AMQP 0-9-1, 1.8.3.13): type, channel, size; class 60, method 80, delivery tag, multiple; the end."""

_log = structlog.get_logger()


class WholeFrames(FrameReceiver):
    """Hands usual deliveries to their consumers, and every other frame to the library.

    The library passes each frame of a delivery through a queue and two tasks, and reads each in three steps.
    """

    connection: "DirectConnection | None" = None

    async def get_frame(self) -> Any:
        """The next frame that is for the library.

        Raises:
            InvalidFrameError: the broker violates the protocol.
            AMQPConnectionError: the connection was lost.
        """
        if not self.started:
            return await super().get_frame()
        while True:
            taken, frame = self._take()
            if frame is not None:
                return frame
            if taken == AT_ONCE:
                await asyncio.sleep(0)
            else:
                await self._more()

    def _take(self) -> tuple[int, Any]:
        """The number of deliveries that were handed over, and the frame after them if it is whole."""
        stream: Any = self.reader
        buffer: bytearray = stream._buffer  # noqa: SLF001 - as readexactly takes from it, without its three coroutines
        at = taken = 0
        frame = None
        while frame is None and taken < AT_ONCE and (end := end_of_frame(buffer, at)):
            if after := self._deliver(buffer, at, end):
                if after < 0:
                    break
                at, taken = after, taken + 1
            else:
                frame, at = self._decoded(bytes(buffer[at:end])), end
        if at:
            del buffer[:at]
            stream._maybe_resume_transport()  # noqa: SLF001 - else a full buffer is never read into again
        if taken and self.connection is not None:
            self.connection.note_alive()
        return taken, frame

    def _deliver(self, buffer: bytearray, at: int, end: int) -> int:
        """Where the delivery at ``at`` ends, which was handed over; -1 if it is not whole yet, 0 if it is no such."""
        if buffer[at + FRAME.size : at + FRAME.size + len(DELIVER)] != DELIVER or buffer[at] != 1:
            return 0
        channel = self.connection and self.connection.channels.get(int.from_bytes(buffer[at + 1 : at + 3]))
        if not isinstance(channel, DirectChannel):
            return 0
        if channel.takers and not channel.behind and not channel.is_closed:
            ends = parts(buffer, at, end)
            if ends is not None and not ends[1]:
                return -1
            if ends and channel.deliver(bytes(buffer[at : ends[1]]), (end - at, ends[0] - at)):
                return ends[1]
        channel.behind += 1
        return 0

    @staticmethod
    def _decoded(frame: bytes) -> Any:
        try:
            return pamqp.frame.unmarshal(frame)
        except PAMQPException as fault:
            raise InvalidFrameError(str(fault)) from fault

    async def _more(self) -> None:
        """Wait for bytes."""
        stream: Any = self.reader
        fault = stream.exception()
        try:
            if fault is None and not stream._eof:  # noqa: SLF001 - at_eof() also wants an empty buffer
                await stream._wait_for_data("get_frame")  # noqa: SLF001 - it lets a paused transport read on
                return
        except OSError as lost:
            fault = lost
        raise AMQPConnectionError(f"Server connection unexpectedly closed: {fault!r}") from fault


class DirectChannel(Channel):
    """Hands deliveries to the consumers in ``takers`` (by tag) itself: without a task, without a queue between."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.takers: dict[bytes, Take] = {}
        """With the last that were cancelled: deliveries in transit carry their tags."""
        self.behind = 0
        """Deliveries that the library has begun to read. The next ones must not overtake them."""
        self.unsettled = 0
        """Deliveries in hand, as their consumers count them."""
        self._tags = count(1)
        self._leaving = False

    async def consume(self, queue: str, take: Take) -> str:
        """Begin to consume: ``take`` is called for each delivery, in the turn in which it arrives.

        Returns the tag, which is in ``consumers`` for as long as the broker has not cancelled it.
        """
        tag = f"direct-{self.number}-{next(self._tags)}"
        former = [it for it in self.takers if it.decode() not in self.consumers]
        for it in former[:-FORMER]:
            del self.takers[it]
        self.takers[tag.encode()] = take
        await self.basic_consume(queue, cast("Any", take), consumer_tag=tag)
        return tag

    def deliver(self, data: bytes, ends: tuple[int, int]) -> bool:
        """Hand over the delivery in ``data``; False if it takes the library to read it."""
        found = delivery(data, ends, self, self.takers)
        if found is None:
            return False
        _hand_over(*found)
        return True

    async def _on_deliver_frame(self, frame: commands.Basic.Deliver) -> None:
        try:
            take = self.takers.get((frame.consumer_tag or "").encode())
            if take is None:
                await super()._on_deliver_frame(frame)
                return
            header = await self._get_frame()
            if not isinstance(header, ContentHeader):
                raise ValueError(f"a {type(header).__name__} in place of a content header")  # noqa: TRY004 - as the library
            _hand_over(take, Delivery.of(await self._read_content(frame, header)))
        finally:
            self.behind -= 1

    def ack(self, tag: int) -> None:
        """Ack the delivery with this tag. It is written with all others of this turn of the event loop.

        Raises:
            ChannelInvalidStateError: the channel is closed or closing: an ack on it would end the connection.
        """
        library: Any = self
        ending: asyncio.Event = library._Channel__close_event  # noqa: SLF001 - as the library's own checks
        if self._leaving or self.is_closed or ending.is_set():
            raise ChannelInvalidStateError(f"{self} closed")
        library.connection.write_soon(_ACK.pack(1, self.number, _ACK.size - AROUND, 60, 80, tag, 0, FRAME_END))

    async def _on_close(self, exc: ExceptionType | None = None) -> None:
        self._leaving = True
        await super()._on_close(exc)


def _hand_over(take: Take, taken: Delivery) -> None:
    try:
        take(taken)
    except Exception as fault:  # noqa: BLE001 - a bug in one delivery must not end the channel of all
        _log.error("delivery.not_taken", error=type(fault).__name__)


class WriteQueue(asyncio.Queue[ChannelFrame]):
    """What the library's writer writes: it takes each frame right before that. ``before`` is called in between."""

    def __init__(self, maxsize: int, before: Callable[[], None]) -> None:
        super().__init__(maxsize)
        self._before = before

    def _get(self) -> ChannelFrame:
        self._before()
        library: Any = super()
        frame: ChannelFrame = library._get()  # noqa: SLF001 - made to be overridden
        return frame


class DirectConnection(Connection):
    """Lets its reader find the channels, writes the acks, and loses nothing that waits to be written when it closes."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.write_queue = WriteQueue(self.FRAME_BUFFER_SIZE, before=self._write_acks)
        self._stream: asyncio.StreamWriter | None = None
        self._acks: list[bytes] = []

    def write_soon(self, ack: bytes) -> None:
        """Write an ack at the end of this turn, with all others of the turn, or before the frame that is next.

        It takes no place in the queue, so none waits for one, and it never comes after the frame that closes its
        channel. The task of the writer, which would be woken for it, takes 30 calls for each frame.
        """
        if not self._acks:
            self.loop.call_soon(self._write_acks)
        self._acks.append(ack)

    def _write_acks(self) -> None:
        if self._acks and self._stream is not None and not self._stream.is_closing():
            acks, self._acks = self._acks, []
            self._stream.write(b"".join(acks))

    def note_alive(self) -> None:
        """Note that the broker is alive. It sends no heartbeats between deliveries."""
        library: Any = self
        library._Connection__last_frame_time = self.loop.time()  # noqa: SLF001 - as its reader does

    async def _Connection__reader(self, frames: WholeFrames) -> None:  # noqa: N802 - the library's private name
        frames.connection = self
        await cast("Any", super())._Connection__reader(frames)  # noqa: SLF001 - ours is called in its place

    async def _Connection__writer(self, stream: asyncio.StreamWriter) -> None:  # noqa: N802 - the library's private name
        self._stream = stream
        self._write_acks()
        await cast("Any", super())._Connection__writer(stream)  # noqa: SLF001 - ours is called in its place

    async def _on_close(self, exc: ExceptionType | None = None) -> None:
        # The library cancels its writer, which says goodbye at once: acks would be lost, and their messages come again.
        self._write_acks()
        if self._stream is not None and not self._stream.is_closing():
            while not self.write_queue.empty():
                self._stream.write(self.write_queue.get_nowait().payload)
        await super()._on_close(exc)


def install() -> None:
    """Let the library use these from now on."""
    module: Any = aiormq.connection
    module.FrameReceiver, module.Channel, module.Connection = WholeFrames, DirectChannel, DirectConnection
