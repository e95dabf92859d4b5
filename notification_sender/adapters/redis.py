"""Redis: reached, kept for ever, its errors in our words."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import Any, Protocol

import structlog
from redis.asyncio.connection import Connection, parse_url
from redis.exceptions import AuthenticationError, NoPermissionError, NoScriptError, RedisError

from notification_sender.adapters.redis_wire import Wire
from notification_sender.adapters.scripts import Script
from notification_sender.model.errors import ConfigurationFault, Unready

RETRY = 0.25
"""Seconds between two tries to connect, and before the first one after a loss."""

PROBE = ("EVAL", "return redis.call('TIME')", 0)
"""Answered by a server that has loaded its data and lets us run scripts."""

_log = structlog.get_logger()


class Store(Protocol):
    """What the ledger and the shelf need: Redis, or the embedded one."""

    async def execute(self, *command: Any) -> Any:
        """The reply as the server gives it: bytes, integers, lists, None.

        Raises:
            Unready: there was none, or it was an error; whether it was carried out is unknown.
        """

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """The reply of ``script``; a server that forgot it is told again. Raises as ``execute``."""


class Redis:
    """One connection for all commands. ``timeout`` and ``connect_timeout`` in seconds."""

    def __init__(self, *, url: str, timeout: float = 2.0, connect_timeout: float = 1.0) -> None:
        """Raises:
        ConfigurationFault: the URL is of a kind that is not supported.
        """
        self._options = _options(url, connect_timeout)
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._wire: Wire | None = None
        self._returned = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None

    @property
    def ready(self) -> bool:
        return self._wire is not None and self._wire.open

    async def wait_ready(self) -> None:
        """Return when it is there."""
        while not self.ready:
            self._returned.clear()
            await self._returned.wait()

    async def connect(self) -> None:
        """Return when it is there; a server that is not there yet is waited for.

        Raises:
            ConfigurationFault: the server is there and refuses us, or we refuse its certificate.
        """
        self._wire = await self._reach(refused=_raise)
        self._keeper = asyncio.create_task(self._keep(self._wire), name="redis")

    async def close(self) -> None:
        """Whoever still waits for a reply gets Unready."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None

    async def execute(self, *command: Any) -> Any:
        try:
            return await self._send(*command)
        except RedisError as fault:
            raise Unready(f"Redis: {fault}") from fault

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        try:
            return await self._send("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.execute("EVAL", script.source, len(keys), *keys, *arguments)
        except RedisError as fault:
            raise Unready(f"Redis: {fault}") from fault

    async def ping(self) -> None:
        """A round trip.

        Raises:
            Unready: there was no answer.
        """
        await self.execute("PING")

    def _send(self, *command: Any) -> "asyncio.Future[Any]":
        if self._wire is None:
            raise Unready("Redis is away")
        return self._wire.send(*command)
