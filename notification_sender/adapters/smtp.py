"""The mail server: a few connections that are kept, one deadline a message, and errors that say what was sent."""

import asyncio
import socket
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from notification_sender.model.errors import ConfigurationFault, Rejected, SendFailed, Sent

AUTHENTICATION = frozenset({530, 534, 535, 538})
"""RFC 4954: the server wants other credentials or none without TLS. Our trouble, so no message dies of it."""

CLOSING = 421
MAX_WORDS = 500
_TROUBLE = (aiosmtplib.SMTPException, OSError, ValueError)


@dataclass(frozen=True, slots=True)
class Server:
    """Where mail goes, from ``smtp[s]://[user:password@]host[:port][?starttls=required|none]``."""

    host: str
    port: int
    user: str | None
    password: str | None = field(repr=False)
    tls: bool
    starttls: bool

    @classmethod
    def parse(cls, url: str) -> "Server":
        """Read the URL. Without a port: 465 for smtps, 587 with STARTTLS, else 25.

        Raises:
            ConfigurationFault: another form, or credentials that would travel in the open.

        """
        try:
            parts = urlsplit(url)
            port, query = parts.port, parse_qs(parts.query, strict_parsing=bool(parts.query))
        except ValueError:
            _fault("is no URL")
        starttls = query.pop("starttls", ["required"])[-1]
        if parts.scheme not in {"smtp", "smtps"} or not parts.hostname or parts.path not in {"", "/"}:
            _fault("is not like smtp://user:password@mail.example.com:587")
        if query or starttls not in {"required", "none"}:
            _fault("has an option other than starttls=required and starttls=none")
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
            _fault("would send credentials without TLS")
        return server


def _fault(what: str) -> NoReturn:
    # Never the URL itself: it holds the password.
    raise ConfigurationFault(f"NS_SMTP_URL {what}")


class Smtp:
    """A mail server behind ``connections`` connections at most. ``tls`` replaces the system's trust.

    ``timeout`` is the deadline of one message from waiting for a connection to the server's last word, in seconds.
    """

    def __init__(
        self,
        server: Server,
        *,
        connections: int = 4,
        timeout: float = 15.0,
        connect_timeout: float = 5.0,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._tls = tls or ssl.create_default_context()
        self._slots = asyncio.Semaphore(connections)
        self._idle: list[aiosmtplib.SMTP] = []

    async def send(self, sender: str, recipient: str, message: bytes) -> str:
        """Hand one message over; what the server said when it took it.

        Raises:
            Rejected: 5xx to the sender, the recipient or the message.
            SendFailed: 4xx (answered); no usable connection (nothing); no answer after DATA (unknown).

        """
        transfer = _Transfer(sender, recipient, message)
        try:
            async with asyncio.timeout(self._timeout), self._slots:
                return await self._send(transfer)
        except TimeoutError:
            raise SendFailed(f"{self._server.host}: no end after {self._timeout:g} s", sent=transfer.sent) from None

    async def close(self) -> None:
        """Say goodbye on the idle connections, a second for each at most."""
        while self._idle:
            client = self._idle.pop()
            with suppress(TimeoutError, *_TROUBLE):
                await client.quit(timeout=1.0)
            client.close()

    async def _send(self, transfer: "_Transfer") -> str:
        while self._idle:
            client = self._idle.pop()
            if await self._alive(client):
                return await self._transfer(client, transfer)
        return await self._transfer(await self._connect(), transfer)

    async def _alive(self, client: aiosmtplib.SMTP) -> bool:
        """Whether a kept connection still answers; also ends what a message before left half done."""
        try:
            async with asyncio.timeout(self._connect_timeout):
                await client.rset()
        except (TimeoutError, *_TROUBLE):
            client.close()
            return False
        except BaseException:  # cancelled: nobody else knows this connection
            client.close()
            raise
        return True

    async def _connect(self) -> aiosmtplib.SMTP:
        server = self._server
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            username=server.user,
            password=server.password,
            # The name as it is: looking up a full one may block for longer than the whole deadline.
            local_hostname=socket.gethostname(),
            timeout=None,
            use_tls=server.tls,
            start_tls=server.starttls,
            tls_context=self._tls,
        )
        try:
            async with asyncio.timeout(self._connect_timeout):
                await client.connect()
                if client.is_ehlo_or_helo_needed:
                    await client.ehlo()
        except (TimeoutError, *_TROUBLE) as trouble:
            client.close()
            raise SendFailed(f"{server.host}:{server.port}: {_said(trouble)}", sent=Sent.NOTHING) from None
        except BaseException:  # cancelled: the half-open connection must not stay behind
            client.close()
            raise
        return client

    async def _transfer(self, client: aiosmtplib.SMTP, transfer: "_Transfer") -> str:
        try:
            words = await transfer.run(client)
        except aiosmtplib.SMTPResponseException as answer:
            if answer.code == CLOSING or transfer.in_doubt(answer):
                client.close()
            else:
                self._idle.append(client)
            transfer.refused(answer)
        except _TROUBLE as trouble:
            client.close()
            raise SendFailed(f"{self._server.host}: {_said(trouble)}", sent=transfer.sent) from None
        except BaseException:  # cancelled or timed out in the middle: the next message must not follow this one
            client.close()
            raise
        self._idle.append(client)
        return words


class _Transfer:
    """One message on its way, and how far it got."""

    def __init__(self, sender: str, recipient: str, message: bytes) -> None:
        self._sender = sender
        self._recipient = recipient
        self._message = message
        self.sent = Sent.NOTHING

    async def run(self, client: aiosmtplib.SMTP) -> str:
        await client.mail(self._sender)
        await client.rcpt(self._recipient)
        self.sent = Sent.UNKNOWN
        return _plain((await client.data(self._message)).message)

    def in_doubt(self, answer: aiosmtplib.SMTPResponseException) -> bool:
        """Neither yes nor no: the conversation is out of step."""
        return not 400 <= answer.code < 600  # noqa: PLR2004 - RFC 5321, section 4.2.1

    def refused(self, answer: aiosmtplib.SMTPResponseException) -> NoReturn:
        words = _plain(f"{answer.code} {answer.message}")
        if self.in_doubt(answer):
            raise SendFailed(words, sent=self.sent) from None
        if answer.code in AUTHENTICATION:
            raise SendFailed(words, sent=Sent.NOTHING) from None
        if answer.code < 500:  # noqa: PLR2004 - RFC 5321, section 4.2.1
            raise SendFailed(words, sent=Sent.ANSWERED) from None
        raise Rejected(words) from None


def _said(trouble: BaseException) -> str:
    return _plain(str(trouble)) or type(trouble).__name__


def _plain(words: str) -> str:
    """A server may say anything, as long as it likes: one line of text that can be written down."""
    return " ".join(words.encode("utf-8", "replace").decode().split())[:MAX_WORDS]
