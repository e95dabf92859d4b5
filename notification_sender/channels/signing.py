"""Signatures of webhooks by Standard Webhooks 1.0.0, and the keys for them."""

import hmac
from base64 import b64decode, b64encode
from collections.abc import Container, Sequence
from functools import lru_cache
from pathlib import Path

from notification_sender.channels.watched_directory import WatchedDirectory
from notification_sender.model.errors import SchemaViolation

PREFIX = "whsec_"
MIN_KEY_BYTES, MAX_KEY_BYTES = 24, 64
"""By the specification."""


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
    if not MIN_KEY_BYTES <= len(key) <= MAX_KEY_BYTES:
        raise ValueError(f"a signing key has {MIN_KEY_BYTES} to {MAX_KEY_BYTES} bytes, not {len(key)}")
    return key


def signature(keys: Sequence[bytes], message_id: str, timestamp: int, body: bytes) -> str:
    """The value of ``webhook-signature``: one ``v1,…`` for each key, so that a recipient needs to know only one."""
    signed = b"%b.%d.%b" % (message_id.encode(), timestamp, body)
    return " ".join([f"v1,{b64encode(_digest(key, signed)).decode()}" for key in keys])


def _digest(key: bytes, signed: bytes) -> bytes:
    mac = _keyed(key).copy()
    mac.update(signed)
    return mac.digest()


@lru_cache(maxsize=1024)
def _keyed(key: bytes) -> hmac.HMAC:
    """Kept, because the set-up of a key costs as much as a signature."""
    return hmac.new(key, digestmod="sha256")


class Secrets:
    """Signing keys from files. They are read again when they change: keys are rotated while the worker runs.

    A key belongs to an organization: it is the file ``<organization>/<name>``. Without that rule one organization could
    have its own text signed with another's key. ``shared``: the names that every organization may use, as a file
    ``<name>``; ``*`` for every name. A file has one key a line, the current one first; empty lines and ``#`` comments
    are skipped. ``unsigned``: whether a webhook without a secret is sent.
    """

    def __init__(self, directory: Path | None, *, shared: Container[str] = (), unsigned: bool = True) -> None:
        self._files = WatchedDirectory(
            directory, what="signing secret", option="NS_SECRETS_DIR", reason="secret_missing", parse=parse_keys
        )
        self._shared = shared
        self._unsigned = unsigned

    def keys(self, organization_id: str, name: str | None) -> tuple[bytes, ...]:
        """All keys of ``name``; both are identifiers. Empty where the destination names no secret.

        Raises:
            SetupFault: a file cannot be used; nothing was sent. An unsigned message would be worse than a late one.
            SchemaViolation: it names none, and NS_UNSIGNED refuses that.
            Unready: this process may open no more files just now.

        """
        if name is None:
            if not self._unsigned:
                raise SchemaViolation("secret: missing, and NS_UNSIGNED=refuse sends nothing unsigned")
            return ()
        own = f"{organization_id}/{name}"
        if "*" in self._shared or name in self._shared:
            return self._files.read(own, name)
        advice = f": put it there, or let all organizations use a file {name!r} by NS_SHARED_SECRETS"
        return self._files.read(own, advice=advice)


def parse_keys(file: bytes) -> tuple[bytes, ...]:
    """The keys of one file. Raises ValueError, whose message repeats no key."""
    if not file.isascii():
        raise ValueError("the file is not plain ASCII text")
    lines = [line.strip() for line in file.decode("ascii").splitlines()]
    keys = tuple(signing_key(line) for line in lines if line and not line.startswith("#"))
    if not keys:
        raise ValueError("the file holds no key")
    return keys
