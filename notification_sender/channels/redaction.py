"""An excerpt of a recipient's answer: its start, on one line, without secrets."""

import re
from collections.abc import Iterable

KEPT_BYTES = 1024
"""Of an answer: enough for a person who looks into a failed delivery."""

READ_BYTES = 2 * KEPT_BYTES
"""The excerpt is made of these: redacted secrets make it shorter."""

SHORTEST_SECRET = 8
"""Characters. A shorter text is no secret, and its redaction would remove other words as well."""

REDACTED = "[redacted]"

_SECRET = re.compile(
    r"whsec_[\w+/=-]+|v1a?,[\w+/=-]{20,}|eyJ[\w-]+\.[\w.-]+|(?i:bearer|basic)\s+[^\s\"',;]+"
    r"|[^\s\"',;:<>()@]{1,64}(?:@|%40)[^\s\"',;:<>()@]+"
)
"""Keys, signatures, tokens, logins and mail addresses, no matter whose."""

_WORD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+/=.,:%@~\\"
"""The characters of secrets. An excerpt does not end within a secret: half of one would not be recognized."""


def excerpt(answer: bytes, *, private: Iterable[str] = ()) -> str:
    """At most 1 KiB of ``answer``. ``private``: texts of ours that nobody else may read; no part of one is kept."""
    if not answer:
        return ""
    text = answer[:READ_BYTES].decode(errors="replace")
    if len(answer) > READ_BYTES:
        text = text.rstrip(_WORD + "\N{REPLACEMENT CHARACTER}")
    text = " ".join(text.split())
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
    for secret in sorted(_pieces(private), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return _SECRET.sub(REDACTED, text).encode()[:KEPT_BYTES].decode(errors="ignore")


def _pieces(private: Iterable[str]) -> set[str]:
    """Each as a whole, and its parts: an answer in JSON or in a URL may have escaped its ``/`` and ``+``."""
    pieces = {piece for secret in private for piece in (secret, *re.split(r"[^\w-]+", secret))}
    return {piece for piece in pieces if len(piece) >= SHORTEST_SECRET}
