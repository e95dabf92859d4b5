"""What is kept of a recipient's own words: the start, on one line, without what they repeat of ours."""

import re
from collections.abc import Iterable

KEPT = 1024
"""Bytes of an answer that are kept: for whoever looks into a delivery that failed, not for the answer's sake."""

READ = 2 * KEPT
"""Bytes that are looked at: less stays of them where they hold secrets."""

SHORTEST_SECRET = 8
"""Characters. What is shorter is no secret, and to blot it out would blot out other words with it."""

REDACTED = "[redacted]"

_SECRET = re.compile(
    r"whsec_[\w+/=-]+|v1a?,[\w+/=-]{20,}|eyJ[\w-]+\.[\w.-]+|(?i:bearer|basic)\s+[^\s\"',;]+"
    r"|[^\s\"',;:<>()@]{1,64}(?:@|%40)[^\s\"',;:<>()@]+"
)
"""What nobody's answer needs to keep, whoever it belongs to: keys, signatures, tokens, logins, mail addresses."""

_WORD = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+/=.,:%@~\\"
"""What secrets are made of: one that is cut in two would not be known for what it is."""


def excerpt(answer: bytes, *, private: Iterable[str] = ()) -> str:
    """At most a KiB of ``answer``; of ``private``, what was sent and is not for others, not a piece is repeated."""
    if not answer:
        return ""
    text = answer[:READ].decode(errors="replace")
    if len(answer) > READ:
        text = text.rstrip(_WORD + "\N{REPLACEMENT CHARACTER}")
    text = " ".join(text.split())
    if not text.isprintable():
        text = "".join(letter if letter.isprintable() else "?" for letter in text)
    for secret in sorted(_pieces(private), key=len, reverse=True):
        text = text.replace(secret, REDACTED)
    return _SECRET.sub(REDACTED, text).encode()[:KEPT].decode(errors="ignore")


def _pieces(private: Iterable[str]) -> set[str]:
    """Each whole, and its parts too: what comes back in JSON or in a URL may have its ``/`` and ``+`` escaped."""
    pieces = {piece for secret in private for piece in (secret, *re.split(r"[^\w-]+", secret))}
    return {piece for piece in pieces if len(piece) >= SHORTEST_SECRET}
