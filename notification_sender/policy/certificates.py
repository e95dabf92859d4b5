"""When certificates end, from their own bytes: Python decodes only those of a connection that it has verified."""

import re
from base64 import b64decode
from collections.abc import Iterator
from datetime import UTC, datetime

DAY_SECONDS = 86_400.0

_PEM = re.compile(r"-----BEGIN CERTIFICATE-----([\sA-Za-z0-9+/=]*)-----END CERTIFICATE-----")
_VERSION, _UTC_TIME, _GENERALIZED_TIME = 0xA0, 0x17, 0x18
_LONG_FORM = 0x80
_CENTURY_SPLIT = "50"
"""Two digits of a year below this mean 20xx (RFC 5280, 4.1.2.5.1)."""


def ends_in_pem(pem: str) -> list[float]:
    """The end of each certificate of a PEM text, in epoch seconds.

    Raises:
        ValueError: a part of it is no certificate.
    """
    return [end_of(b64decode(it)) for it in _PEM.findall(pem)]


def end_of(der: bytes) -> float:
    """The end of a certificate's validity, in epoch seconds.

    Raises:
        ValueError: the bytes are no certificate.
    """
    try:
        (_, certificate), *_ = _parts(der)
        (_, signed), *_ = _parts(certificate)
        fields = [it for it in _parts(signed) if it[0] != _VERSION]
        _, validity = fields[3]  # after the serial number, the algorithm and the issuer
        _, end = _parts(validity)
        return _time(*end)
    except (IndexError, TypeError, UnicodeDecodeError) as fault:
        raise ValueError(f"not a certificate: {fault}") from None


def _parts(data: bytes) -> Iterator[tuple[int, bytes]]:
    """The tag and the content of each element of DER (X.690)."""
    at = 0
    while at < len(data):
        tag, length, at = data[at], data[at + 1], at + 2
        if length & _LONG_FORM:
            size = length & ~_LONG_FORM
            length, at = int.from_bytes(data[at : at + size]), at + size
        yield tag, data[at : at + length]
        at += length


def _time(tag: int, content: bytes) -> float:
    text = content.decode("ascii")
    if tag == _UTC_TIME:
        text = ("20" if text[:2] < _CENTURY_SPLIT else "19") + text
    elif tag != _GENERALIZED_TIME:
        raise ValueError(f"not a time: tag {tag}")
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC).timestamp()
