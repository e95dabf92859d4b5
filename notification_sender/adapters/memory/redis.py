"""The embedded default: the same scripts on a Redis inside this process. It persists nothing and is never away."""

from collections.abc import Sequence
from typing import Any

from fakeredis import FakeAsyncRedis, FakeServer
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


class EmbeddedRedis:
    """Stands in for ``Redis``. Its scripts read the wall clock."""

    ready = True

    def __init__(self) -> None:
        # One connection: the library's pool refuses the 101st concurrent caller at once.
        self._redis: Any = FakeAsyncRedis(server=FakeServer(), protocol=2, single_connection_client=True)
        # Replies stay raw, as the worker's own client returns them.
        self._redis.response_callbacks.clear()
        self._compiled: set[str] = set()

    async def connect(self) -> None:
        """Nothing to do."""

    async def wait_ready(self) -> None:
        """Return at once: it is always ready."""

    async def close(self) -> None:
        await self._redis.aclose()

    async def ping(self) -> None:
        """Nothing to do: it is never away."""

    async def execute(self, *command: Any) -> Any:
        try:
            return await self._redis.execute_command(*command)
        except RedisError as fault:
            raise translated(fault) from fault

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        text = CALL if script.digest in self._compiled else FIRST + CALL
        text = text.format(digest=script.digest, source=script.source)
        reply = await self.execute("EVAL", text, len(keys), *keys, *arguments)
        self._compiled.add(script.digest)
        return reply
