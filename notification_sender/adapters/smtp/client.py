"""The SMTP client: a few kept connections, one deadline per message, and errors that say whether it was sent."""

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from weakref import WeakSet

import aiosmtplib
import structlog

from notification_sender.adapters.http.exchange import OUT_OF_FILES
from notification_sender.adapters.smtp.replies import Answer, answer_of
from notification_sender.adapters.smtp.server import OwnName, Server
from notification_sender.adapters.tls import Tls, TlsOptions
from notification_sender.model.errors import (
    ClaimLost,
    SenderRefused,
    SendFailed,
    Sent,
    SlowDown,
    Unready,
)
from notification_sender.model.outcome import Receipt
from notification_sender.ports.channels import Begin
from notification_sender.telemetry.lag import Deadline
from notification_sender.turns import Turns

CONNECTIONS = 4

BACKLOG = 5.0
"""Seconds until a message tries again for which no connection became free. Neither it nor the server is at fault."""

REFUSALS_UNTIL_HELD = 3
"""Refusals of the sender in a row, without an accepted message between, until all sending to the server is held. Fewer
may come from one recipient's provider, relayed by our mail server."""

EHLO_UNKNOWN_CODES = frozenset({500, 502})
"""Replies to EHLO of servers that only know HELO (before RFC 1869, 1995)."""

_SMTP_ERRORS = (aiosmtplib.SMTPException, OSError, ValueError)
_log = structlog.get_logger()


