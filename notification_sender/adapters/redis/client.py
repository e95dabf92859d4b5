"""Redis: reached, kept for ever, its errors in our words."""

import asyncio
import ssl
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

import structlog
from redis.asyncio.connection import Connection, parse_url
from redis.exceptions import AuthenticationError, NoPermissionError, NoScriptError, RedisError, ResponseError

from notification_sender.adapters.redis_wire import Wire
from notification_sender.adapters.scripts import Script
from notification_sender.model.errors import ConfigurationFault, Unready

if TYPE_CHECKING:
    from notification_sender.adapters.embedded_redis import EmbeddedRedis

RETRY = 0.25
"""Seconds between two tries to connect, and before the first one after a loss."""

PROBE = ("EVAL", "return redis.call('TIME')", 0)
"""Answered by a server that has loaded its data and lets us run scripts."""

PASSING = ("OOM", "MISCONF", "BUSY", "MASTERDOWN", "NOREPLICAS", "TRYAGAIN", "CLUSTERDOWN", "LOADING", "READONLY")
"""Refusals that end by themselves or by an operator's hand. Every other one would be the same each time."""

_log = structlog.get_logger()


class Inspect(Protocol):
    """Looks at a server before it is used, ``first`` at start; may raise ConfigurationFault then."""

    async def __call__(self, connection: Connection, *, first: bool) -> None: ...


class Store(Protocol):
    """What the ledger and the shelf need: Redis, or the embedded one."""

    async def execute(self, *command: Any) -> Any:
        """The reply as the server gives it: bytes, integers, lists, None.

        Raises:
            Unready: there was none, or it was an error; whether the command was carried out is unknown.
        """

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        """The reply of ``script``. A server that has forgotten it is told again. Raises as ``execute`` does."""


def store_at(url: str) -> "Redis | EmbeddedRedis":
    """The one that ``url`` means, not connected yet.

    Raises:
        ConfigurationFault: it means none that is supported.
    """
    if urlsplit(url).scheme != "memory":
        return Redis(url=url)
    try:
        from notification_sender.adapters.embedded_redis import EmbeddedRedis  # noqa: PLC0415 - production has none
    except ImportError as fault:
        raise ConfigurationFault(f"memory:// needs notification-sender[demo]: {fault}") from None
    return EmbeddedRedis()


class Redis:
    """One connection for all commands. ``timeout`` and ``connect_timeout`` in seconds."""

    def __init__(self, *, url: str, timeout: float = 2.0, connect_timeout: float = 1.0) -> None:
        self._new_connection, self._options = _read(url)
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._wire: Wire | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._reached = asyncio.Event()
        self._inspect: Inspect | None = None

    @property
    def ready(self) -> bool:
        return self._wire is not None and self._wire.open

    async def wait_ready(self) -> None:
        """Return when it is there."""
        while not self.ready:
            self._reached.clear()
            await self._reached.wait()

    async def connect(self, inspect: Inspect | None = None) -> None:
        """Return when it is there; a server that is not there yet is waited for. ``inspect``: now, and whenever it
        comes back.

        Raises:
            ConfigurationFault: the server is there and refuses us, or we refuse its certificate, or ``inspect`` it.
        """
        self._inspect = inspect
        wire = await self._reach(first=True)
        self._keeper = asyncio.create_task(self._keep(wire), name="redis")
        _log.info("store.connected")

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
            raise refused(fault) from fault

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Any:
        try:
            return await self._send("EVALSHA", script.digest, len(keys), *keys, *arguments)
        except NoScriptError:
            return await self.execute("EVAL", script.source, len(keys), *keys, *arguments)
        except RedisError as fault:
            raise refused(fault) from fault

    async def another(self) -> Connection:
        """A connection of its own to the same server, for whoever closes it.

        Raises:
            RedisError, OSError: there is none to be had.
        """
        connection: Any = self._new_connection(**self._options)
        try:
            async with asyncio.timeout(self._connect_timeout):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return cast("Connection", connection)

    async def ping(self) -> None:
        """A round trip.

        Raises:
            Unready: no answer came.
        """
        await self.execute("PING")

    def _send(self, *command: Any) -> "asyncio.Future[Any]":
        if self._wire is None:
            raise Unready("Redis is away")
        return self._wire.send(*command)

    async def _keep(self, wire: Wire) -> None:
        while True:
            cause = await wire.live()
            _log.warning("store.lost", error=repr(cause))
            # A server that takes every connection and drops it again must not keep us busy.
            await asyncio.sleep(RETRY)
            wire = await self._reach(first=False)
            _log.info("store.returned")

    async def _reach(self, *, first: bool) -> Wire:
        told = ""
        while True:
            try:
                self._wire = await self._open(first=first)
            except (RedisError, OSError) as fault:
                if first:
                    _refuse_to_wait(fault)
                if repr(fault) != told:
                    told = repr(fault)
                    _log.warning("store.unreachable", error=f"{told}: {fault}")
                await asyncio.sleep(RETRY)
            else:
                self._reached.set()
                return self._wire

    async def _open(self, *, first: bool) -> Wire:
        connection: Any = await self.another()
        try:
            async with asyncio.timeout(self._connect_timeout):
                await connection.send_command(*PROBE)
                await connection.read_response()
                if first:
                    await _refuse_a_part(connection)
                if self._inspect is not None:
                    await self._inspect(connection, first=first)
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return Wire(connection, self._timeout)


