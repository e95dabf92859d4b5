"""One connection to Redis, from open to lost. All commands of one turn of the event loop leave in one write.

redis-py opens the connection and does TLS and login. Then this replaces its stream reader and writer: it parses a reply
where the bytes arrive, and no task stands between the socket and the caller. Measured with one command at a time: 11
Python calls for a script of the ledger, instead of 48.
"""

import asyncio
from collections import deque
from typing import Any

import hiredis
from redis.asyncio.connection import DefaultParser
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import InvalidResponse, NoScriptError, ReadOnlyError, RedisError, ResponseError

from notification_sender.adapters.redis.errors import translated
from notification_sender.adapters.redis.scripts import Script
from notification_sender.model.errors import Unready

NOT_CONNECTED = "Redis is not connected"

CHECKS_PER_TIMEOUT = 4
"""How often per timeout the connection checks whether the oldest command was answered."""

INCOMPLETE = object()
"""The parser's answer when it has no complete reply: every other value may be one."""

SPECIAL = (Exception, hiredis.PushNotification)
"""What the parser returns besides ordinary replies."""

Asked = tuple["asyncio.Future[Any]", tuple[Any, ...], Script | None]
"""The caller's future, the command, and the script that the command runs."""


class PipelinedConnection(asyncio.Protocol):
    """Redis replies in the order of the commands, so one deadline for the oldest unanswered command covers all.

    Commands collect while replies are outstanding, as in Nagle's algorithm (RFC 896). An idle connection is not slowed;
    a busy one makes a third of the writes and reads. So the write buffer holds one batch at most: a server has read all
    that it has answered.
    """

    def __init__(self, connection: Any, timeout: float) -> None:
        """``connection``: redis-py's, open, with no reply outstanding. ``timeout`` in seconds."""
        self._connection = connection
        self._transport: asyncio.Transport = connection._writer.transport  # noqa: SLF001 - redis-py says it nowhere else
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._reader = hiredis.Reader(
            protocolError=InvalidResponse, replyError=DefaultParser.parse_error, notEnoughData=INCOMPLETE
        )
        self._queued: list[bytes] = []
        self._unanswered: deque[Asked] = deque()
        self._lost: asyncio.Future[Exception] = self._loop.create_future()
        self._oldest: Asked | None = None
        self._checks = 0
        self._check_timer: asyncio.TimerHandle | None = None
        self.open = True

    async def take_over(self) -> None:
        """Take the transport over from redis-py.

        Raises:
            RedisError: the connection is lost already, or the server has sent what nobody asked for.
        """
        if self._transport.is_closing() or await self._connection.can_read():
            raise ConnectionLost("it was lost before its first use")
        # Nothing may wait between that check and this: of a loss in between redis-py would be told alone.
        self._transport.set_protocol(self)
        self._schedule_check()

    def send(self, command: tuple[Any, ...], script: Script | None = None) -> asyncio.Future[Any]:
        """Send a command; the future gets its raw reply, or the error as ``translated``. A caller may cancel it without
        harm to other callers. ``script``: the one that the command runs by its digest. Its source is sent if the server
        does not have it.

        Raises:
            Unready: the connection is lost. If it is lost later, the future gets Unready.
        """
        if not self.open:
            raise Unready(NOT_CONNECTED)
        self._queued.append(hiredis.pack_command(command))
        if not self._unanswered:
            # Not at once: other callers of this turn send as well.
            self._loop.call_soon(self._flush)
        reply = self._loop.create_future()
        self._unanswered.append((reply, command, script))
        return reply

    async def wait_lost(self) -> Exception:
        """Wait until the connection is lost, and close it; returns why it was lost."""
        await asyncio.wait([self._lost])
        await self.close()
        return self._lost.result()

    async def close(self) -> None:
        """Close the connection. Every caller that still waits for a reply gets Unready."""
        self._lose(ConnectionLost("it was closed"))
        await self._connection.disconnect(nowait=True)

    # --- what the transport calls -------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        try:
            self._reader.feed(data)
            self._take_replies()
        except RedisError as fault:
            self._lose(fault)

    def connection_lost(self, exc: Exception | None) -> None:
        self._lose(exc or ConnectionLost("the server has closed it"))

    # ------------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        if not self._queued:
            return  # the connection was lost meanwhile
        batch, self._queued = b"".join(self._queued), []
        try:
            self._transport.write(batch)
        except (OSError, RuntimeError) as fault:
            # RuntimeError: uvloop's answer where the socket is closed already.
            self._lose(fault)

    def _take_replies(self) -> None:
        unanswered, next_reply = self._unanswered, self._reader.gets
        outstanding = waited = len(unanswered) - len(self._queued)
        while (answer := next_reply()) is not INCOMPLETE:
            special = isinstance(answer, SPECIAL)
            if special and not _is_reply(answer):
                continue
            if not outstanding:
                raise InvalidResponse("a reply to no command")
            outstanding -= 1
            asked = unanswered.popleft()
            if asked[0].done():
                continue
            if special:
                self._refuse(asked, answer)
            else:
                asked[0].set_result(answer)
        if waited and not outstanding and self._queued:
            # Not at once: those who got a reply may have another command.
            self._loop.call_soon(self._flush)

    def _refuse(self, asked: Asked, answer: RedisError) -> None:
        reply, command, script = asked
        if script is not None and isinstance(answer, NoScriptError):
            command = ("EVAL", script.source, *command[2:])
            self._queued.append(hiredis.pack_command(command))
            self._unanswered.append((reply, command, None))
            return
        error = translated(answer)
        error.__cause__ = answer
        reply.set_exception(error)

    def _check(self) -> None:
        if not self._unanswered:
            # Detects a server that hangs while no command is outstanding.
            self.send(("PING",)).cancel()
        # Counts checks instead of time: a process that was stopped (SIGSTOP) has replies that it has not read yet.
        self._checks = self._checks + 1 if self._unanswered[0] is self._oldest else 0
        self._oldest = self._unanswered[0]
        if self._checks == CHECKS_PER_TIMEOUT:
            self._lose(TimeoutError(f"no reply within {self._timeout:g} s"))
            return
        self._schedule_check()

    def _schedule_check(self) -> None:
        self._check_timer = self._loop.call_later(self._timeout / CHECKS_PER_TIMEOUT, self._check)

    def _lose(self, fault: Exception) -> None:
        if not self.open:
            return
        self.open = False
        self._lost.set_result(fault)
        if self._check_timer is not None:
            self._check_timer.cancel()
        # What was not written yet must not reach a server whose answer nobody would read.
        self._transport.abort()
        for reply, _, _ in self._unanswered:
            if not reply.done():
                reply.set_exception(Unready("the connection to Redis was lost before the reply"))
        self._unanswered.clear()
        self._queued.clear()


def _is_reply(answer: Any) -> bool:
    """Whether it is the reply to a command: an error is, a push message is not.

    Raises:
        RedisError: an error after which the connection is of no use.
    """
    if not isinstance(answer, Exception):
        return False
    if isinstance(answer, ReadOnlyError) or not isinstance(answer, ResponseError):
        # READONLY: this server is a replica now. A new lookup of its name may lead to the new master.
        raise answer
    return True
