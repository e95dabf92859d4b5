"""The egress filter for HTTP: connections are opened to allowed addresses only."""

import errno
import socket
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from notification_sender.model.errors import ForbiddenAddress


class Allow(Protocol):
    """Decides whether a connection may be opened."""

    def __call__(self, address: str, port: int, *, tls: bool, organization: str) -> None:
        """Raise ForbiddenAddress if it may not."""


@dataclass(slots=True)
class Dial:
    """The connection that one request needs, and the refusal if it may not have it."""

    tls: bool
    organization: str = ""
    """The organization that sends; empty: the worker itself."""
    refused: ForbiddenAddress | None = None


MAX_DIALLED_PER_FAMILY = 3
"""Addresses per family that are dialled for one name. A stranger's name must not make us dial hundreds of hosts:
aiohttp dials all addresses, then all but the first, and so on."""

dialling: ContextVar[Dial] = ContextVar("dialling")
"""Set before the connector is called: its hooks (``resolve``, ``socket``) see names and sockets, but no request."""


class EgressFilter(AbstractResolver):
    """Checks names when they are resolved, and every address when its socket is opened.

    A URL with an IP address is never resolved, so ``socket`` is the one check that every connection passes.
    """

    def __init__(self, resolver: AbstractResolver, allow: Allow) -> None:
        self._resolver = resolver
        self._allow = allow

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Refuse a name if any of its addresses is forbidden: a name that mixes them probes which one we dial.

        Addresses are checked as for TLS here. The stricter rule without TLS is checked by ``socket``.
        """
        answers = await self._resolver.resolve(host, port, family)
        organization = dialling.get().organization
        for answer in answers:
            self._allow(answer["host"], port, tls=True, organization=organization)
        six = [answer for answer in answers if ":" in answer["host"]]
        four = [answer for answer in answers if ":" not in answer["host"]]
        return six[:MAX_DIALLED_PER_FAMILY] + four[:MAX_DIALLED_PER_FAMILY]

    async def close(self) -> None:
        await self._resolver.close()

    def socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """Open the socket for one address, if it is allowed."""
        family, kind, protocol, _, (address, port, *_) = info
        dial = dialling.get()
        try:
            self._allow(str(address), int(port), tls=dial.tls, organization=dial.organization)
        except ForbiddenAddress as fault:
            # aiohttp passes on OSErrors only when it tries several addresses.
            dial.refused = fault
            raise PermissionError(errno.EACCES, str(fault)) from fault
        return socket.socket(family, kind, protocol)
