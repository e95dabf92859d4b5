"""How an email is made and sent: one message, one recipient, headers that nobody else can write into."""

import re
from binascii import b2a_qp
from collections.abc import Mapping
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import EmailPolicy
from typing import Any, Protocol

from notification_sender.model.destination import Destination
from notification_sender.model.errors import ChannelNotConfigured, ConfigurationFault, SchemaViolation, SendFailed
from notification_sender.model.notification import Notification
from notification_sender.model.outcome import Receipt
from notification_sender.ports import Begin, Clock

PARTS = {"subject": False, "txt": False, "html": True}
MAX_SUBJECT = 255
"""Characters: what is longer is cut by every mail client."""

# One addr-spec (RFC 5321): no display name, quoted or literal part, list or comment, so no second recipient.
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_ADDRESS = re.compile(rf"(?=.{{3,254}}\Z)(?=[^@]{{1,64}}@){_ATOM}(?:\.{_ATOM})*@{_LABEL}(?:\.{_LABEL})*")
_LINK = re.compile(r"https://[A-Za-z0-9\[][!-;=?-~]{0,900}")
_ENCODED_WORD = "=?"  # of RFC 2047: Python before 3.11.10 decodes it into header lines of its own (CVE-2024-6923)

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""All but line feed and tab: some servers refuse a NUL, and some readers stop there."""


class Mailer(Protocol):
    """What hands one finished message to a mail server."""

    async def send(self, sender: str, recipient: str, message: bytes, begin: Begin) -> Receipt:
        """What the server said when it accepted. ``message`` is ASCII with CRLF.

        ``begin`` is awaited once the server takes the recipient, right before it gets the message.

        Raises:
            Rejected: the server said no for good.
            SendFailed: may work later; says whether bytes may have arrived.
            SlowDown: the server wants less from us, whoever the recipient is.

        """


class Email:
    """The channel ``email``: a destination has a ``to``, and may have an ``unsubscribe_url``.

    ``sender`` is what stands in From, with or without a display name. Without a mailer nothing can be sent.

    Raises:
        ConfigurationFault: the sender is no mail address.

    """

    name = "email"
    parts: Mapping[str, bool] = PARTS

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

    async def send(self, notification: Notification, begin: Begin) -> Receipt:
        """As ``Channel.send``; where the mail server itself is unwell, that is not the recipient's doing."""
        if self._mailer is None or self._sender is None:
            raise ChannelNotConfigured("no mail server: NS_SMTP_URL and NS_EMAIL_FROM are not both set")
        to = self.address(notification.destination)
        message = compose(notification, self._sender, to, datetime.fromtimestamp(self._clock.now(), UTC))
        try:
            return await self._mailer.send(self._sender.addr_spec, to, message, begin)
        except SendFailed as fault:
            fault.between = fault.ill
            raise


def is_address(text: str) -> bool:
    """Whether it is one that we write to: no display name, quoted or literal part, list or comment."""
    return _ADDRESS.fullmatch(text) is not None and _ENCODED_WORD not in text


def compose(notification: Notification, sender: Address, to: str, date: datetime) -> bytes:
    """The message, the same bytes for the same arguments.

    Raises:
        SchemaViolation: the notification carries other parts than an email has.

    """
    if missing := PARTS.keys() - notification.content.keys():
        raise SchemaViolation(f"an email without {', '.join(sorted(missing))}")
    content = notification.content
    message = EmailMessage(policy=_POLICY)
    message["From"] = sender
    message["To"] = Address(addr_spec=to)
    message["Subject"] = subject_line(content["subject"])
    message["Date"] = date
    message["Message-ID"] = f"<{notification.notification_id}@{sender.domain}>"
    message["Auto-Submitted"] = "auto-generated"
    if link := _unsubscribe(notification.destination):
        message["List-Unsubscribe"] = f"<{link}>"
        message["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message["MIME-Version"] = "1.0"
    # "=_" can stand in no quoted-printable line, so the boundary is in no part; its own would be random.
    message["Content-Type"] = f'multipart/alternative; boundary="=_{notification.notification_id}"'
    message.attach(_part(content["txt"], "plain"))
    message.attach(_part(content["html"], "html"))
    return message.as_bytes()


def subject_line(text: str) -> str:
    """One line without control characters; what a mail reader could take for an encoded word is broken up."""
    spaced = " ".join(_CONTROL.sub("", " ".join(text.split())).split())
    return spaced.replace(_ENCODED_WORD, "= ?")[:MAX_SUBJECT]


def _part(text: str, subtype: str) -> EmailMessage:
    # set_content encodes in pure Python, eight times slower: 3 ms of the loop for 50 kB.
    part = EmailMessage(policy=_POLICY)
    part["Content-Type"] = f'text/{subtype}; charset="utf-8"'
    part["Content-Transfer-Encoding"] = "quoted-printable"
    part.set_payload(b2a_qp(_CONTROL.sub("", text).encode(), istext=True).decode("ascii"))
    return part


def _unsubscribe(destination: Destination) -> str | None:
    link = destination.extra.get("unsubscribe_url")
    if link is None:
        return None
    if not isinstance(link, str) or not _LINK.fullmatch(link) or _ENCODED_WORD in link:
        raise SchemaViolation(f"{destination.destination_id}: unsubscribe_url is no plain https:// URL")
    return link


def _sender(text: str) -> Address:
    # Not parseaddr: of a list it takes the first and says nothing.
    name, _, address = text.removesuffix(">").rpartition("<") if text.endswith(">") else ("", "", text)
    if not is_address(address) or _ENCODED_WORD in text or not text.isprintable():
        raise ConfigurationFault(f"NS_EMAIL_FROM: {text!r} is no mail address, like Alerts <alerts@example.com>")
    return Address(name.strip().strip('"'), addr_spec=address)


class _Policy(EmailPolicy):
    """Python folds a long word by encoding it, which no mail client undoes in a link or an id."""

    def fold_binary(self, name: str, value: Any) -> bytes:
        if name in {"List-Unsubscribe", "Message-ID"}:
            return f"{name}: {value}\r\n".encode("ascii")
        return super().fold_binary(name, value)


_POLICY = _Policy(linesep="\r\n")
