"""The channel ``email``: one message to one recipient, whose headers no field of a unit can extend."""

import re
from binascii import b2a_qp
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.utils import format_datetime
from typing import Protocol

from notification_sender.channels.mail_headers import ENCODED_WORD, mailbox, unstructured
from notification_sender.model.destination import Destination
from notification_sender.model.errors import ChannelNotConfigured, ConfigurationFault, SchemaViolation, SendFailed
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Receipt
from notification_sender.ports.channels import Begin
from notification_sender.ports.clock import Clock

PARTS = {"subject": False, "txt": False, "html": True}
_SUBTYPES = {"txt": "plain", "html": "html"}
MAX_SUBJECT = 255
"""Characters: mail clients cut longer subjects."""

MAX_ADDRESS = 254
"""Characters (RFC 5321, section 4.5.3.1.3, without the angle brackets)."""
MAX_LINK = 909
"""Characters: a header line has at most 998, and this one is not folded."""

# One addr-spec (RFC 5321). It has no display name, quoted or literal part, list or comment: so no second recipient.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{3,{MAX_ADDRESS}}}\Z)(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_LINK = re.compile(r"https://[A-Za-z0-9\[][!-;=?-~]{0,900}")

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters but line feed and tab: some servers refuse a NUL, and some mail readers stop at one."""

_UNSEEN = re.compile(
    "[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
"""Characters without width, or that change the direction of text: with them a subject reads as another one."""


class Mailer(Protocol):
    """Hands one finished message to a mail server."""

    async def send(self, sender: str, recipient: str, message: bytes, begin: Begin, *, organization: str) -> Receipt:
        """The server's answer when it accepted. ``message`` is ASCII with CRLF. Organizations take turns at the server.

        ``begin`` is awaited once the server has accepted the recipient, right before the message.

        Raises:
            Rejected: the server refused it for good.
            SendFailed: may work later; says whether bytes may have arrived.
            SlowDown: the server asks for fewer emails, to whichever recipient.

        """


class Email:
    """The channel ``email``: a destination has a ``to``, and may have an ``unsubscribe_url``.

    ``sender`` is the address in From, with or without a display name. Without a mailer nothing can be sent.

    Raises:
        ConfigurationFault: the sender is no mail address.

    """

    name = "email"
    parts: Mapping[str, bool] = PARTS
    fields: Mapping[str, int] = {"to": MAX_ADDRESS, "unsubscribe_url": MAX_LINK}

    def __init__(self, *, mailer: Mailer | None, sender: str | None, clock: Clock) -> None:
        self._mailer = mailer
        self._sender = _sender(sender) if sender else None
        self._clock = clock

    def address(self, destination: Destination) -> str:
        to = destination.extra.get("to")
        if not isinstance(to, str) or not is_address(to):
            raise SchemaViolation(f"{destination.destination_id}: to is not one mail address (user@host, ASCII)")
        _unsubscribe(destination)
        return to

    def host(self, address: str) -> str:  # noqa: ARG002 - all of it goes through the one mail server
        return "mail server"

    def check(self, organization_id: str, destination: Destination) -> None:
        """A destination needs no file of ours: one mail server serves all of them."""

    def sends_at_once(self, *_: object) -> bool:
        """Never: a mail is dialled for, or waits for a connection, for seconds."""
        return False

    async def send(self, notification: Notification, begin: Begin) -> Receipt:
        """As ``Channel.send``. A failure of the mail server itself is not held against the recipient."""
        if self._mailer is None or self._sender is None:
            raise ChannelNotConfigured("no mail server: NS_SMTP_URL and NS_EMAIL_FROM are not both set")
        to = self.address(notification.destination)
        message = compose(notification, self._sender, to, datetime.fromtimestamp(self._clock.now(), UTC))
        try:
            organization = notification.organization_id
            return await self._mailer.send(self._sender.addr_spec, to, message, begin, organization=organization)
        except SendFailed as fault:
            if not fault.ill:
                raise
            raise _mail_server_unwell(fault) from fault


def _mail_server_unwell(fault: SendFailed) -> SendFailed:
    """The same failure, not held against the recipient."""
    return SendFailed(
        str(fault),
        sent=fault.sent,
        retry_after=fault.retry_after,
        ill=True,
        between=True,
        answer=fault.answer,
        status=fault.status,
    )


def is_address(text: str) -> bool:
    """Whether the channel writes to this address: no display name, quoted or literal part, list or comment."""
    return _ADDRESS.fullmatch(text) is not None and ENCODED_WORD not in text


def compose(notification: Notification, sender: Address, to: str, date: datetime) -> bytes:
    """The message, the same bytes for the same arguments.

    Raises:
        SchemaViolation: a part of an email is missing.

    """
    if missing := PARTS.keys() - notification.content.keys():
        raise SchemaViolation(f"an email without {', '.join(sorted(missing))}")
    boundary = f"=_{notification.notification_id}"
    lines = [f"{name}: {value}" for name, value in _headers(notification, sender, to, date, boundary)]
    lines.append("")
    for subtype in ("txt", "html"):
        lines += [f"--{boundary}", *_part(notification.content[subtype], _SUBTYPES[subtype])]
    return "\r\n".join([*lines, f"--{boundary}--", ""]).encode("ascii")


def _headers(
    notification: Notification, sender: Address, to: str, date: datetime, boundary: str
) -> Iterator[tuple[str, str]]:
    yield "From", mailbox("From", sender)
    yield "To", to
    yield "Subject", unstructured("Subject", subject_line(notification.content["subject"]))
    yield "Date", format_datetime(date)
    yield "Message-ID", f"<{notification.notification_id}@{sender.domain}>"
    yield "Auto-Submitted", "auto-generated"
    if link := _unsubscribe(notification.destination):
        yield "List-Unsubscribe", f"<{link}>"
        yield "List-Unsubscribe-Post", "List-Unsubscribe=One-Click"
    yield "MIME-Version", "1.0"
    # No quoted-printable line contains "=_", so no part contains the boundary.
    yield "Content-Type", f'multipart/alternative;\r\n boundary="{boundary}"'


def subject_line(text: str) -> str:
    """One line of visible text. An encoded word in it is broken up, or a mail reader would decode it."""
    seen = _UNSEEN.sub("", _CONTROL.sub("", " ".join(text.split())))
    return " ".join(seen.split()).replace(ENCODED_WORD, "= ?")[:MAX_SUBJECT].rstrip()


def _part(text: str, subtype: str) -> Iterator[str]:
    yield f'Content-Type: text/{subtype}; charset="utf-8"'
    yield "Content-Transfer-Encoding: quoted-printable"
    yield ""
    yield from b2a_qp(_CONTROL.sub("", text).encode(), istext=True).decode("ascii").split("\n")


def _unsubscribe(destination: Destination) -> str | None:
    link = destination.extra.get("unsubscribe_url")
    if link is None:
        return None
    if not isinstance(link, str) or not _LINK.fullmatch(link) or ENCODED_WORD in link:
        raise SchemaViolation(f"{destination.destination_id}: unsubscribe_url is no plain https:// URL")
    return link


def _sender(text: str) -> Address:
    # Not parseaddr: of several addresses it takes the first without an error.
    name, _, address = text.removesuffix(">").rpartition("<") if text.endswith(">") else ("", "", text)
    if not is_address(address) or ENCODED_WORD in text or not text.isprintable():
        raise ConfigurationFault(f"NS_EMAIL_FROM: {text!r} is no mail address, like Alerts <alerts@example.com>")
    return Address(name.strip().strip('"'), addr_spec=address)
