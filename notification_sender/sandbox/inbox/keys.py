"""Signing keys of the sandbox. They are derived from their names, so every process knows them: never for real use."""

import hashlib
from base64 import b64encode
from collections.abc import Iterable
from pathlib import Path


def signing_key(name: str) -> str:
    """Return the ``whsec_…`` key of this name."""
    return "whsec_" + b64encode(hashlib.sha256(f"sandbox signing key {name}".encode()).digest()).decode()


def write_keys(directory: Path, names: Iterable[str]) -> Path:
    """Write a directory for ``NS_SECRETS_DIR``, of one organization or of all: one file with one key for each name."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in names:
        file = directory / name
        file.touch(mode=0o600)
        file.write_text(signing_key(name) + "\n", encoding="ascii")
    return directory
