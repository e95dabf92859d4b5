"""One connection to Redis for as long as it lives: all commands of one turn of the loop leave in one write.

Measured: a call costs a tenth of one through redis-py's pool, which sends each command alone on a connection of its
own. Opening, TLS, login and reading replies are the library's.
"""

import asyncio
from collections import deque
from typing import Any

import hiredis
from redis.asyncio.connection import Connection
from redis.exceptions import ReadOnlyError, RedisError, ResponseError

from notification_sender.model.errors import Unready

LOOKS = 4
"""How often in one timeout it is looked whether the oldest command was answered."""


class Wire:
    """Replies come in the order of the commands, so the oldest unanswered one speaks for all."""

    def __init__(self, connection: Connection, timeout: float) -> None:
        self._connection = connection
        self._timeout = timeout
        self._loop = asyncio.get_running_loop()
        self._outgoing: list[bytes] = []
        self._filled = asyncio.Event()
        self._sent = 0
        self._answered = asyncio.Event()
        self._unanswered: deque[asyncio.Future[Any]] = deque()
        self.open = True

    def send(self, *command: Any) -> asyncio.Future[Any]:
        """The reply to come. Whoever stops waiting for it disturbs nobody else.

        Raises:
            Unready: the connection was lost; the future says the same if that happens later.
        """
        if not self.open:
            raise Unready("Redis is away")
        packed = hiredis.pack_command(command)
        reply = self._loop.create_future()
        self._unanswered.append(reply)
        self._outgoing.append(packed)
        self._filled.set()
        return reply

    async def live(self) -> Exception:
        """Carry commands out and replies in until the connection is lost; returns why."""
        try:
            async with asyncio.TaskGroup() as group:
                for part in (self._write(), self._read(), self._watch()):
                    group.create_task(part)
        except* (RedisError, OSError) as faults:
            cause = faults.exceptions[0]
        finally:
            self.open = False
            self._abandon()
            await self._connection.disconnect(nowait=True)
        return cause

    async def _write(self) -> None:
        while True:
            await self._filled.wait()
            if self._sent:
                # As Nagle's algorithm (RFC 896): while answers are on their way, what is to be sent gathers. An idle
                # wire is not slowed, a busy one makes a third of the writes and reads.
                self._answered.clear()
                await self._answered.wait()
            self._filled.clear()
            outgoing, self._outgoing = self._outgoing, []
            self._sent = len(outgoing)
            await self._connection.send_packed_command(outgoing, check_health=False)

    async def _read(self) -> None:
        while True:
            answer = await self._answer()
            reply = self._unanswered.popleft()
            self._sent -= 1
            if not self._sent:
                self._answered.set()
            if reply.done():
                continue
            if isinstance(answer, Exception):
                reply.set_exception(answer)
            else:
                reply.set_result(answer)

    async def _answer(self) -> Any:
        try:
            return await self._connection.read_response(disconnect_on_error=False)
        except ReadOnlyError:
            # A replica: the name may lead to the new master when it is looked up again.
            raise
        except ResponseError as fault:
            return fault

    async def _watch(self) -> None:
        oldest, looks = None, 0
        while True:
            await asyncio.sleep(self._timeout / LOOKS)
            if not self._unanswered:
                # So that a server that hangs is noticed although nobody asks it anything.
                self.send("PING").cancel()
            # Counted, because a process that was stopped has not read yet what was answered meanwhile.
            looks = looks + 1 if self._unanswered[0] is oldest else 0
            oldest = self._unanswered[0]
            if looks == LOOKS:
                raise TimeoutError(f"no answer within {self._timeout:g} s")

    def _abandon(self) -> None:
        for reply in self._unanswered:
            if not reply.done():
                reply.set_exception(Unready("Redis was lost before it answered"))
        self._unanswered.clear()
