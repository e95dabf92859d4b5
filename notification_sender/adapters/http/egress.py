"""The way out for HTTP: no connection is opened but to an address that may be dialled."""

import errno
import socket
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from notification_sender.model.errors import ForbiddenAddress


class Allow(Protocol):
    """Whether a connection may be opened."""

    def __call__(self, address: str, port: int, *, tls: bool) -> None:
        """Raises ForbiddenAddress if not."""


@dataclass(slots=True)
class Dial:
    """What one request wants to open, and why it may not."""

    tls: bool
    refused: ForbiddenAddress | None = None


dialling: ContextVar[Dial] = ContextVar("dialling")
"""Whoever asks the connector sets it: the connector's hooks see names and sockets, and not requests."""


class Door(AbstractResolver):
    """The way out for names, and the only one for connections: an address in a URL is never resolved."""

    def __init__(self, resolver: AbstractResolver, allow: Allow) -> None:
        self._resolver = resolver
        self._allow = allow

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Refuse a name if any of its addresses is forbidden: whoever mixes them is trying which one we take.

        Requests share an answer, so it is asked as for TLS; what is stricter without it, ``socket`` refuses.
        """
        answers = await self._resolver.resolve(host, port, family)
        for answer in answers:
            self._allow(answer["host"], port, tls=True)
        return answers

    async def close(self) -> None:
        await self._resolver.close()

    def socket(self, info: aiohttp.AddrInfoType) -> socket.socket:
        """The socket for one address."""
        family, kind, protocol, _, (address, port, *_) = info
        dial = dialling.get()
        try:
            self._allow(str(address), int(port), tls=dial.tls)
        except ForbiddenAddress as fault:
            # aiohttp swallows what is no OSError when it tries several addresses.
            dial.refused = fault
            raise PermissionError(errno.EACCES, str(fault)) from fault
        return socket.socket(family, kind, protocol)
