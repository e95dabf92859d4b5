"""What the processes of a fleet tell each other at once: one subscription each, kept for ever."""

import asyncio
from collections.abc import Callable
from typing import Any

import structlog
from redis.asyncio.connection import Connection
from redis.exceptions import NoPermissionError, RedisError

from notification_sender.adapters.redis import RETRY, Redis
from notification_sender.model.errors import ConfigurationFault, Unready

QUIET = 5.0
"""Seconds of silence after which the connection is tried: one that hangs would never say a word again."""

_log = structlog.get_logger()


class RedisNews:
    """Topics are channels, ``<prefix>:1:news:<topic>``."""

    def __init__(self, *, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._listeners: dict[bytes, list[Callable[[str], None]]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._answered = asyncio.Event()
        self._refusal: ConfigurationFault | None = None

    async def start(self) -> None:
        """Listen from now on; returns when the subscription is there. Listeners that come later are not heard.

        Raises:
            ConfigurationFault: the server lets us use no channels, which scripts use as well.
        """
        self._listening = asyncio.create_task(self._listen(), name="news")
        await self._answered.wait()
        if self._refusal is not None:
            raise self._refusal

    async def stop(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
            self._listening = None

    async def tell(self, topic: str, text: str) -> None:
        try:
            await self._redis.execute("PUBLISH", channel(self._prefix, topic), text)
        except Unready:
            return  # nobody can be told, and everybody does without

    def hear(self, topic: str, listener: Callable[[str], None]) -> None:
        self._listeners.setdefault(channel(self._prefix, topic).encode(), []).append(listener)

    async def _listen(self) -> None:
        told = ""
        while True:
            try:
                await self._subscribe()
            except (RedisError, OSError) as fault:
                if isinstance(fault, NoPermissionError) and not self._answered.is_set():
                    self._refusal = _refused(self._prefix, fault)
                    self._answered.set()
                    return
                if repr(fault) != told:
                    told = repr(fault)
                    _log.warning("news.lost", error=told)
            await asyncio.sleep(RETRY)

    async def _subscribe(self) -> None:
        """Hand out what is heard until the connection is lost."""
        connection = await self._redis.another()
        try:
            await connection.send_command("SUBSCRIBE", *self._listeners)
            await self._hand_out(connection)
        finally:
            await connection.disconnect(nowait=True)

    async def _hand_out(self, connection: Connection) -> None:
        asked = False
        while True:
            try:
                async with asyncio.timeout(QUIET):
                    message = await connection.read_response(disconnect_on_error=False)
            except TimeoutError:
                if asked:
                    raise
                asked = True
                await connection.send_command("PING")
            else:
                asked = False
                self._hear(message)

    def _hear(self, message: Any) -> None:
        match message:
            case [b"subscribe", *_]:
                self._answered.set()
            case [b"message", name, bytes(text)]:
                for listener in self._listeners.get(name, ()):
                    listener(text.decode(errors="replace"))


def _refused(prefix: str, fault: NoPermissionError) -> ConfigurationFault:
    """Waiting does not help: since version 7 a new user has no channels."""
    channels = f"&{channel(prefix, '*')}"
    return ConfigurationFault(f"Redis does not let the user of NS_REDIS_URL use {channels} (see ACL SETUSER): {fault}")


def channel(prefix: str, topic: str) -> str:
    """What scripts publish on."""
    return f"{prefix}:1:news:{topic}"
