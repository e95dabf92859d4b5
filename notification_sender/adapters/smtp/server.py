"""The mail server's address, from its URL, and the name that the worker gives at EHLO."""

import asyncio
import socket
from dataclasses import dataclass, field
from ipaddress import IPv6Address, ip_address
from typing import NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from notification_sender.model.errors import ConfigurationFault

FULL_NAME_TIMEOUT = 1.0
"""Seconds to look up this machine's full name. The lookup may hang, and mail must not wait for it."""


@dataclass(frozen=True, slots=True)
class Server:
    """A mail server, from ``smtp[s]://[user:password@]host[:port][?starttls=required|none]``."""

    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    tls: bool
    starttls: bool

    @classmethod
    def parse(cls, url: str) -> "Server":
        """Read the URL. The default port is 465 for smtps, 587 with STARTTLS, else 25.

        Raises:
            ConfigurationFault: the URL has another form, or credentials would be sent without TLS.

        """
        try:
            parts = urlsplit(url)
            port, query = parts.port, parse_qs(parts.query, strict_parsing=bool(parts.query))
        except ValueError:
            _fault("is not a URL; write it like smtp://user:password@mail.example.com:587")
        starttls = query.pop("starttls", ["required"])[-1]
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path not in {"", "/"}:
            _fault("is not a mail server's URL; write it like smtp://user:password@mail.example.com:587")
        if query or starttls not in {"required", "none"}:
            _fault("has an unknown option; it may have ?starttls=required or ?starttls=none")
        tls = parts.scheme == "smtps"
        server = cls(
            host=parts.hostname,
            port=port or (465 if tls else 587 if starttls == "required" else 25),
            user=unquote(parts.username) if parts.username else None,
            password=unquote(parts.password) if parts.password else None,
            tls=tls,
            starttls=not tls and starttls == "required",
        )
        if server.user and not (server.tls or server.starttls):
            _fault("would send the password without TLS; use smtps://, or remove ?starttls=none")
        return server


def _fault(what: str) -> NoReturn:
    # Without the URL itself: it holds the password.
    raise ConfigurationFault(f"NS_SMTP_URL {what}")


class OwnName:
    """The name at EHLO: a full host name, or the address that the server sees (RFC 5321, section 4.1.3).

    ``given``: the operator's choice. Else this machine's full name, looked up once; else an address literal.
    Many servers refuse a name without a dot (Postfix: ``reject_non_fqdn_helo_hostname``), and a pod's name has none.
    """

    def __init__(self, given: str | None = None) -> None:
        self._name = given
        self._looked_up = given is not None

    async def on(self, client: aiosmtplib.SMTP) -> str:
        """The name for this connection."""
        if not self._looked_up:
            self._looked_up = True
            self._name = await _full_name()
        return self._name or _literal(client.get_transport_info("sockname"))


async def _full_name() -> str | None:
    try:
        async with asyncio.timeout(FULL_NAME_TIMEOUT):
            name = await asyncio.to_thread(socket.getfqdn)
    except (TimeoutError, OSError):
        return None
    return name if "." in name and name.isascii() and not name.startswith("localhost.") else None


def _literal(local: tuple[object, ...] | None) -> str:
    """``[192.0.2.1]`` or ``[IPv6:2001:db8::1]``."""
    address = ip_address(str(local[0]).partition("%")[0]) if local else ip_address("127.0.0.1")
    return f"[IPv6:{address}]" if isinstance(address, IPv6Address) else f"[{address}]"
