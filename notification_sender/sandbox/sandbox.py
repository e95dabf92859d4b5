"""The whole sandbox: a world, the platform that serves it, and the inbox of its destinations."""

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

    ``directory`` gets the signing keys. The platform listens on ``port``, the inbox on the next two (HTTP, SMTP); 0
    takes free ports. ``host`` is the name or address on which they listen, and in their URLs. The other arguments are
    the sizes of the world.
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
        """The environment of a worker for this platform, without its broker and its store."""
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
    """The network of the inbox, for ``NS_ALLOWED_CIDRS``. Outside this machine it is a single address."""
    address = ip_address(socket.gethostbyname(host))
    return LOOPBACK if address.is_loopback else str(ip_network(address))
