"""Standard Webhooks 1.0.0: what a recipient checks to know that it was us, and the keys for it."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from notification_sender.channels.folder import Folder

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
    return " ".join([f"v1,{b64encode(_digest(key, signed)).decode()}" for key in keys])


def _digest(key: bytes, signed: bytes) -> bytes:
    mac = _keyed(key).copy()
    mac.update(signed)
    return mac.digest()


@lru_cache(maxsize=1024)
def _keyed(key: bytes) -> hmac.HMAC:
    """To start from a key costs as much as to sign with it."""
    return hmac.new(key, digestmod="sha256")


class Secrets:
    """Signing keys from files, which are read again when they change: keys are rotated while we run.

    A file has one key a line, the current one first; empty lines and ``#`` comments are skipped.
    """

    def __init__(self, directory: Path | None) -> None:
        self._files = Folder(directory, what="signing secret", option="NS_SECRETS_DIR", parse=_parse)

    def keys(self, name: str) -> tuple[bytes, ...]:
        """All keys of ``name``, an identifier. At least one.

        Raises:
            SendFailed: they cannot be used; nothing was sent. An unsigned message would be worse than a late one.

        """
        return self._files.read(name)


def _parse(file: bytes) -> tuple[bytes, ...]:
    lines = [line.strip() for line in file.decode("ascii").splitlines()]
    keys = tuple(signing_key(line) for line in lines if line and not line.startswith("#"))
    if not keys:
        raise ValueError("the file holds no key")
    return keys
