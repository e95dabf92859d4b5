"""The formats in which options are written, and how each is parsed."""

import re
from dataclasses import dataclass
from datetime import timedelta
from email.utils import parseaddr
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, Secret, ValidationInfo

from notification_sender.model.durations import duration
from notification_sender.policy.host_name import ascii_url
from notification_sender.policy.limits import Limit
from notification_sender.policy.nat64 import Nat64Prefix
from notification_sender.policy.networks import AllowedNetwork
from notification_sender.policy.retry import Schedule
from notification_sender.processes.number import MOST, processes
from notification_sender.settings.urls import check_options

MASK = "***"
MAX_DURATION = timedelta(days=365).total_seconds()
_NAME = re.compile(r"[A-Za-z0-9_:-]{1,128}")
DNS_PORT = 53
IPV6 = 6
_ADDRESS = re.compile(r"[^@\s]+@[^@\s]+")
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_HOST_NAME = re.compile(rf"(?=.{{1,253}}\Z)(?:{_LABEL}(?:\.{_LABEL})+|\[(?:IPv6:)?[0-9A-Fa-f:.]+\])")


@dataclass(frozen=True, slots=True)
class Form:
    """The format's description on the reference page."""

    text: str


class SecretUrl(Secret[str]):
    """A URL that may hold a password. Its text is redacted, ``amqp://user:***@host/vhost``."""

    @property
    def scheme(self) -> str:
        """The scheme, in lower case."""
        return self.get_secret_value().partition("://")[0].lower()

    def _display(self) -> str:
        return redacted(self.get_secret_value())


def redacted(url: str) -> str:
    """A URL without its secrets. All of it is masked where the password's place is in doubt."""
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
    """Split a URL. The error never repeats the URL: it may hold a password."""
    advice = "is not a URL; in a user name or password, write / ? # @ : as %2F %3F %23 %40 %3A"
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
        raise ValueError("names no host; write scheme://host:port")
    return parts


def _amqp_url(url: SecretUrl) -> SecretUrl:
    _of_scheme(url.get_secret_value(), "amqp", "amqps", "memory")
    check_options(url.get_secret_value())
    return SecretUrl(ascii_url(url.get_secret_value()))


def _redis_url(url: SecretUrl) -> SecretUrl:
    if url.scheme in {"redis+sentinel", "redis+cluster"}:
        raise ValueError(f"{url.scheme}:// is not supported yet; name one server by redis:// or rediss://")
    _of_scheme(url.get_secret_value(), "redis", "rediss", "memory")
    check_options(url.get_secret_value())
    return SecretUrl(ascii_url(url.get_secret_value()))


def _smtp_url(url: SecretUrl | None) -> SecretUrl | None:
    if url is None:
        return None
    _of_scheme(url.get_secret_value(), "smtp", "smtps")
    check_options(url.get_secret_value())
    return SecretUrl(ascii_url(url.get_secret_value()))


def _api_url(url: str) -> str:
    parts = _of_scheme(url, "http", "https")
    if "@" in parts.netloc or parts.query:
        raise ValueError("must be a base URL, without user, password and query")
    return ascii_url(url).rstrip("/")


def _mailbox(text: str | None) -> str | None:
    if text is not None and ("\n" in text or "\r" in text or not _ADDRESS.fullmatch(parseaddr(text)[1])):
        raise ValueError(f"{text!r} is not a mail address; write it like NOC <noc@example.com>")
    return text


def _host_name(text: str | None) -> str | None:
    if text is not None and not _HOST_NAME.fullmatch(text):
        raise ValueError(
            f"{text!r} is not a full host name; write it like mail.example.com, or an address like [192.0.2.1]"
        )
    return text


def _there(folder: Path) -> Path:
    if not folder.is_dir():
        raise ValueError(
            f"{str(folder)!r} is not a directory" if folder.exists() else f"there is no directory {str(folder)!r}"
        )
    return folder


def _file(file: Path) -> Path:
    if not file.is_file():
        raise ValueError(f"{str(file)!r} is not a file" if file.exists() else f"there is no file {str(file)!r}")
    return file


def _seconds(text: str) -> float:
    seconds = duration(text)
    if not 0 < seconds <= MAX_DURATION:
        raise ValueError(f"{text!r} is not between 1ms and 365d")
    return seconds


def _delays_if_any(text: str | None) -> Schedule | None:
    return Schedule.parse(text) if text is not None else None


def _rate(text: str, info: ValidationInfo) -> Limit | None:
    return Limit.parse(str(info.field_name).removeprefix("throttle_"), text)


def _networks(text: str) -> tuple[AllowedNetwork, ...]:
    return tuple(AllowedNetwork.parse(word.strip()) for word in text.split(",") if word.strip())


