"""One connection to RabbitMQ: opens it, reconnects for as long as the process runs, and translates errors."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import pamqp.frame
import structlog
from aio_pika import RobustConnection
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AuthenticationError,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from aiormq import Channel
from aiormq.connection import DEFAULT_PORTS
from yarl import URL

from notification_sender.adapters.rabbitmq import fast_path, frames
from notification_sender.adapters.rabbitmq.address import BrokerAddress, BrokerTransport
from notification_sender.adapters.tls_faults import TlsFault
from notification_sender.fleet.background import LogOnChange
from notification_sender.model.errors import ConfigurationFault, Unready
from notification_sender.ports.clock import Clock
from notification_sender.telemetry.lag import Deadline

HEARTBEAT_SECONDS = 10
"""Seconds. A peer that vanishes is detected after three heartbeats; with the library's default that takes 183 s."""

RECONNECT_SECONDS = 1.0
"""Seconds between two connection attempts."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_log = structlog.get_logger()

# The library reads every frame by this function and offers no other hook. A test checks that it still does.
pamqp.frame.unmarshal = frames.unmarshal
fast_path.install()

# These loggers repeat at every attempt what this module logs once per change.
for _name in ("aio_pika.robust_connection", "aiormq.connection"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """Limit a step to so many seconds.

    Raises:
        Unready: the step did not finish in time, or the broker or its connection failed.
    """
    try:
        async with Deadline(seconds):
            yield
    except TimeoutError:
        raise Unready(f"RabbitMQ did not answer within {seconds:g} s") from None
    except CONNECTION_EXCEPTIONS as fault:
        raise Unready(f"RabbitMQ: {fault!r}") from fault
    except asyncio.CancelledError:
        # A connection that dies of missing heartbeats cancels the tasks that wait for it. That does not end the task.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unready("RabbitMQ: the connection was lost") from None


class BrokerConnection:
    """One connection that reopens itself. ``returned`` is called after each reconnection."""

    def __init__(
        self,
        *,
        address: BrokerAddress,
        purpose: str,
        clock: Clock,
        returned: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        self._address = address
        self._url = URL(address.url)
        if "heartbeat" not in self._url.query:
            self._url = self._url.update_query(heartbeat=HEARTBEAT_SECONDS)
        self._purpose = purpose
        self._clock = clock
        self._returned = returned
        self._connection: RobustConnection | None = None
        self._unreachable = LogOnChange(_log.warning, "broker.unreachable", connection=purpose)

    @property
    def is_open(self) -> bool:
        connection = self._connection
        if connection is None or connection.transport is None:
            return False
        return connection.connected.is_set() and not connection.transport.connection.is_closed

    @property
    def connection(self) -> RobustConnection:
        """The library's connection. Its channels are reopened with it.

        Raises:
            Unready: it is not open.
        """
        if self._connection is None or not self.is_open:
            raise Unready("RabbitMQ is not connected")
        return self._connection

    async def open(self) -> None:
        """Wait for the broker and open the connection.

        Raises:
            ConfigurationFault: the broker refuses us, or its certificate is not trusted.
        """
        while self._connection is None:
            try:
                self._connection = await self._connect()
            except CONNECTION_EXCEPTIONS as fault:
                tls = await self._of_tls(fault)
                self._refuse_to_wait(fault, tls)
                self._note_unreachable(fault, tls)
                await self._clock.sleep(RECONNECT_SECONDS)
        self._connection.close_callbacks.add(self._on_lost)
        self._connection.reconnect_callbacks.add(self._on_returned)
        _log.info("broker.connected", connection=self._purpose)

    async def open_once(self) -> None:
        """Open the connection in one attempt.

        Raises:
            ConfigurationFault: as ``open``.
            Unready: the connection cannot be opened; the text says why.
        """
        try:
            self._connection = await self._connect()
        except CONNECTION_EXCEPTIONS as fault:
            tls = await self._of_tls(fault)
            self._refuse_to_wait(fault, tls)
            raise Unready(tls.text if tls else _ADDRESS.sub("", str(fault) or repr(fault))) from fault

    @property
    def virtual_host(self) -> str:
        return self._url.path.removeprefix("/") or "/"

    async def channel(self, *, confirms: bool = False) -> Channel:
        """Open a channel that ends with the connection.

        Raises:
            Unready: the connection is away.
        """
        transport = self.connection.transport
        if transport is None:
            raise Unready("RabbitMQ is not connected")
        return cast("Channel", await transport.connection.channel(publisher_confirms=confirms))

    @asynccontextmanager
    async def spare_channel(self, *, confirms: bool = False) -> AsyncIterator[Channel]:
        """Open a channel for one operation: a refusal closes it, and no channel that is in use.

        Raises:
            Unready: the connection is away.
        """
        channel = await self.channel(confirms=confirms)
        try:
            yield channel
        finally:
            if not channel.is_closed:
                await channel.close()

    async def close(self) -> None:
        if self._connection is not None:
            await self._connection.close()

    async def _connect(self) -> RobustConnection:
        connection = RobustConnection(
            self._url,
            reconnect_interval=RECONNECT_SECONDS,
            client_properties={"connection_name": f"notification-sender {self._purpose}"},
        )
        connection.kwargs["transport_factory"] = BrokerTransport(self._address, self._note_lost_transport)
        try:
            await connection.connect(timeout=HEARTBEAT_SECONDS)
        except BaseException:
            await connection.close()
            raise
        return connection

    async def _of_tls(self, fault: BaseException) -> TlsFault | None:
        """The fault of TLS that caused ``fault``."""
        if self._url.scheme != "amqps" or self._url.host is None:
            return None
        return await self._address.tls.explain(fault, self._url.host, self._port)

    def _refuse_to_wait(self, fault: BaseException, tls: TlsFault | None) -> None:
        """Raise ConfigurationFault for errors that waiting does not end. Only at start: at a reconnection it may."""
        if isinstance(fault, AuthenticationError | ProbableAuthenticationError):
            raise ConfigurationFault(f"RabbitMQ refuses the user or the password of NS_AMQP_URL: {fault}") from None
        # The library drops the broker's text; at this step the refusal is about the virtual host.
        if isinstance(fault, InvalidFrameError) and "OpenOk" in str(fault) and "Connection.Close" in str(fault):
            raise ConfigurationFault(
                f"RabbitMQ refuses the virtual host {self.virtual_host!r} of NS_AMQP_URL: it does not exist, "
                "or this user has no permission for it (rabbitmqctl list_vhosts, set_permissions)"
            ) from None
        if isinstance(fault.__cause__, ConfigurationFault):  # a file of ours; the library's error is around it
            raise fault.__cause__ from None
        if tls is not None and tls.lasting:
            raise ConfigurationFault(f"{self._url.host}:{self._port} (NS_AMQP_URL): {tls.text}") from None

    @property
    def _port(self) -> int:
        return self._url.port or DEFAULT_PORTS[self._url.scheme]

    def _note_unreachable(self, fault: BaseException, tls: TlsFault | None) -> None:
        self._unreachable(tls.text if tls else _ADDRESS.sub("", repr(fault)))

    def _note_lost_transport(self, fault: BaseException) -> None:
        """Log why a reconnection fails. Before the first connection, ``open`` does."""
        if self._connection is not None:
            self._note_unreachable(fault, self._address.tls.fault(fault))

    def _on_lost(self, _: object, cause: BaseException | None) -> None:
        if self._connection is not None and not self._connection.close_called:
            _log.warning("broker.lost", connection=self._purpose, error=repr(cause))

    async def _on_returned(self, _: object) -> None:
        self._unreachable("")
        _log.info("broker.returned", connection=self._purpose)
        if self._returned is not None:
            await self._returned()
