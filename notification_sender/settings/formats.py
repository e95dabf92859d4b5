"""The forms in which an option is written, and what each becomes."""

import re
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated
from urllib.parse import SplitResult, parse_qsl, urlsplit

from pydantic import AfterValidator, BeforeValidator, DirectoryPath, Secret, ValidationInfo

from notification_sender.policy.limits import Limit
from notification_sender.policy.retry import Schedule, duration

MASK = "***"
LONGEST_DURATION = timedelta(days=365).total_seconds()
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")


@dataclass(frozen=True, slots=True)
class Form:
    """How the reference page describes it."""

    text: str


class SecretUrl(Secret[str]):
    """A URL that may carry a password: shown as ``amqp://user:***@host/vhost``, whole by ``get_secret_value``."""

    @property
    def scheme(self) -> str:
        """Before the ``://``, in small letters."""
        return self.get_secret_value().partition("://")[0].lower()

    def _display(self) -> str:
        return redacted(self.get_secret_value())


def redacted(url: str) -> str:
    """What may be shown of a URL: nothing where it is doubtful which part is the password."""
    try:
        parts = _split(url)
    except ValueError:
        return MASK
    login, at, host = parts.netloc.rpartition("@")
    user, colon, _ = login.partition(":")
    # A login without a colon may be a token, and a query may hold ?password=.
    shown = f"{user}:{MASK}" if colon else MASK
    query = f"?{MASK}" if parts.query else ""
    return f"{parts.scheme}://{shown + at if at else ''}{host}{parts.path}{query}"


def _split(url: str) -> SplitResult:
    """Take a URL apart; the message never repeats it, for it may hold a password."""
    advice = "is no URL: in a user or password, write / ? # @ : as %2F %3F %23 %40 %3A"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise ValueError(advice) from None
    if "@" in parts.path + parts.query or parts.fragment or not parts.scheme or port == 0:
        raise ValueError(advice)
    return parts


def _of_scheme(url: str, *schemes: str) -> SplitResult:
    if url.partition("://")[0].lower() not in schemes or "://" not in url:
        raise ValueError(f"must start with {' or '.join(f'{scheme}://' for scheme in schemes)}")
    parts = _split(url)
    if not parts.hostname and parts.scheme != "memory":
        raise ValueError("names no host")
    return parts


def _amqp_url(url: SecretUrl) -> SecretUrl:
    _of_scheme(url.get_secret_value(), "amqp", "amqps", "memory")
    return url


def _redis_url(url: SecretUrl) -> SecretUrl:
    if url.scheme in {"redis+sentinel", "redis+cluster"}:
        raise ValueError(f"{url.scheme}:// is not supported yet: name one server by redis:// or rediss://")
    _of_scheme(url.get_secret_value(), "redis", "rediss", "memory")
    return url


def _smtp_url(url: SecretUrl | None) -> SecretUrl | None:
    if url is None:
        return None
    wishes = parse_qsl(_of_scheme(url.get_secret_value(), "smtp", "smtps").query, keep_blank_values=True)
    if any(wish not in {("starttls", "required"), ("starttls", "none")} for wish in wishes):
        raise ValueError("knows ?starttls=required and ?starttls=none only")
    return url


def plaintext(url: SecretUrl) -> bool:
    """Whether mail would go to this server without encryption."""
    return "starttls=none" in url.get_secret_value().partition("?")[2]


def _api_url(url: str) -> str:
    parts = _of_scheme(url, "http", "https")
    if "@" in parts.netloc or parts.query:
        raise ValueError("is a base address: no user, no password, no query")
    return url.rstrip("/")


def _mailbox(text: str | None) -> str | None:
    if text is not None and ("\n" in text or "\r" in text or not _ADDRESS.fullmatch(parseaddr(text)[1])):
        raise ValueError(f"{text!r} is no mail address: write it like NOC <noc@example.com>")
    return text


def _seconds(text: str) -> float:
    seconds = duration(text)
    if not 0 < seconds <= LONGEST_DURATION:
        raise ValueError(f"{text!r} is not between 1ms and 365d")
    return seconds


def _delays_if_any(text: str | None) -> Schedule | None:
    return Schedule.parse(text) if text is not None else None


def _rate(text: str, info: ValidationInfo) -> Limit | None:
    return Limit.parse(str(info.field_name).removeprefix("throttle_"), text)


def _networks(text: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(word.strip()) for word in text.split(",") if word.strip())


def _ports(text: str) -> frozenset[int]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if not (word.isascii() and word.isdecimal() and 0 < int(word) < 2**16):
            raise ValueError(f"{word!r} is no port: 1 to 65535")
    if not words:
        raise ValueError("names no port")
    return frozenset(map(int, words))


AmqpUrl = Annotated[SecretUrl, AfterValidator(_amqp_url), Form("`amqp://` or `amqps://` URL")]
RedisUrl = Annotated[SecretUrl, AfterValidator(_redis_url), Form("`redis://` or `rediss://` URL")]
SmtpUrl = Annotated[SecretUrl | None, AfterValidator(_smtp_url), Form("`smtp://` or `smtps://` URL")]
ApiUrl = Annotated[str, AfterValidator(_api_url), Form("`http://` or `https://` URL")]
Mailbox = Annotated[str | None, AfterValidator(_mailbox), Form("mail address, with or without a name")]
Folder = Annotated[DirectoryPath, Form("folder that exists")]
Duration = Annotated[float, BeforeValidator(_seconds), Form("duration: `250ms` `5s` `1.5h` `7d`")]
Delays = Annotated[Schedule, BeforeValidator(Schedule.parse), Form("durations, separated by spaces")]
OwnDelays = Annotated[Schedule | None, BeforeValidator(_delays_if_any), Form("durations, separated by spaces")]
Throttle = Annotated[Limit | None, BeforeValidator(_rate), Form("`600/minute burst 60`, `10/second`, `off`")]
Networks = Annotated[
    tuple[IPv4Network | IPv6Network, ...], BeforeValidator(_networks), Form("networks, separated by commas")
]
Ports = Annotated[frozenset[int], BeforeValidator(_ports), Form("ports, separated by commas")]
