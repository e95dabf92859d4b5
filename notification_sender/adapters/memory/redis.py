"""The embedded default: the same scripts on a Redis inside this process. It persists nothing and is never away."""

import asyncio
from collections.abc import Sequence
from functools import cache
from typing import Any

from fakeredis import FakeRedis, FakeServer
from fakeredis._socket import FakeSocket
from fakeredis.commands_mixins.scripting_mixin import _convert_redis_arg
from redis._parsers import Encoder
from redis.exceptions import RedisError

from notification_sender.adapters.redis.errors import translated
from notification_sender.adapters.redis.scripts import Script

FIRST = """
if not redis.compiled then redis.compiled, collectgarbage = {{}}, function() end end
redis.compiled['{digest}'] = function()
{source}
end
"""
"""Compiles a script, as a server does at its first EVAL. The library compiles the whole source at every call, and
collects all of Lua's garbage after it: the two took a fifth of the demo's CPU time. Lua still collects by itself."""

CALL = "return redis.compiled['{digest}']()"

ENCODE: Any = Encoder("utf-8", "strict", decode_responses=False).encode  # type: ignore[no-untyped-call]
"""What a client of a real server does to arguments: it refuses what has no meaning there."""


class EmbeddedRedis:
    """Stands in for ``Redis``. Its scripts read the wall clock."""

    ready = True

    def __init__(self) -> None:
        self._connection = _Connection()
        self._compiled: set[str] = set()

    async def connect(self) -> None:
        """Nothing to do."""

    async def wait_ready(self) -> None:
        """Return at once: it is always ready."""

    async def close(self) -> None:
        """Nothing to do."""

    async def ping(self) -> None:
        """Nothing to do: it is never away."""

    async def execute(self, *command: Any) -> Any:
        try:
            reply = self._connection.ask([ENCODE(part) for part in command])
        except RedisError as fault:
            raise translated(fault) from fault
        # A reply of a real server takes time, in which others go on.
        await asyncio.sleep(0)
        return reply

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        text = CALL if script.digest in self._compiled else FIRST + CALL
        text = text.format(digest=script.digest, source=script.source)
        reply = await self.execute("EVAL", text, len(keys), *keys, *arguments)
        self._compiled.add(script.digest)
        return reply


class _Connection(FakeSocket):
    """The library's server, asked without its client, which took a tenth of the demo's CPU time.

    A client writes each command as bytes, starts a task that sends them, and puts the reply into a queue.

    Only for commands that do not block. It uses what the library does not promise to keep; all of it is here, and
    ``tests/adapters/memory/test_embedded_redis.py`` shows what breaks.
    """

    def __init__(self) -> None:
        super().__init__(FakeServer(), 0, client_class=FakeRedis)
        self._reply: Any = None

    def ask(self, command: list[bytes]) -> Any:
        """The raw reply, as the worker's own client returns it."""
        self._process_command(command)
        if isinstance(self._reply, RedisError):
            raise self._reply
        return self._reply

    def put_response(self, msg: Any) -> None:
        self._reply = msg

    def _lua_redis_call(self, lua_runtime: Any, _globals: set[Any], op: bytes, *args: Any) -> Any:
        """``redis.call``. The library looks for new global variables before each: at the end of a script will do."""
        command, signature = self._name_to_func(_name(op))
        arguments = [it if type(it) is bytes else _convert_redis_arg(it) for it in args]
        reply = self._run_command(command, signature, arguments, from_script=True)
        return self._convert_redis_result(lua_runtime, reply)


@cache
def _name(command: bytes) -> str:
    return command.decode().lower()
