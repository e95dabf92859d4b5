"""Tests whether a service answers at a URL of the settings, and describes why it does not."""

import asyncio
import contextlib
import errno
import socket
import ssl
import threading
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from notification_sender.adapters.tls import Tls
from notification_sender.model.errors import Unready

REACH_TIMEOUT = 2.0
"""Seconds for the lookup and the connection. Less than the caller waits, so that the error says which one was slow."""

PORTS = {"http": 80, "https": 443, "amqp": 5672, "amqps": 5671, "redis": 6379, "rediss": 6379}

_ERRNO_TEXTS = {
    errno.ECONNREFUSED: "refuses connections; check that it runs, and its port",
    errno.EHOSTUNREACH: "cannot be reached: no route to this host; check the network",
    errno.ENETUNREACH: "cannot be reached: no route to this network; check the network",
    errno.ECONNRESET: "closes the connection at once; check the port, and TLS or not",
}
NO_NAME_ANSWER = f"its name was not resolved within {REACH_TIMEOUT:g} s; check the name servers"

_Addresses = list[tuple[Any, ...]]


@dataclass(frozen=True, slots=True)
class Place:
    """The address of a service, and the variable that names it."""

    variable: str
    host: str
    port: int

    @classmethod
    def of(cls, variable: str, url: str) -> "Place":
        """The place of a URL. Without a port, the scheme decides it."""
        parts = urlsplit(url)
        return cls(variable, parts.hostname or "localhost", parts.port or PORTS.get(parts.scheme, 0))

    def __str__(self) -> str:
        return f"{self.host}:{self.port} ({self.variable})"

    async def reach(self, tls: Tls | None = None) -> bytes:
        """Resolve the name, connect, and with ``tls`` make the handshake; then disconnect. An embedded one has no port.

        Returns the certificate of the server (DER), empty without ``tls``.

        Raises:
            Unready: names the place, its variable, and the step that failed.
            ConfigurationFault: a file of ``tls`` cannot be used.
        """
        if not self.port:
            return b""
        context = await tls.context() if tls is not None else None
        step = NO_NAME_ANSWER
        try:
            async with asyncio.timeout(REACH_TIMEOUT):
                addresses = await _addresses(self.host, self.port)
                step = f"accepted no connection within {REACH_TIMEOUT:g} s; check that it runs, and firewalls"
                certificate = await self._connect(addresses, context)
        except TimeoutError:
            raise Unready(f"{self}: {step}") from None
        except OSError as fault:
            of_tls = tls.fault(fault) if tls is not None else None
            raise Unready(f"{self}: {of_tls.text if of_tls else _said(fault)}") from None
        refusal = await tls.refusal(self.host, self.port) if tls is not None else None
        if refusal is not None and refusal.lasting:
            raise Unready(f"{self}: {refusal.text}")
        return certificate

    async def _connect(self, addresses: _Addresses, tls: ssl.SSLContext | None) -> bytes:
        """Connect to the first address that accepts; returns the certificate of the server."""
        last: OSError = OSError("its name has no address")
        for address, port, *_ in addresses:
            name = self.host if tls else None
            try:
                _, writer = await asyncio.open_connection(address, port, ssl=tls, server_hostname=name)
            except OSError as fault:
                last = fault
            else:
                connection = writer.get_extra_info("ssl_object")
                writer.close()
                return connection.getpeercert(binary_form=True) or b"" if connection else b""
        raise last


async def _addresses(host: str, port: int) -> _Addresses:
    """Resolve in a daemon thread: the event loop's own threads would keep the command from its exit."""
    loop = asyncio.get_running_loop()
    found: asyncio.Future[_Addresses] = loop.create_future()

    def set_result(addresses: _Addresses, fault: OSError | None) -> None:
        if found.done():
            return
        if fault is None:
            found.set_result(addresses)
        else:
            found.set_exception(fault)

    def look_up() -> None:
        addresses: _Addresses = []
        fault = None
        try:
            addresses = [it[4] for it in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)]
        except (OSError, UnicodeError) as error:
            fault = error if isinstance(error, OSError) else OSError(f"is not a valid name: {error}")
        with contextlib.suppress(RuntimeError):  # the command has ended
            loop.call_soon_threadsafe(set_result, addresses, fault)

    threading.Thread(target=look_up, name=f"look up {host}", daemon=True).start()
    return await found


def _said(fault: OSError) -> str:
    if isinstance(fault, socket.gaierror):
        later = fault.errno == socket.EAI_AGAIN
        return "its name cannot be resolved now; check the name servers" if later else "this host name does not exist"
    return _ERRNO_TEXTS.get(fault.errno or 0, fault.strerror or str(fault))
