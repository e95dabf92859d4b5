"""Servers to which no connection may be made, and what is said of each: for RabbitMQ and Redis alike."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tests.services.certificates import Certificate, certificate, expired
from tests.services.program import HOST


def good(folder: Path) -> Certificate:
    return certificate(folder, f"IP:{HOST}")


def of_another_name(folder: Path) -> Certificate:
    return certificate(folder, "DNS:other.example")


def of_2020(folder: Path) -> Certificate:
    return expired(folder, f"IP:{HOST}")


@dataclass(frozen=True, slots=True)
class Refused:
    """``trusted``: our file of authorities has the certificate. ``says``: words of the error."""

    shows: Callable[[Path], Certificate]
    says: tuple[str, ...]
    trusted: bool = True
    old: bool = False
    demands: bool = False


REFUSED = {
    "expired": Refused(of_2020, ("is not trusted: certificate has expired", "renew it there")),
    "another name": Refused(of_another_name, ("is not trusted: IP address mismatch", "a name of the certificate")),
    "unknown authority": Refused(good, ("is not trusted: self-signed certificate", "_CA"), trusted=False),
    "TLS 1.1": Refused(good, ("speaks no TLS 1.2 or newer",), old=True),
    "no client certificate": Refused(good, ("client certificate", "_CERT and ", "_KEY"), demands=True),
}
