"""The options after the ``?`` of a URL, by scheme, and which of them weaken the encryption.

The libraries read every option there as their own, including those that switch TLS off.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from urllib.parse import parse_qsl, urlsplit

_ANY = ".*"
_NUMBER = "[1-9][0-9]{0,4}"
_AMQP = {"heartbeat": _NUMBER, "timeout": _NUMBER, "name": _ANY}
_REDIS = {"db": "[0-9]{1,5}", "username": _ANY, "password": _ANY, "socket_keepalive": "[Tt]rue|[Ff]alse|[01]"}

OPTIONS: Mapping[str, Mapping[str, str]] = {
    "amqp": _AMQP,
    "amqps": _AMQP | dict.fromkeys(("cafile", "capath", "cadata", "certfile", "keyfile"), _ANY),
    "redis": _REDIS,
    "rediss": _REDIS
    | dict.fromkeys(
        ("ssl_ca_certs", "ssl_ca_path", "ssl_ca_data", "ssl_certfile", "ssl_keyfile", "ssl_password"), _ANY
    ),
    "smtp": {},
    "smtps": {},
    "memory": {},
}
"""The names of options, and the values of each."""

SWITCHES: Mapping[str, Mapping[str, tuple[str, str]]] = {
    "amqps": {"no_verify_ssl": ("0", "[A-Za-z0-9]{0,5}")},
    "rediss": {
        "ssl_cert_reqs": ("required", "none|optional"),
        "ssl_check_hostname": ("true|True|1", "false|False|0"),
        "ssl_min_version": ("771|772", "[0-9]+"),
    },
    "smtp": {"starttls": ("required", "none")},
    "smtps": {"starttls": ("required", "none")},
}
"""The options that decide on TLS: the values allowed everywhere, and the values allowed in development only."""

TLS_FILES: Mapping[str, Mapping[str, str]] = {
    "amqps": {"ca": "cafile", "cert": "certfile", "key": "keyfile"},
    "rediss": {"ca": "ssl_ca_certs", "cert": "ssl_certfile", "key": "ssl_keyfile"},
}
"""The options that name the files of TLS, by the end of the variable that names the same file."""

_SAFE_VALUES = {name: safe.split("|")[0] for values in SWITCHES.values() for name, (safe, _) in values.items()}

UNENCRYPTED_SCHEMES = {"amqp", "redis", "http"}
"""Schemes without encryption."""


def check_options(url: str) -> None:
    """Refuse unknown options and invalid values. The error repeats no value: it may be a secret.

    Raises:
        ValueError: names the option, and a similar one if there is one.
    """
    scheme = urlsplit(url).scheme
    known = {**OPTIONS[scheme], **{name: "|".join(values) for name, values in SWITCHES.get(scheme, {}).items()}}
    for name, value in _query(url):
        if name not in known:
            raise ValueError(_unknown(name, scheme, known))
        if not re.fullmatch(known[name], value):
            raise ValueError(f"?{name}= has an invalid value")


def weakened_options(url: str) -> list[str]:
    """The options of a URL that weaken its encryption or its proof of identity."""
    switches = SWITCHES.get(urlsplit(url).scheme, {})
    given = [(name, value) for name, value in _query(url) if name in switches]
    return [f"{name}={value}" for name, value in given if not re.fullmatch(switches[name][0], value)]


def options_of(url: str) -> dict[str, str]:
    """The options of a URL."""
    return dict(_query(url))


def unencrypted(url: str) -> bool:
    """Whether traffic to the URL can be read in transit: unencrypted, and to another machine."""
    parts = urlsplit(url)
    plain = parts.scheme in UNENCRYPTED_SCHEMES or (parts.scheme == "smtp" and bool(weakened_options(url)))
    return plain and not _loopback(parts.hostname or "")


def _query(url: str) -> list[tuple[str, str]]:
    return parse_qsl(urlsplit(url).query, keep_blank_values=True)


def _unknown(name: str, scheme: str, known: Iterable[str]) -> str:
    secure = {**OPTIONS.get(f"{scheme}s", {}), **SWITCHES.get(f"{scheme}s", {})}
    if name in secure:
        return f"?{name}= needs {scheme}s://; {scheme}:// does not encrypt"
    close = difflib.get_close_matches(name.lower(), sorted(known), n=1)
    if close:
        return f"has an unknown option ?{name}=; did you mean ?{close[0]}=?"
    if not known:
        return f"has an unknown option ?{name}=; {scheme}:// takes no options"
    shown = (f"{it}={_SAFE_VALUES[it]}" if it in _SAFE_VALUES else it for it in sorted(known))
    return f"has an unknown option ?{name}=; it takes {', '.join(shown)}"


def _loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return bool((mapped or address).is_loopback)
