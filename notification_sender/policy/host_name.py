"""Host names as they go to the name server, to TLS and into a request: in ASCII, by UTS 46."""

import re
import unicodedata

import idna

_AUTHORITY = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://([^/?#]*)")
_SAFE = re.compile(r"[a-z0-9._-]+")
"""Some signs stand for others, such as ``℀`` for a/c: none may end the host, or the URL would lead elsewhere."""

_SYMBOLS = {"So", "Sk"}
"""Categories that UTS 46 takes and IDNA 2008 leaves out: emoji."""


def ascii_url(url: str) -> str:
    """``url`` with its host in ASCII, and nothing else changed.

    Raises:
        ValueError: as ``ascii_host``.

    """
    authority = _AUTHORITY.match(url)
    if authority is None:
        return url
    start, end = authority.span(1)
    start += authority[1].rfind("@") + 1
    place = url[start:end]
    if place.startswith("["):
        return url
    host, colon, port = place.partition(":")
    return url[:start] + ascii_host(host) + colon + port + url[end:]


def ascii_host(host: str) -> str:
    """A name that is ASCII already is left as it is, if each ``xn--`` in it can be read.

    Raises:
        ValueError: it is no name of UTS 46.

    """
    try:
        if host.isascii():
            for label in host.lower().split("."):
                if label.startswith("xn--"):
                    _check_encoded(label)
            return host
        mapped = idna.uts46_remap(host, std3_rules=False, transitional=False)
        name = ".".join(map(_encoded, mapped.split(".")))
    except (UnicodeError, IndexError):
        raise ValueError("its host is no name of UTS 46") from None
    if not _SAFE.fullmatch(name):
        raise ValueError("its host is no name of UTS 46")
    return name


def _encoded(label: str) -> str:
    if label.isascii():
        return label
    if letters := "".join(it for it in label if unicodedata.category(it) not in _SYMBOLS):
        idna.check_label(letters)
    return f"xn--{label.encode('punycode').decode()}"


def _check_encoded(label: str) -> None:
    decoded = label.removeprefix("xn--").encode().decode("punycode")
    if decoded.isascii():
        raise UnicodeError
    idna.uts46_remap(decoded, std3_rules=False, transitional=False)
