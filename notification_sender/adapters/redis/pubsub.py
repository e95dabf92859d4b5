"""Pub/sub between the processes of a fleet: each keeps one subscription for as long as it runs."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import structlog
from redis.asyncio.connection import Connection
from redis.exceptions import NoPermissionError

from notification_sender.adapters.redis.client import RECONNECT_SECONDS, Redis
from notification_sender.adapters.redis.errors import CONNECTION_ERRORS
from notification_sender.fleet.background import BackgroundTasks, LogOnChange, run_forever
from notification_sender.model.errors import ConfigurationFault, Unready
from notification_sender.telemetry.lag import Deadline

SILENCE_SECONDS = 5.0
"""Seconds without a message after which the connection is tested by a PING: a connection that hangs is silent, too."""

_log = structlog.get_logger()


class RedisPubSub:
    """A topic is the channel ``<prefix>:1:pubsub:<topic>``."""

    def __init__(self, *, redis: Redis, prefix: str) -> None:
        self._redis = redis
        self._prefix = prefix
        self._listeners: dict[bytes, list[Callable[[str], None]]] = {}
        self._listening: asyncio.Task[None] | None = None
        self._connection: Connection | None = None
        self._late = BackgroundTasks()
        self._subscribed = asyncio.Event()
        self._refusal: ConfigurationFault | None = None

    async def start(self) -> None:
        """Subscribe, and return when the subscription is active.

        Raises:
            ConfigurationFault: this user may not use the channels, which scripts need as well.
        """
        self._listening = run_forever(self._listen, "pubsub")
        await self._subscribed.wait()
        if self._refusal is not None:
            raise self._refusal

    async def stop(self) -> None:
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
            self._listening = None
        await self._late.close()

    async def publish(self, topic: str, text: str) -> None:
        try:
            await self._redis.execute("PUBLISH", channel(self._prefix, topic), text)
        except Unready:
            return  # a message is only a hint: every listener works without it

    def subscribe(self, topic: str, listener: Callable[[str], None]) -> None:
        name = channel(self._prefix, topic).encode()
        if name not in self._listeners and self._connection is not None:
            self._late.start(_subscribe_late(self._connection, name))
        self._listeners.setdefault(name, []).append(listener)

    async def _listen(self) -> None:
        lost = LogOnChange(_log.warning, "pubsub.lost")
        while True:
            try:
                await self._follow()
            except CONNECTION_ERRORS as fault:
                if isinstance(fault, NoPermissionError) and not self._subscribed.is_set():
                    self._refusal = _no_channels(self._prefix, fault)
                    self._subscribed.set()
                    return
                lost(repr(fault))
            await asyncio.sleep(RECONNECT_SECONDS)

    async def _follow(self) -> None:
        """Pass messages to the listeners until the connection is lost."""
        connection = await self._redis.open_connection()
        self._connection = connection
        try:
            if self._listeners:
                await connection.send_command("SUBSCRIBE", *self._listeners)
            else:
                self._subscribed.set()
            await self._hand_out(connection)
        finally:
            self._connection = None
            await connection.disconnect(nowait=True)

    async def _hand_out(self, connection: Connection) -> None:
        pinged = False
        while True:
            try:
                async with Deadline(SILENCE_SECONDS):
                    message = await connection.read_response(disconnect_on_error=False)
            except TimeoutError:
                if pinged:
                    raise
                pinged = True
                await connection.send_command("PING")
            else:
                pinged = False
                self._receive(message)

    def _receive(self, message: Any) -> None:
        match message:
            case [b"subscribe", *_]:
                self._subscribed.set()
            case [b"message", name, bytes(text)]:
                for listener in self._listeners.get(name, ()):
                    listener(text.decode(errors="replace"))


async def _subscribe_late(connection: Connection, name: bytes) -> None:
    # If the connection is lost, the next one subscribes to every topic.
    with suppress(*CONNECTION_ERRORS):
        await connection.send_command("SUBSCRIBE", name)


def _no_channels(prefix: str, fault: NoPermissionError) -> ConfigurationFault:
    """Waiting does not help: since Redis 7 a new user may use no channel."""
    channels = f"&{channel(prefix, '*')}"
    return ConfigurationFault(
        f"Redis does not let the user of NS_REDIS_URL use the channels {channels}; allow them (ACL SETUSER): {fault}"
    )


def channel(prefix: str, topic: str) -> str:
    """The channel of a topic, as scripts publish to it."""
    return f"{prefix}:1:news:{topic}"
