"""The Redis client: connects, reconnects for as long as the process runs, and translates errors."""

import asyncio
import ssl
from collections.abc import Awaitable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, cast
from urllib.parse import urlsplit

import structlog
from redis.asyncio.connection import Connection, parse_url
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError, ResponseError

from notification_sender.adapters.redis.connection import NOT_CONNECTED, PipelinedConnection
from notification_sender.adapters.redis.errors import CONNECTION_ERRORS
from notification_sender.adapters.redis.scripts import Script
from notification_sender.adapters.tls import Tls, TlsOptions
from notification_sender.adapters.tls_faults import TlsFault
from notification_sender.fleet.background import LogOnChange, run_forever
from notification_sender.model.errors import ConfigurationFault, Unready
from notification_sender.telemetry.lag import Deadline

if TYPE_CHECKING:
    from notification_sender.adapters.memory.redis import EmbeddedRedis

RECONNECT_SECONDS = 0.25
"""Seconds between two connection attempts, and before the first attempt after a loss."""

CONNECT_TIMEOUT = 1.0
"""Seconds for one connection attempt, including the first reply. A worker that takes longer tries again: another
worker has taken over its leases by then."""

DEFAULT_PORT = 6379

READY_PROBE = ("EVAL", "return redis.call('TIME')", 0)
"""A command that succeeds only when the server has loaded its data and lets us run scripts."""

_log = structlog.get_logger()


class Inspect(Protocol):
    """Inspects a server before the client uses it. ``first``: at start, where it may raise ConfigurationFault."""

    async def __call__(self, connection: Connection, *, first: bool) -> None: ...


class Store(Protocol):
    """What the ledger and the shared cache need: Redis, or the embedded Redis."""

    async def execute(self, *command: Any) -> Any:
        """Run one command. The reply is raw: bytes, integers, lists, None.

        Raises:
            Unready: no reply came, or an error; whether the server ran the command is unknown.
        """

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Awaitable[Any]:
        """Run ``script``, and send its source where the server does not have it. Raises as ``execute`` does.

        No coroutine: each one that stands between a caller and a reply is run twice a call.
        """


def store_at(url: str, *, tls: Tls | None = None, connect_timeout: float = CONNECT_TIMEOUT) -> "Redis | EmbeddedRedis":
    """Choose the client for ``url``; it is not connected yet. ``tls``: for rediss://. ``connect_timeout`` in seconds.

    Raises:
        ConfigurationFault: the URL's scheme is not supported, or its package is not installed.
    """
    if urlsplit(url).scheme != "memory":
        return Redis(url=url, tls=tls, connect_timeout=connect_timeout)
    try:
        from notification_sender.adapters.memory.redis import EmbeddedRedis  # noqa: PLC0415 - production has none
    except ImportError as fault:
        raise ConfigurationFault(
            f"NS_REDIS_URL: memory:// needs the package notification-sender[demo]: {fault}"
        ) from None
    return EmbeddedRedis()


