"""What every message passes in aiormq, for less: whole frames, deliveries without a task, acks without an object.

Measured: the library spends a fifth of a worker's CPU on these. It offers no hook for them, so its classes are replaced
in its own module; a test checks that it still uses them.
"""

import asyncio
from struct import Struct
from typing import Any, cast

import aiormq.connection
import pamqp.frame
import structlog
from aiormq import Channel
from aiormq.abc import ChannelFrame, DeliveredMessage
from aiormq.connection import FrameReceiver
from aiormq.exceptions import ChannelInvalidStateError
from pamqp import commands
from pamqp.exceptions import PAMQPException
from pamqp.header import ContentHeader

_HEAD = 7
"""Bytes before the payload of a frame: its type, channel and size; one byte ends the frame."""

_ACK = Struct(">BHIHHQBB")
"""A whole frame (AMQP 0-9-1, 1.8.3.13): type, channel, size; class 60, method 80, delivery tag, multiple; the end."""

_log = structlog.get_logger()


class WholeFrames(FrameReceiver):
    """Takes a frame out of the buffer in one step where all of it has arrived. The library reads in three."""

    async def get_frame(self) -> Any:
        frame = _whole_frame(self.reader) if self.started else None
        if frame is None:
            return await super().get_frame()
        try:
            return pamqp.frame.unmarshal(frame)
        except PAMQPException as fault:
            raise aiormq.exceptions.InvalidFrameError(str(fault)) from fault


def _whole_frame(reader: asyncio.StreamReader) -> bytes | None:
    stream = cast("Any", reader)
    buffer: bytearray = stream._buffer  # noqa: SLF001 - as readexactly takes from it, without its three coroutines
    if len(buffer) <= _HEAD:
        return None
    end = _HEAD + int.from_bytes(buffer[3:_HEAD]) + 1
    if len(buffer) < end:
        return None
    frame = bytes(buffer[:end])
    del buffer[:end]
    stream._maybe_resume_transport()  # noqa: SLF001 - else a full buffer is never read into again
    return frame


class DirectChannel(Channel):
    """Calls a consumer itself. A consumer that is a coroutine gets a task, as the library gives one to each."""

    async def _on_deliver_frame(self, frame: commands.Basic.Deliver) -> None:
        header = await self._get_frame()
        if not isinstance(header, ContentHeader):
            raise ValueError(f"a {type(header).__name__} in place of a content header")  # noqa: TRY004 - as the library
        message = await self._read_content(frame, header)
        consumer = self.consumers.get(frame.consumer_tag or "")
        if consumer is None:
            return
        try:
            waiting: Any = consumer(message)
        except Exception as fault:  # noqa: BLE001 - a bug in one delivery must not end the channel of all
            _log.error("delivery.not_taken", error=type(fault).__name__)
            return
        if waiting is not None:
            self.create_task(waiting).add_done_callback(self._on_consumer_done)

    async def ack(self, message: DeliveredMessage) -> None:
        """``basic_ack`` that waits only for a full write queue.

        Raises:
            ChannelInvalidStateError: the channel is closed: an ack on it would end the connection.
        """
        ending: asyncio.Event = cast("Any", self)._Channel__close_event  # noqa: SLF001 - as the library's own checks
        if self.is_closed or ending.is_set():
            raise ChannelInvalidStateError(f"{self} closed")
        frame = _ACK.pack(1, self.number, _ACK.size - _HEAD - 1, 60, 80, message.delivery_tag or 0, 0, 0xCE)
        await self.write_queue.put(ChannelFrame(frame, should_close=False))


def install() -> None:
    """Let the library use these from now on."""
    module: Any = aiormq.connection
    module.FrameReceiver, module.Channel = WholeFrames, DirectChannel
