"""The whole sandbox at once: a world, the platform that serves it, the inbox that its destinations point to."""

from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from notification_sender.sandbox.inbox import Inbox
from notification_sender.sandbox.keys import write_keys
from notification_sender.sandbox.platform import Platform
from notification_sender.sandbox.world import World

SENDER = "Example NOC <noc@notifications.example.com>"


class Sandbox:
    """``async with Sandbox(directory) as sandbox: sandbox.environment, sandbox.world, .platform, .inbox``.

    ``directory`` gets the signing keys. Ports: ``port`` the platform, the next two the inbox (HTTP, SMTP); 0 takes
    free ones. The rest are the sizes of the world.
    """

    def __init__(self, directory: Path, *, port: int = 0, **sizes: Any) -> None:
        self._directory = directory
        self._port = port
        self._sizes = sizes
        self._open = AsyncExitStack()
        self.inbox = Inbox(http_port=port and port + 1, smtp_port=port and port + 2)

    @property
    def environment(self) -> dict[str, str]:
        """Everything a worker needs to work for this platform, but for its broker and its store."""
        return self.platform.urls | {
            "NS_ENVIRONMENT": "development",
            "NS_ALLOWED_CIDRS": "127.0.0.0/8",
            "NS_SMTP_URL": self.inbox.smtp_url,
            "NS_EMAIL_FROM": SENDER,
            "NS_SECRETS_DIR": str(self._directory / "secrets"),
        }

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as opened:
            await opened.enter_async_context(self.inbox)
            self.world = World(webhook_url=self.inbox.webhook_url, **self._sizes)
            self.platform = await opened.enter_async_context(Platform(self.world, port=self._port))
            self.inbox.admits = self.platform.admits
            write_keys(self._directory / "secrets", self.world.secret_names)
            self._open = opened.pop_all()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._open.aclose()
