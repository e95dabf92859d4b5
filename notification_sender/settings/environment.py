"""Reads the environment variables with our prefix: values, secrets in files, and unknown names."""

import difflib
import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PREFIX = "NS_"
FILE = "_FILE"

# Kubernetes injects these for every service of the namespace: a service called ns-web must not stop the worker.
_SERVICE = re.compile(r"NS_(\w+_)?(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)")
_SERVICE_PORT = re.compile(r"NS_(\w+_)?PORT")
_SERVICE_ADDRESS = re.compile(r"(tcp|udp|sctp)://")


@dataclass(frozen=True, slots=True)
class Reading:
    """``values`` and ``faults``, by variable. A secret whose file cannot be read has a fault and no value."""

    values: dict[str, str]
    faults: dict[str, str]


def read(environ: Mapping[str, str], known: Collection[str], secrets: Collection[str]) -> Reading:
    """Read our variables. An empty variable counts as not set: compose files and charts leave one out that way."""
    ours = {
        name: value
        for name, value in environ.items()
        if name.startswith(PREFIX) and value and not _injected(name, value)
    }
    values = {name: value for name, value in ours.items() if name in known}
    faults: dict[str, str] = {}
    files = {name: ours[name + FILE] for name in secrets if name + FILE in ours}
    for name, path in files.items():
        if name in values:
            faults[name] = f"is set twice, as {name} and as {name}{FILE}; remove one of them"
        else:
            _read_secret(name, Path(path), values, faults)
    readable = {*known, *(name + FILE for name in secrets)}
    faults |= {name: _unknown(name, readable) for name in ours if name not in readable}
    return Reading({name: value for name, value in values.items() if name not in faults}, faults)


def _injected(name: str, value: str) -> bool:
    # The value of NS_X_PORT decides: NS_HTTP_PORT is ours, unless a service is called ns-http.
    by_value = _SERVICE_PORT.fullmatch(name) and _SERVICE_ADDRESS.match(value)
    return bool(by_value or _SERVICE.fullmatch(name))


def _read_secret(name: str, path: Path, values: dict[str, str], faults: dict[str, str]) -> None:
    try:
        text = path.read_bytes().decode()
    except OSError as fault:
        faults[name] = f"cannot be read from {path} ({name}{FILE}): {fault.strerror}"
        return
    except UnicodeDecodeError:
        faults[name] = f"cannot be read from {path} ({name}{FILE}): the file is not UTF-8"
        return
    # Editors and `echo` end a file with one newline that is not part of the secret.
    secret = text.removesuffix("\n").removesuffix("\r")
    if secret:
        values[name] = secret
    else:
        faults[name] = f"is empty: write the secret into {path} ({name}{FILE})"


def _unknown(name: str, readable: Iterable[str]) -> str:
    close = difflib.get_close_matches(name.upper(), sorted(readable), n=1)
    return f"is unknown; did you mean {close[0]}?" if close else "is unknown; see docs/reference/settings.md"
