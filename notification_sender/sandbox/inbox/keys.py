"""Signing keys of the sandbox: made from their names, so that any process here knows them. Never for real use."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path


def signing_key(name: str) -> str:
    """The ``whsec_…`` key of that name."""
    return "whsec_" + b64encode(hashlib.sha256(f"sandbox signing key {name}".encode()).digest()).decode()


def write_keys(directory: Path, names: Iterable[str]) -> Path:
    """What ``NS_SECRETS_DIR`` has for one organization, or for all: a directory with a file a name, one key in it."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        file = directory / name
        file.touch(mode=0o600)
        file.write_text(signing_key(name) + "\n", encoding="ascii")
    return directory
