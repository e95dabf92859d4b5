"""The embedded default: the same scripts on a Redis inside this process. It keeps nothing, and is never away."""

from collections.abc import Sequence
from typing import Any

from fakeredis import FakeAsyncRedis, FakeServer
from redis.exceptions import RedisError

from notification_sender.adapters.redis import refused
from notification_sender.adapters.scripts import Script


class EmbeddedRedis:
    """As Redis; knows the wall clock only."""

    ready = True

    def __init__(self) -> None:
        # One connection: the library's pool refuses the hundred-and-first caller at once.
        self._redis: Any = FakeAsyncRedis(server=FakeServer(), protocol=2, single_connection_client=True)
        # Replies as they come from a server, not as its client would dress them up.
        self._redis.response_callbacks.clear()

    async def connect(self) -> None:
        """There is nothing to connect to."""

    async def wait_ready(self) -> None:
        """There is nothing to wait for."""

    async def close(self) -> None:
        await self._redis.aclose()

    async def ping(self) -> None:
        """It is never away."""

    async def execute(self, *command: Any) -> Any:
        try:
            return await self._redis.execute_command(*command)
        except RedisError as fault:
            raise refused(fault) from fault

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        return await self.execute("EVAL", script.source, len(keys), *keys, *arguments)