class Smtp:
    """Sends by one mail server over at most ``connections`` connections.

    ``tls``: else with the authorities of the system. ``name``: the name at EHLO. ``timeout``: seconds for one message,
    from waiting for a connection to the server's last reply; the wait may take half of it.
    """

    def __init__(
        self,
        server: Server,
        *,
        connections: int = CONNECTIONS,
        timeout: float = 15.0,
        connect_timeout: float = 5.0,
        tls: Tls | None = None,
        name: str | None = None,
    ) -> None:
        self._server = server
        self._name = OwnName(name)
        self._timeout = timeout
        self._connect_timeout = connect_timeout
        self._tls = tls or Tls(TlsOptions("the mail server", "NS_SMTP"))
        self._places = Turns(connections)
        self._idle: list[aiosmtplib.SMTP] = []
        self._carried: WeakSet[aiosmtplib.SMTP] = WeakSet()
        """Connections on which a message was accepted: when one refuses the next, it may have reached a limit."""
        self._refusals = 0
        """Messages in a row whose sender was refused."""

    async def send(
        self, sender: str, recipient: str, message: bytes, begin: Begin, *, organization: str = ""
    ) -> Receipt:
        """Send one message; returns the receipt. ``begin`` is awaited after the server accepted the recipient.
        ``organization``: the message's owner; organizations get the connections in turns.

        Raises:
            Rejected: 5xx to the sender, the recipient or the message.
            SendFailed: 4xx (answered); no usable connection (nothing sent); no reply after DATA (unknown).
            SlowDown: a 4xx that limits all our mail, or no connection became free.
            SenderRefused: the server refuses us (name, login, domain, address); the message stays alive.
            ClaimLost, Unready: from ``begin``; nothing was sent. Unready also when no more files can be opened.

        """
        transfer = _Transfer(sender, recipient, message, begin)
        try:
            async with Deadline(self._timeout), self._place(organization):
                receipt = await self._send(transfer)
        except TimeoutError:
            words = f"{self._server.host}: not finished within {self._timeout:g} s"
            raise SendFailed(words, sent=transfer.sent, ill=True) from None
        except SenderRefused as fault:
            raise self._refused(fault) from fault
        self._refusals = 0
        return receipt

    async def greet(self) -> bytes:
        """Connect, greet and log in, as before a message. The connection is kept until ``close``.

        Returns the certificate of the server (DER), empty without TLS.

        Raises:
            SendFailed, SlowDown, Rejected: the server cannot be reached, or refuses one of these steps.
        """
        client = await self._connect()
        self._idle.append(client)
        encrypted = client.get_transport_info("ssl_object")
        return encrypted.getpeercert(binary_form=True) or b"" if encrypted else b""

    def _refused(self, fault: SenderRefused) -> SenderRefused:
        """The same refusal, of all that is sent where it is one of many."""
        self._refusals += 1
        if self._refusals == 1:
            # Logged once until a message is accepted: the event of each waiting message says it as well.
            advice = (
                "the server refuses the sender, not recipients: "
                "check NS_EMAIL_HELO, NS_SMTP_URL, NS_EMAIL_FROM, SPF and DKIM"
            )
            _log.error("email.sender_rejected", server=self._server.host, answer=str(fault), advice=advice)
        of_all = fault.of_all or self._refusals >= REFUSALS_UNTIL_HELD
        return SenderRefused(str(fault), seconds=fault.seconds, of_all=of_all)

    async def close(self) -> None:
        """Quit the idle connections, each within one second."""
        while self._idle:
            client = self._idle.pop()
            with suppress(TimeoutError, *_SMTP_ERRORS):
                await client.quit(timeout=1.0)
            client.close()

    @asynccontextmanager
    async def _place(self, organization: str) -> AsyncIterator[None]:
        """Wait for a connection, for half of the deadline at most: the transfer needs the other half."""
        try:
            async with Deadline(self._timeout / 2):
                await self._places.take(organization)
        except TimeoutError:
            words = f"{self._server.host}: no connection became free for {self._timeout / 2:g} s"
            raise SlowDown(words, seconds=BACKLOG, of_all=False) from None
        try:
            yield
        finally:
            self._places.give(organization)

    async def _send(self, transfer: "_Transfer") -> Receipt:
        while self._idle:
            client = self._idle.pop()
            if await self._alive(client):
                try:
                    return await self._transfer(client, transfer)
                except _SessionOver:
                    continue
        return await self._transfer(await self._connect(), transfer)

    async def _alive(self, client: aiosmtplib.SMTP) -> bool:
        """Whether a kept connection still answers. RSET also ends a transaction that an earlier message left open."""
        try:
            async with Deadline(self._connect_timeout), _closed_if_it_fails(client):
                await client.rset()
        except (TimeoutError, *_SMTP_ERRORS):
            return False
        return True

    async def _connect(self) -> aiosmtplib.SMTP:
        server = self._server
        tls = await self._tls.context() if server.tls or server.starttls else None
        client = aiosmtplib.SMTP(
            hostname=server.host,
            port=server.port,
            timeout=None,
            use_tls=server.tls,
            start_tls=False,  # done in _introduce, after an EHLO with our own name
            tls_context=tls,
        )
        try:
            async with Deadline(self._connect_timeout), _closed_if_it_fails(client):
                await self._introduce(client, tls)
        except aiosmtplib.SMTPResponseException as answer:
            raise answer_of(answer).no_connection() from None
        except (TimeoutError, *_SMTP_ERRORS) as trouble:
            if _no_more_files(trouble):
                raise Unready(f"no more connections can be opened: {_said(trouble)}") from trouble
            fault = self._tls.fault(trouble)
            words = f"{server.host}:{server.port}: {fault.text if fault else _said(trouble)}"
            raise SendFailed(words, sent=Sent.NOTHING, ill=True) from None
        return client

    async def _introduce(self, client: aiosmtplib.SMTP, tls: ssl.SSLContext | None) -> None:
        await client.connect()
        name = await self._name.on(client)
        await _greet(client, name)
        if self._server.starttls:
            await client.starttls(tls_context=tls)
            await _greet(client, name)
        if self._server.user is not None:
            await client.login(self._server.user, self._server.password or "")

    async def _transfer(self, client: aiosmtplib.SMTP, transfer: "_Transfer") -> Receipt:
        carried = client in self._carried
        try:
            receipt = await transfer.run(client)
        except aiosmtplib.SMTPResponseException as refused:
            answer = answer_of(refused, transfer.recipient)
            over = carried and answer.of_session
            if answer.ends or over:
                client.close()
            else:
                self._idle.append(client)
            raise _SessionOver if over else answer.refusal(transfer.sent) from None
        except (ClaimLost, Unready):
            self._idle.append(client)
            raise
        except _SMTP_ERRORS as trouble:
            client.close()
            if carried and transfer.sent is Sent.NOTHING:
                raise _SessionOver from None
            raise SendFailed(f"{self._server.host}: {_said(trouble)}", sent=transfer.sent, ill=True) from None
        except BaseException:  # cancelled or timed out midway: the connection cannot carry another message
            client.close()
            raise
        self._carried.add(client)
        self._idle.append(client)
        return receipt


class _SessionOver(Exception):
    """A kept connection takes no more messages; a new connection may. This message was not accepted."""


@asynccontextmanager
async def _closed_if_it_fails(client: aiosmtplib.SMTP) -> AsyncIterator[None]:
    """Close the client on any error, cancellation too: no other code knows this connection and would close it."""
    try:
        yield
    except BaseException:
        client.close()
        raise


async def _greet(client: aiosmtplib.SMTP, name: str) -> None:
    try:
        await client.ehlo(hostname=name)
    except aiosmtplib.SMTPHeloError as refused:
        if refused.code not in EHLO_UNKNOWN_CODES:
            raise
        await client.helo(hostname=name)


class _Transfer:
    """The transfer of one message, and how far it got."""

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


def _no_more_files(trouble: BaseException) -> bool:
    """Whether this process may open no more files. The mail server is not at fault, so no attempt is used."""
    return any(isinstance(it, OSError) and it.errno in OUT_OF_FILES for it in (trouble, trouble.__cause__))


def _said(trouble: BaseException) -> str:
    """The text of the library or the system. It holds no server's reply and no part of the message."""
    ours = isinstance(trouble, aiosmtplib.SMTPException | OSError)
    return (str(trouble) if ours else "") or type(trouble).__name__
