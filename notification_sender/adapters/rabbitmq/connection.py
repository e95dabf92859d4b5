"""One connection to RabbitMQ: opened until it answers, kept for ever, its errors in our words."""

import asyncio
import logging
import re
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import structlog
from aio_pika import RobustConnection
from aio_pika.exceptions import (
    CONNECTION_EXCEPTIONS,
    AuthenticationError,
    InvalidFrameError,
    ProbableAuthenticationError,
)
from aiormq import Channel
from yarl import URL

from notification_sender.model.errors import ConfigurationFault, Unready
from notification_sender.ports import Clock

HEARTBEAT = 10
"""Seconds. A peer that is gone without a word is noticed after three times this; the default takes 183 s."""

RETRY = 1.0
"""Seconds between two tries to connect."""

_ADDRESS = re.compile(r" at 0x[0-9a-f]+")
_log = structlog.get_logger()

# They say at every try what is said here once, when it changes.
for _name in ("aio_pika.robust_connection", "aiormq.connection"):
    logging.getLogger(_name).setLevel(logging.CRITICAL)


@asynccontextmanager
async def within(seconds: float) -> AsyncIterator[None]:
    """A step that takes so long at most.

    Raises:
        Unready: it did not end in time, or the broker or its connection ended it.
    """
    try:
        async with asyncio.timeout(seconds):
            yield
    except TimeoutError:
        raise Unready(f"RabbitMQ did not answer within {seconds:g} s") from None
    except CONNECTION_EXCEPTIONS as fault:
        raise Unready(f"RabbitMQ: {fault!r}") from fault
    except asyncio.CancelledError:
        # A connection that dies of missing heartbeats cancels whoever waits for it. That is not the task's end.
        task = asyncio.current_task()
        if task is None or task.cancelling():
            raise
        raise Unready("RabbitMQ: the connection was lost") from None


class Link:
    """``returned`` is called each time the connection is back."""

    def __init__(
        self, *, url: str, purpose: str, clock: Clock, returned: Callable[[], Awaitable[None]] | None = None
    ) -> None:
        self._url = URL(url)
        if "heartbeat" not in self._url.query:
            self._url = self._url.update_query(heartbeat=HEARTBEAT)
        self._purpose = purpose
        self._clock = clock
        self._returned = returned
        self._connection: RobustConnection | None = None

    @property
    def is_open(self) -> bool:
        connection = self._connection
        if connection is None or connection.transport is None:
            return False
        return connection.connected.is_set() and not connection.transport.connection.is_closed

    @property
    def connection(self) -> RobustConnection:
        """To open channels that are reopened with it.

        Raises:
            Unready: it is not open.
        """
        if self._connection is None or not self.is_open:
            raise Unready("RabbitMQ is away")
        return self._connection

    async def open(self) -> None:
        """Return when it is open; a broker that is not there yet is waited for.

        Raises:
            ConfigurationFault: the broker is there and refuses us, or we refuse its certificate.
        """
        told = ""
        while self._connection is None:
            try:
                self._connection = await self._connect()
            except CONNECTION_EXCEPTIONS as fault:
                self._refuse_to_wait(fault)
                error = _ADDRESS.sub("", repr(fault))
                if error != told:
                    told = error
                    _log.warning("broker.unreachable", connection=self._purpose, error=error)
                await self._clock.sleep(RETRY)
        self._connection.close_callbacks.add(self._on_lost)
        self._connection.reconnect_callbacks.add(self._on_returned)
        _log.info("broker.connected", connection=self._purpose)

    async def channel(self) -> Channel:
        """A channel that ends with the connection, without confirms.

        Raises:
            Unready: the connection is away.
        """
        transport = self.connection.transport
        if transport is None:
            raise Unready("RabbitMQ is away")
        return cast("Channel", await transport.connection.channel(publisher_confirms=False))

    @asynccontextmanager
    async def spare_channel(self) -> AsyncIterator[Channel]:
        """A channel for a question that may end it: no channel in use is closed by a refusal.

        Raises:
            Unready: the connection is away.
        """
        channel = await self.channel()
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
            reconnect_interval=RETRY,
            client_properties={"connection_name": f"notification-sender {self._purpose}"},
        )
        try:
            await connection.connect(timeout=HEARTBEAT)
        except BaseException:
            await connection.close()
            raise
        return connection

    def _refuse_to_wait(self, fault: BaseException) -> None:
        """Waiting does not help against these. At a reconnection it may: they end the first try alone."""
        if isinstance(fault, AuthenticationError | ProbableAuthenticationError):
            raise ConfigurationFault(f"RabbitMQ refuses user and password of NS_AMQP_URL: {fault}") from None
        # The library drops what the broker said; at this step it is about the virtual host.
        if isinstance(fault, InvalidFrameError) and "OpenOk" in str(fault) and "Connection.Close" in str(fault):
            name = self._url.path.removeprefix("/") or "/"
            raise ConfigurationFault(
                f"RabbitMQ refuses the virtual host {name!r} of NS_AMQP_URL: it is not there, or not for this user"
            ) from None
        proof = fault.__cause__  # aiormq says it in words of its own
        if isinstance(proof, ssl.SSLCertVerificationError):
            raise ConfigurationFault(f"the certificate of RabbitMQ is not trusted: {proof.verify_message}") from None

    def _on_lost(self, _: object, cause: BaseException | None) -> None:
        if self._connection is not None and not self._connection.close_called:
            _log.warning("broker.lost", connection=self._purpose, error=repr(cause))

    async def _on_returned(self, _: object) -> None:
        _log.info("broker.returned", connection=self._purpose)
        if self._returned is not None:
            await self._returned()
