"""The mail server of the inbox. It accepts and keeps every email, unless it is configured to refuse it."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from email import message_from_bytes, policy
from email.message import EmailMessage, Message
from email.parser import BytesHeaderParser
from functools import cached_property
from typing import Any, Literal

from aiosmtpd.smtp import SMTP, Envelope, Session

from notification_sender.sandbox.behaviour import Behaviour
from notification_sender.sandbox.serving import HOST, accept_no_more

LARGEST = 32 * 1024 * 1024


@dataclass(frozen=True)
class ReceivedEmail:
    """One email that was accepted. ``raw`` has its bytes as sent; ``arrived`` is in seconds since the epoch."""

    sender: str
    recipients: tuple[str, ...]
    raw: bytes
    arrived: float

    @cached_property
    def message(self) -> EmailMessage:
        """The message, parsed on first use: parsing all 400 took a tenth of the demo's time."""
        return message_from_bytes(self.raw, policy=policy.default)

    @cached_property
    def headers(self) -> Message:
        """Its headers as they were sent. The parser would go through the body as well."""
        head, _, _ = self.raw.partition(b"\r\n\r\n")
        return BytesHeaderParser().parsebytes(head)

    @cached_property
    def notification_id(self) -> str:
        """The part of the Message-ID before the ``@``."""
        return str(self.headers["Message-ID"]).strip("<> ").partition("@")[0]


class Mailbox:
    """An SMTP server without TLS.

    ``behaviour`` returns a recipient's settings. Its answers are SMTP codes (250 accepts the email), at ``stage``:
    ``rcpt`` (before the first byte of the email) or ``data`` (after the last).
    """

    def __init__(
        self,
        behaviour: Callable[[str], Behaviour],
        on_email: Callable[[ReceivedEmail], None],
        port: int = 0,
        host: str = HOST,
    ) -> None:
        self._behaviour = behaviour
        self._on_email = on_email
        self._host = host
        self.port = port
        self.stage: Literal["rcpt", "data"] = "data"
        self._connections: set[_Connection] = set()
        self._server: asyncio.Server | None = None

    @property
    def url(self) -> str:
        return f"smtp://{self._host}:{self.port}?starttls=none"

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Connection(self, self._connections, loop), self._host, self.port
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            await accept_no_more(self._server)
            self._server.close()
        for connection in list(self._connections):
            connection.drop()
        await asyncio.gather(*(connection.gone.wait() for connection in list(self._connections)))

    async def handle_RCPT(  # noqa: N802 - aiosmtpd finds its hooks by these names
        self, server: "_Connection", _session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if self.stage == "rcpt":
            behaviour = self._behaviour(address)
            async with behaviour.call() as said:
                if said not in (None, 250):
                    return await server.refuse(said, behaviour.body)
        envelope.rcpt_tos.append(address)
        envelope.rcpt_options.extend(options)
        return "250 2.1.5 OK"

    async def handle_DATA(self, server: "_Connection", _session: Session, envelope: Envelope) -> str:  # noqa: N802
        async with AsyncExitStack() as calls:
            for address in envelope.rcpt_tos if self.stage == "data" else ():
                behaviour = self._behaviour(str(address))
                said = await calls.enter_async_context(behaviour.call())
                if said not in (None, 250):
                    return await server.refuse(said, behaviour.body)
            letter = _letter(envelope)
            self._on_email(letter)
        return f"250 2.0.0 kept as {letter.notification_id}"


class _Connection(SMTP):
    """One client connection. The server keeps it to be able to close it: asyncio does not close open connections."""

    def __init__(self, mailbox: Mailbox, connections: set["_Connection"], loop: asyncio.AbstractEventLoop) -> None:
        # A host name is given because aiosmtpd would ask the DNS for one, and block the loop.
        super().__init__(mailbox, data_size_limit=LARGEST, enable_SMTPUTF8=True, hostname="inbox.example", loop=loop)
        self._connections = connections
        self.gone = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._connections.add(self)
        super().connection_made(transport)

    def connection_lost(self, error: Exception | None) -> None:
        super().connection_lost(error)
        self._connections.discard(self)
        self.gone.set()

    def drop(self) -> None:
        if self.transport is not None:
            self.transport.close()

    async def refuse(self, said: Any, words: bytes | None) -> str:
        """The reply for an answer other than 250. ``hang`` never replies; ``close`` drops the connection."""
        if said == "close":
            self.drop()
        if said in ("hang", "close"):
            await asyncio.Event().wait()  # ends with the connection
        if words is not None:
            return f"{said} {words.decode()}"
        temporary = isinstance(said, int) and said < 500  # noqa: PLR2004 - SMTP's own border
        return f"{said} {'4.3.0 try again later' if temporary else '5.1.1 not wanted here'}"


def _letter(envelope: Envelope) -> ReceivedEmail:
    return ReceivedEmail(
        sender=envelope.mail_from or "",
        recipients=tuple(map(str, envelope.rcpt_tos)),
        raw=envelope.original_content or b"",
        arrived=time.time(),
    )