def _read(url: str) -> tuple[type[Connection], dict[str, Any]]:
    scheme = urlsplit(url).scheme
    if scheme not in {"redis", "rediss"}:
        raise ConfigurationFault(f"NS_REDIS_URL: {scheme}:// is not supported yet: write redis:// or rediss://")
    try:
        options = cast("dict[str, Any]", parse_url(url))
        connection = options.pop("connection_class", Connection)
        # Deadlines are the wire's: one for the oldest command costs nothing, one for each does.
        options |= {"protocol": 2, "socket_timeout": None, "client_name": "notification-sender", "driver_info": None}
        connection(**options)
    except (TypeError, ValueError, RedisError) as fault:
        raise ConfigurationFault(f"NS_REDIS_URL cannot be read: {type(fault).__name__}") from None
    return connection, options


async def _refuse_a_part(connection: Any) -> None:
    """A node of a cluster has a part of the keys and sends us elsewhere for the others: waiting does not help."""
    await connection.send_command("CLUSTER", "INFO")
    try:
        said = await connection.read_response(disconnect_on_error=False)
    except ResponseError:
        return  # it is none, as nearly always, or does not let us ask
    _, found, rest = bytes(said).decode().partition("cluster_size:")
    if found and int(rest.split()[0]) > 1:
        raise ConfigurationFault(
            "NS_REDIS_URL is one node of a cluster, which is not supported yet: write that of a server with all keys"
        )


def _refuse_to_wait(fault: BaseException) -> None:
    """Waiting does not help against these; at a reconnection it may, so they only end the first try."""
    if isinstance(fault, AuthenticationError):
        raise ConfigurationFault(f"Redis refuses the user or the password of NS_REDIS_URL: {fault}") from None
    if isinstance(fault, NoPermissionError):
        raise ConfigurationFault(f"Redis does not let the user of NS_REDIS_URL run scripts: {fault}") from None
    if isinstance(fault.__context__, ssl.SSLCertVerificationError):
        raise ConfigurationFault(f"the certificate of Redis is not trusted: {fault.__context__}") from None


def refused(fault: RedisError) -> Exception:
    """What the heart is told: to wait, or that we made a mistake which waiting does not mend."""
    if type(fault) is ResponseError and not any(word in str(fault) for word in PASSING):
        return RuntimeError(f"Redis cannot do what it is asked: {fault}")
    return Unready(f"Redis answers {type(fault).__name__}: {fault}")
