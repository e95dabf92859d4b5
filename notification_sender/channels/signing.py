"""Standard Webhooks 1.0.0: what a recipient checks to know that it was us, and the keys for it."""

import hmac
import os
from base64 import b64decode, b64encode
from collections.abc import Sequence
from pathlib import Path

from notification_sender.model.errors import SendFailed, Sent

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a key, by the specification."""


def signing_key(text: str) -> bytes:
    """The bytes of ``whsec_…``.

    Raises:
        ValueError: another form or length; never repeats the key.

    """
    if not text.startswith(PREFIX):
        raise ValueError(f"a signing key starts with {PREFIX}")
    try:
        key = b64decode(text.removeprefix(PREFIX), validate=True)
    except ValueError:
        raise ValueError(f"what follows {PREFIX} is not base64") from None
    if not SHORTEST <= len(key) <= LONGEST:
        raise ValueError(f"a signing key has {SHORTEST} to {LONGEST} bytes, not {len(key)}")
    return key


def signature(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``: one ``v1,…`` for each key, so that a recipient may know only one."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return " ".join(f"v1,{b64encode(hmac.digest(key, signed, 'sha256')).decode()}" for key in keys)


class Secrets:
    """Signing keys from files, read again when a file has changed: keys are rotated while we run.

    A file has one key a line, the current one first; empty lines and ``#`` comments are skipped.
    """

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory
        self._known: dict[str, tuple[tuple[int, int, int], tuple[bytes, ...]]] = {}

    def keys(self, name: str) -> tuple[bytes, ...]:
        """All keys of ``name``, an identifier: it becomes a file name. At least one.

        Raises:
            SendFailed: nothing was sent. The operator can mend it before the attempts run out, and an unsigned
                message would be worse than a late one.

        """
        if self._directory is None:
            raise _unusable(name, "NS_SECRETS_DIR is not set")
        try:
            return self._read(f"{self._directory}/{name}", name)
        except OSError as fault:
            raise _unusable(name, fault.strerror or type(fault).__name__) from None
        except ValueError as fault:
            raise _unusable(name, str(fault)) from None

    def _read(self, file: str, name: str) -> tuple[bytes, ...]:
        now = os.stat(file)  # noqa: PTH116 - for every send: pathlib takes four times as long
        version = (now.st_mtime_ns, now.st_size, now.st_ino)
        known = self._known.get(name)
        if known is None or known[0] != version:
            known = self._known[name] = (version, _parse(Path(file).read_text(encoding="ascii")))
        return known[1]


def _parse(text: str) -> tuple[bytes, ...]:
    lines = [line.strip() for line in text.splitlines()]
    keys = tuple(signing_key(line) for line in lines if line and not line.startswith("#"))
    if not keys:
        raise ValueError("the file holds no key")
    return keys


def _unusable(name: str, cause: str) -> SendFailed:
    return SendFailed(f"the signing secret {name!r} cannot be used: {cause}", sent=Sent.NOTHING)
