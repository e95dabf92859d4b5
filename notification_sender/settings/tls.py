"""The files of TLS: which variable may name one beside which URL."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from notification_sender.settings.formats import SecretUrl
from notification_sender.settings.urls import TLS_FILES, options_of, weakened_options

CONNECTIONS = ("amqp", "redis", "api", "smtp")
FILES = tuple(f"{connection}_{end}" for connection in CONNECTIONS for end in ("ca", "cert", "key"))
"""The options that name a file of TLS."""


def misplaced(option: str, others: Mapping[str, Any]) -> str:
    """Return what is wrong with naming a file by ``option``, or nothing. ``others``: the options that are read."""
    connection, _, end = option.rpartition("_")
    url = others.get(f"{connection}_url")
    named = TLS_FILES.get(_scheme(url), {})
    if end == "key" and others.get(f"{connection}_cert") is None and named.get("cert") not in _options(url):
        return f"needs NS_{connection.upper()}_CERT, the certificate of this key"
    if f"{connection}_url" not in others:
        return ""
    if named.get(end) in _options(url):
        return f"is set twice, also by ?{named[end]}= of NS_{connection.upper()}_URL; remove one of them"
    return _without_tls(connection, url)


def tls_files(connection: str, values: Any) -> dict[str, tuple[Path, str]]:
    """The files of a connection, and what names each, by ``ca``, ``cert`` and ``key``. ``values``: all settings."""
    url = getattr(values, f"{connection}_url", None)
    variable, options = f"NS_{connection.upper()}", _options(url)
    by_url = {
        end: (Path(options[option]), f"{variable}_URL ?{option}=")
        for end, option in TLS_FILES.get(_scheme(url), {}).items()
        if option in options
    }
    given = {end: getattr(values, f"{connection}_{end}") for end in ("ca", "cert", "key")}
    return by_url | {end: (file, f"{variable}_{end.upper()}") for end, file in given.items() if file is not None}


def _without_tls(connection: str, url: SecretUrl | None) -> str:
    if url is None:
        return f"needs NS_{connection.upper()}_URL"
    if connection == "smtp":
        return "is of no use with ?starttls=none" if weakened_options(url.get_secret_value()) else ""
    secure = {"amqp": "amqps", "redis": "rediss"}[connection]
    return "" if _scheme(url) == secure else f"needs {secure}:// in NS_{connection.upper()}_URL"


def _scheme(url: SecretUrl | None) -> str:
    return url.scheme if url is not None else ""


def _options(url: SecretUrl | None) -> dict[str, str]:
    return options_of(url.get_secret_value()) if url is not None else {}
