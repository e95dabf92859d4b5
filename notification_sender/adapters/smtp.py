"""The mail server: a few connections that are kept, one deadline a message, and errors that say what was sent."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import NoReturn
from urllib.parse import parse_qs, unquote, urlsplit

import aiosmtplib

from notification_sender.adapters.smtp_answers import Answer, answer_of
from notification_sender.model.errors import ClaimLost, ConfigurationFault, SendFailed, Sent, SlowDown, Unready
from notification_sender.model.outcome import Receipt
from notification_sender.ports import Begin

BACKLOG = 5.0
"""Seconds without more, where the server takes less than is waiting for it: nothing is wrong with what waits."""

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

    ``timeout`` is the deadline of one message from waiting for a connection to the server's last word, in seconds; half
    of it may go into the waiting.
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

    async def send(self, sender: str, recipient: str, message: bytes, begin: Begin) -> Receipt:
        """Hand one message over; what the server said when it took it. ``begin`` comes after the recipient was taken.

        Raises:
            Rejected: 5xx to the sender, the recipient or the message.
            SendFailed: 4xx (answered); no usable connection (nothing); no answer after DATA (unknown).
            SlowDown: 4xx that means all of us; or no connection became free.
            ClaimLost, Unready: from ``begin``; nothing was sent.

        """
        transfer = _Transfer(sender, recipient, message, begin)
        try:
            async with asyncio.timeout(self._timeout), self._place():
                return await self._send(transfer)
        except TimeoutError:
            words = f"{self._server.host}: no end after {self._timeout:g} s"
            raise SendFailed(words, sent=transfer.sent, ill=True) from None

    async def close(self) -> None:
        """Say goodbye on the idle connections, a second for each at most."""
        while self._idle:
            client = self._idle.pop()
            with suppress(TimeoutError, *_TROUBLE):
                await client.quit(timeout=1.0)
            client.close()

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        """One of the connections, within half of the deadline: with less than the rest nothing had better be begun."""
        try:
            async with asyncio.timeout(self._timeout / 2):
                await self._slots.acquire()
        except TimeoutError:
            words = f"{self._server.host}: no connection became free for {self._timeout / 2:g} s"
            raise SlowDown(words, seconds=BACKLOG, of_all=False) from None
        try:
            yield
        finally:
            self._slots.release()

    async def _send(self, transfer: "_Transfer") -> Receipt:
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
        except aiosmtplib.SMTPResponseException as answer:
            client.close()
            raise answer_of(answer).no_connection() from None
        except (TimeoutError, *_TROUBLE) as trouble:
            client.close()
            words = f"{server.host}:{server.port}: {_said(trouble)}"
            raise SendFailed(words, sent=Sent.NOTHING, ill=True) from None
        except BaseException:  # cancelled: the half-open connection must not stay behind
            client.close()
            raise
        return client

    async def _transfer(self, client: aiosmtplib.SMTP, transfer: "_Transfer") -> Receipt:
        try:
            receipt = await transfer.run(client)
        except aiosmtplib.SMTPResponseException as refused:
            answer = answer_of(refused, transfer.recipient)
            if answer.ends:
                client.close()
            else:
                self._idle.append(client)
            raise answer.refusal(transfer.sent) from None
        except (ClaimLost, Unready):
            self._idle.append(client)
            raise
        except _TROUBLE as trouble:
            client.close()
            raise SendFailed(f"{self._server.host}: {_said(trouble)}", sent=transfer.sent, ill=True) from None
        except BaseException:  # cancelled or timed out in the middle: the next message must not follow this one
            client.close()
            raise
        self._idle.append(client)
        return receipt


class _Transfer:
    """One message on its way, and how far it got."""

    def __init__(self, sender: str, recipient: str, message: bytes, begin: Begin) -> None:
        self.recipient = recipient
        self._sender = sender
        self._message = message
        self._begin = begin
        self.sent = Sent.NOTHING

    async def run(self, client: aiosmtplib.SMTP) -> Receipt:
        await client.mail(self._sender)
        await client.rcpt(self.recipient)
        await self._begin()
        self.sent = Sent.UNKNOWN
        code, words = await client.data(self._message)
        return Answer(code, words, "message", self.recipient).receipt()


def _said(trouble: BaseException) -> str:
    """The library's words or the system's: what a server said is not among them."""
    return str(trouble) or type(trouble).__name__
