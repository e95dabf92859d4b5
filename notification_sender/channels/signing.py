"""Standard Webhooks 1.0.0: what a recipient checks to know that it was us, and the keys for it."""

import hmac
import time
from base64 import b64decode, b64encode
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from notification_sender.model.errors import SendFailed, Sent

PREFIX = "whsec_"
SHORTEST, LONGEST = 24, 64
"""Bytes of a key, by the specification."""

LOOK_EVERY = 1.0
"""Seconds for which a file is taken to be unchanged: to ask the system for every send costs more than to sign."""


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
    return " ".join([f"v1,{b64encode(_digest(key, signed)).decode()}" for key in keys])


def _digest(key: bytes, signed: bytes) -> bytes:
    mac = _keyed(key).copy()
    mac.update(signed)
    return mac.digest()


@lru_cache(maxsize=1024)
def _keyed(key: bytes) -> hmac.HMAC:
    """To start from a key costs as much as to sign with it."""
    return hmac.new(key, digestmod="sha256")


class _Known(NamedTuple):
    """``version``: of the file. ``looked``: when that was."""

    keys: tuple[bytes, ...]
    version: tuple[int, int, int]
    looked: float


class Secrets:
    """Signing keys from files, read again within a second after a file has changed: keys are rotated while we run.

    A file has one key a line, the current one first; empty lines and ``#`` comments are skipped.
    """

    def __init__(self, directory: Path | None, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._directory = directory
        self._monotonic = monotonic
        self._known: dict[str, _Known] = {}

    def keys(self, name: str) -> tuple[bytes, ...]:
        """All keys of ``name``, an identifier: it becomes a file name. At least one.

        Raises:
            SendFailed: nothing was sent. The operator can mend it before the attempts run out, and an unsigned
                message would be worse than a late one.

        """
        now, known = self._monotonic(), self._known.get(name)
        if known is not None and now - known.looked < LOOK_EVERY:
            return known.keys
        if self._directory is None:
            raise _unusable(name, "NS_SECRETS_DIR is not set")
        try:
            self._known[name] = known = _read(self._directory / name, known, now)
        except OSError as fault:
            raise _unusable(name, fault.strerror or type(fault).__name__) from None
        except ValueError as fault:
            raise _unusable(name, str(fault)) from None
        return known.keys


def _read(file: Path, known: _Known | None, now: float) -> _Known:
    status = file.stat()
    version = (status.st_mtime_ns, status.st_size, status.st_ino)
    if known is not None and known.version == version:
        return known._replace(looked=now)
    return _Known(_parse(file.read_text(encoding="ascii")), version, now)


def _parse(text: str) -> tuple[bytes, ...]:
    lines = [line.strip() for line in text.splitlines()]
    keys = tuple(signing_key(line) for line in lines if line and not line.startswith("#"))
    if not keys:
        raise ValueError("the file holds no key")
    return keys


def _unusable(name: str, cause: str) -> SendFailed:
    return SendFailed(f"the signing secret {name!r} cannot be used: {cause}", sent=Sent.NOTHING)
