"""The whole sandbox at once: a world, the platform that serves it, the inbox that its destinations point to."""

import socket
from contextlib import AsyncExitStack
from ipaddress import ip_address, ip_network
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from notification_sender.sandbox.inbox.inbox import Inbox
from notification_sender.sandbox.inbox.keys import write_keys
from notification_sender.sandbox.platform.platform import Platform
from notification_sender.sandbox.platform.world import World
from notification_sender.sandbox.serving import HOST

SENDER = "Example NOC <noc@notifications.example.com>"
LOOPBACK = "127.0.0.0/8"


class Sandbox:
    """``async with Sandbox(directory) as sandbox: sandbox.environment, sandbox.world, .platform, .inbox``.

    ``directory`` gets the signing keys. Ports: ``port`` the platform, the next two the inbox (HTTP, SMTP); 0 takes
    free ones. ``host``: the name or address that all of them listen on, and that is in their URLs. The rest are the
    sizes of the world.
    """

    def __init__(self, directory: Path, *, port: int = 0, host: str = HOST, **sizes: Any) -> None:
        self._directory = directory
        self.host = host
        self._port = port
        self._sizes = sizes
        self._open = AsyncExitStack()
        self.inbox = Inbox(http_port=port and port + 1, smtp_port=port and port + 2, host=host)

    @property
    def environment(self) -> dict[str, str]:
        """Everything a worker needs to work for this platform, but for its broker and its store."""
        return self.platform.urls | {
            "NS_ENVIRONMENT": "development",
            "NS_ALLOWED_CIDRS": _network(self.host),
            "NS_SMTP_URL": self.inbox.smtp_url,
            "NS_EMAIL_FROM": SENDER,
            "NS_SECRETS_DIR": str(self._directory / "secrets"),
        }

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(self.inbox)
            self.world = World(webhook_url=self.inbox.webhook_url, **self._sizes)
            self.platform = await opened.enter_async_context(Platform(self.world, port=self._port, host=self.host))
            self.inbox.admits = self.platform.admits
            for organization_id, names in self.world.secrets.items():
                write_keys(self._directory / "secrets" / organization_id, names)
            self._open = opened.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()


def _network(host: str) -> str:
    """The network of the inbox, for ``NS_ALLOWED_CIDRS``. Beyond this machine it is one address alone."""
    address = ip_address(socket.gethostbyname(host))
    return LOOPBACK if address.is_loopback else str(ip_network(address))
