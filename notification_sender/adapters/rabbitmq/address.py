"""Where RabbitMQ is, and how a connection to it is opened."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from aiormq.connection import TransportFactory
from aiormq.exceptions import AMQPConnectionError
from yarl import URL

from notification_sender.adapters.tls import Tls, TlsOptions
from notification_sender.model.errors import ConfigurationFault

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _system_trust() -> Tls:
    return Tls(TlsOptions("RabbitMQ", "NS_AMQP"))


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    """``url``: of NS_AMQP_URL. All connections of a process share one ``tls``."""

    url: str = field(repr=False)
    tls: Tls = field(default_factory=_system_trust)


class BrokerTransport(TransportFactory):
    """Opens the socket of each connection and reconnection. ``failed`` is told why a socket could not be opened."""

    def __init__(self, address: BrokerAddress, failed: Callable[[BaseException], None]) -> None:
        self._tls = address.tls
        self._failed = failed

    async def create(self, url: URL, **_: Any) -> Streams:
        """Connect, with TLS where the URL says so.

        Raises:
            AMQPConnectionError: the only error after which the library tries again.
        """
        try:
            tls = await self._tls.context() if url.scheme == "amqps" else None
            return await asyncio.open_connection(url.host, url.port, ssl=tls)
        except (OSError, ConfigurationFault) as fault:
            self._failed(fault)
            raise AMQPConnectionError(*fault.args) from fault