def _nat64_prefixes(text: str) -> tuple[Nat64Prefix, ...]:
    return tuple(Nat64Prefix.parse(word.strip()) for word in text.split(",") if word.strip())


def _nameservers(text: str) -> tuple[str, ...]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    return tuple(map(_nameserver, words))


def _nameserver(text: str) -> str:
    """A name server as c-ares reads it. It must be an address: a name would need a lookup itself."""
    host, port = _parted(text)
    number = port.removeprefix(":")
    try:
        address = ip_address(host)
    except ValueError:
        raise ValueError(
            f"{text!r}: {host!r} is not an IP address; write 10.0.0.2, 10.0.0.2:5353 or [fd00::2]:53"
        ) from None
    if port and not (port.startswith(":") and number.isascii() and number.isdecimal() and 0 < int(number) < 2**16):
        raise ValueError(f"{text!r}: {number!r} is not a port (1 to 65535)")
    return f"[{address}]:{number or DNS_PORT}" if address.version == IPV6 else f"{address}:{number or DNS_PORT}"


def _parted(text: str) -> tuple[str, str]:
    """The address, and the port with its colon. An IPv6 address without brackets has no port."""
    if text.startswith("["):
        host, _, port = text[1:].partition("]")
        return host, port
    if text.count(":") != 1:
        return text, ""
    host, colon, port = text.partition(":")
    return host, colon + port


def _names(text: str) -> frozenset[str]:
    words = frozenset(word.strip() for word in text.split(",") if word.strip())
    for word in words - {"*"}:
        if not _NAME.fullmatch(word):
            raise ValueError(f"{word!r} is not a name: 1 to 128 characters of A-Z a-z 0-9 _ : -, or * for all")
    return words


def _ports(text: str) -> frozenset[int]:
    words = [word.strip() for word in text.split(",") if word.strip()]
    for word in words:
        if not (word.isascii() and word.isdecimal() and 0 < int(word) < 2**16):
            raise ValueError(f"{word!r} is not a port (1 to 65535)")
    if not words:
        raise ValueError("names no port; write ports from 1 to 65535, separated by commas")
    return frozenset(map(int, words))


AmqpUrl = Annotated[SecretUrl, AfterValidator(_amqp_url), Form("`amqp://` or `amqps://` URL")]
RedisUrl = Annotated[SecretUrl, AfterValidator(_redis_url), Form("`redis://` or `rediss://` URL")]
SmtpUrl = Annotated[SecretUrl | None, AfterValidator(_smtp_url), Form("`smtp://` or `smtps://` URL")]
ApiUrl = Annotated[str, AfterValidator(_api_url), Form("`http://` or `https://` URL")]
Budget = Annotated[int | None, Field(ge=1, le=100_000), Form("1 to 100000")]
Mailbox = Annotated[str | None, AfterValidator(_mailbox), Form("mail address, with or without a name")]
HostName = Annotated[str | None, AfterValidator(_host_name), Form("full host name, or an address in brackets")]
ExistingFolder = Annotated[Path, AfterValidator(_there), Form("existing folder")]
ExistingFile = Annotated[Path, AfterValidator(_file), Form("existing file")]
Duration = Annotated[float, BeforeValidator(_seconds), Form("duration: `250ms` `5s` `1.5h` `7d`")]
Delays = Annotated[Schedule, BeforeValidator(Schedule.parse), Form("durations, separated by spaces")]
OwnDelays = Annotated[Schedule | None, BeforeValidator(_delays_if_any), Form("durations, separated by spaces")]
Throttle = Annotated[Limit | None, BeforeValidator(_rate), Form("`600/minute burst 60`, `10/second`, `off`")]
Networks = Annotated[
    tuple[AllowedNetwork, ...],
    BeforeValidator(_networks),
    Form("`cidr[:ports][=organizations]`, separated by commas; `+` between several ports or organizations"),
]
Nat64Prefixes = Annotated[
    tuple[Nat64Prefix, ...],
    BeforeValidator(_nat64_prefixes),
    Form("IPv6 networks of 32, 40, 48, 56, 64 or 96 bits, separated by commas"),
]
NameServers = Annotated[
    tuple[str, ...], BeforeValidator(_nameservers), Form("`address` or `address:port`, separated by commas")
]
Names = Annotated[frozenset[str], BeforeValidator(_names), Form("names, separated by commas, or `*`")]
Ports = Annotated[frozenset[int], BeforeValidator(_ports), Form("ports, separated by commas")]
Processes = Annotated[int, BeforeValidator(processes), Form(f"1 to {MOST}, or `auto`")]