class Redis:
    """One connection that carries all commands.

    ``tls``: of rediss://, else with the authorities of the system. ``timeout`` and ``connect_timeout`` in seconds.
    """

    def __init__(
        self, *, url: str, tls: Tls | None = None, timeout: float = 2.0, connect_timeout: float = CONNECT_TIMEOUT
    ) -> None:
        self._options = _read(url)
        self._encrypted = urlsplit(url).scheme == "rediss"
        self._tls = tls or Tls(TlsOptions("Redis", "NS_REDIS"))
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._wire: PipelinedConnection | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._reached = asyncio.Event()
        self._inspect: Inspect | None = None

    @property
    def ready(self) -> bool:
        return self._wire is not None and self._wire.open

    async def wait_ready(self) -> None:
        """Return when Redis is connected."""
        while not self.ready:
            self._reached.clear()
            await self._reached.wait()

    async def connect(self, inspect: Inspect | None = None, *, once: bool = False) -> None:
        """Wait for the server, then connect. ``inspect`` runs now and after each reconnection. ``once``: do not wait.

        Raises:
            ConfigurationFault: the server refuses us, its certificate is not trusted, or ``inspect`` refuses it.
            Unready: with ``once``, the server cannot be reached; the text says why.
        """
        self._inspect = inspect
        await self._reach(first=True, once=once)
        self._keeper = run_forever(self._keep, "redis")
        _log.info("redis.connected")

    async def close(self) -> None:
        """Close the connection. Every caller that still waits for a reply gets Unready."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
            self._keeper = None
        if self._wire is not None:
            await self._wire.close()
            self._wire = None

    async def execute(self, *command: Any) -> Any:
        if self._wire is None:
            raise Unready(NOT_CONNECTED)
        return await self._wire.send(command)

    def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Any]) -> Awaitable[Any]:
        if self._wire is None:
            raise Unready(NOT_CONNECTED)
        return self._wire.send(("EVALSHA", script.digest, len(keys), *keys, *arguments), script)

    async def open_connection(self) -> Connection:
        """Open a separate connection to the same server. The caller closes it.

        Raises:
            RedisError, OSError: the connection cannot be opened.
            ConfigurationFault: a file of TLS cannot be used.
        """
        tls = await self._tls.context() if self._encrypted else None
        connection: Any = TlsConnection(tls=tls, **self._options)
        try:
            async with Deadline(self._connect_timeout):
                await connection.connect()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return cast("Connection", connection)

    async def ping(self) -> None:
        """Make one round trip.

        Raises:
            Unready: no reply came.
        """
        await self.execute("PING")

    async def _keep(self) -> None:
        while True:
            if self._wire is not None:
                _log.warning("redis.lost", error=repr(await self._wire.wait_lost()))
                self._wire = None
            # Without a pause, a server that accepts and drops every connection would keep the worker busy.
            await asyncio.sleep(RECONNECT_SECONDS)
            await self._reach(first=False)
            _log.info("redis.returned")

    async def _reach(self, *, first: bool, once: bool = False) -> None:
        unreachable = LogOnChange(_log.warning, "redis.unreachable")
        while True:
            try:
                self._wire = await self._open(first=first)
            except CONNECTION_ERRORS as fault:
                tls = await self._of_tls(fault)
                if first:
                    self._refuse_to_wait(fault, tls)
                if once:
                    raise Unready(tls.text if tls else str(fault) or type(fault).__name__) from fault
                unreachable(tls.text if tls else f"{fault!r}: {fault}")
                await asyncio.sleep(RECONNECT_SECONDS)
            else:
                self._reached.set()
                return

    async def _of_tls(self, fault: BaseException) -> TlsFault | None:
        """The fault of TLS that caused ``fault``."""
        return await self._tls.explain(fault, *self._place) if self._encrypted else None

    @property
    def _place(self) -> tuple[str, int]:
        return self._options.get("host", "localhost"), self._options.get("port", DEFAULT_PORT)

    def _refuse_to_wait(self, fault: BaseException, tls: TlsFault | None) -> None:
        """Raise ConfigurationFault for errors that waiting does not end. Only at start: at a reconnection it may."""
        if tls is not None and tls.lasting:
            host, port = self._place
            raise ConfigurationFault(f"{host}:{port} (NS_REDIS_URL): {tls.text}") from None
        _refuse_login(fault)

    async def _open(self, *, first: bool) -> PipelinedConnection:
        connection: Any = await self.open_connection()
        try:
            async with Deadline(self._connect_timeout):
                await connection.send_command(*READY_PROBE)
                await connection.read_response()
                if first:
                    await _refuse_cluster_node(connection)
                if self._inspect is not None:
                    await self._inspect(connection, first=first)
                wire = PipelinedConnection(connection, self._timeout)
                await wire.take_over()
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        return wire


class TlsConnection(Connection):
    """The library's connection, with a context of ours: its own reads files once for each connection."""

    def __init__(self, *, tls: ssl.SSLContext | None, **options: Any) -> None:
        super().__init__(**options)
        self._context = tls

    def _connection_arguments(self) -> Mapping[str, Any]:
        arguments: Mapping[str, Any] = super()._connection_arguments()
        return arguments if self._context is None else {**arguments, "ssl": self._context}


def _read(url: str) -> dict[str, Any]:
    """The options of a connection, without those of TLS, which ``Tls`` has."""
    scheme = urlsplit(url).scheme
    if scheme not in {"redis", "rediss"}:
        raise ConfigurationFault(f"NS_REDIS_URL: {scheme}:// is not supported yet; write redis:// or rediss://")
    try:
        read = cast("dict[str, Any]", parse_url(url))
        options = {name: it for name, it in read.items() if name != "connection_class" and not name.startswith("ssl_")}
        # PipelinedConnection has one deadline, for the oldest command: one for each command would cost CPU.
        options |= {"protocol": 2, "socket_timeout": None, "client_name": "notification-sender", "driver_info": None}
        Connection(**options)
    except (TypeError, ValueError, RedisError) as fault:
        # Without the library's text: it may repeat the password.
        raise ConfigurationFault(
            f"NS_REDIS_URL cannot be read ({type(fault).__name__}); write it like redis://user:password@host:6379/0"
        ) from None
    return options


async def _refuse_cluster_node(connection: Any) -> None:
    """Refuse a node of a cluster: it holds some of the keys and redirects for the others, so waiting does not help."""
    await connection.send_command("CLUSTER", "INFO")
    try:
        info = await connection.read_response(disconnect_on_error=False)
    except ResponseError:
        return  # usually because it is no cluster; else because this user may not ask
    _, found, rest = bytes(info).decode().partition("cluster_size:")
    if found and int(rest.split()[0]) > 1:
        raise ConfigurationFault(
            "NS_REDIS_URL names one node of a cluster, which is not supported yet; name a server that holds all keys"
        )


def _refuse_login(fault: BaseException) -> None:
    """Raise ConfigurationFault if the server refuses this user."""
    if isinstance(fault, AuthenticationError):
        raise ConfigurationFault(f"Redis refuses the user or the password of NS_REDIS_URL: {fault}") from None
    if isinstance(fault, NoPermissionError):
        raise ConfigurationFault(
            f"Redis does not let the user of NS_REDIS_URL run scripts; allow +eval and +evalsha (ACL SETUSER): {fault}"
        ) from None
