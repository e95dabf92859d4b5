"""When the certificates of a connection end, for ``check``."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from notification_sender.adapters.tls import Tls
from notification_sender.policy.certificates import DAY_SECONDS, end_of, ends_in_pem

WARN_DAYS = 30
"""Days before the end of a certificate from which ``check`` warns."""

THE_SERVER = "the server's certificate"


@dataclass(frozen=True, slots=True)
class CertificateEnds:
    """``text``: in words, one sentence. ``soon``: whether one of them must be renewed now."""

    text: str = ""
    soon: bool = False


def certificate_ends(tls: Tls, server: bytes, *, own_files: bool = True) -> CertificateEnds:
    """When the certificates of a connection end: the ``server``'s (DER), and those in our own files."""
    found = {THE_SERVER: [end_of(server)]} if server else {}
    if own_files:
        files = (it for it in (tls.options.ca, tls.options.certificate) if it is not None)
        found |= {it.given_by: read for it in files if (read := _ends(it.path))}
    now = time.time()
    words = [_words(name, ends, now) for name, ends in found.items()]
    return CertificateEnds(", ".join(words), any(_days(ends, now) < WARN_DAYS for ends in found.values()))


def _ends(file: Path) -> list[float]:
    return ends_in_pem(file.read_bytes().decode("ascii", errors="ignore"))


def _words(name: str, ends: Sequence[float], now: float) -> str:
    subject = name if len(ends) == 1 else f"the first of {len(ends)} certificates in {name}"
    days, day = _days(ends, now), datetime.fromtimestamp(min(ends), UTC).date()
    if days < 0:
        return f"{subject} ended on {day}: renew it"
    left = "1 day" if days == 1 else f"{days} days"
    return f"{subject} ends on {day}, in {left}" + (": renew it" if days < WARN_DAYS else "")


def _days(ends: Sequence[float], now: float) -> int:
    """Whole days until the first of them ends."""
    return int((min(ends) - now) // DAY_SECONDS)
