"""Who may be dialled: which addresses and ports, and which URLs leave no doubt about their host."""

import re
from collections.abc import Container, Iterable
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address, ip_network

import httpx

from notification_sender.model.errors import ForbiddenAddress

# IANA's special-purpose registries, multicast, and all that translates an IPv4 address in or out. ipaddress.is_global
# is no filter: it lets NAT64, 6to4, IPv4-compatible and multicast addresses pass.
_DENIED = [
    ip_network(network)
    for network in """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
    192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b::/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001:db8::/32
    2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
    """.split()  # noqa: SIM905 - a table is read more easily than forty quoted strings
]


class Addresses:
    """``allowed`` networks may be reached on any port, also without TLS; the rest of the world on ``ports`` with TLS,
    but for what is nobody's public address.

    Raises:
        ValueError: ``allowed`` holds something that is no network in CIDR notation.

    """

    def __init__(self, *, allowed: Iterable[str] = (), ports: Container[int] = (443, 8443)) -> None:
        self._allowed = [ip_network(network) for network in allowed]
        self._ports = ports

    def check(self, address: str, port: int, *, tls: bool) -> None:
        """Whether ``address``, as a resolver or a socket names it, may be dialled.

        Raises:
            ForbiddenAddress: it may not, and why.

        """
        numeric = _plain(address)
        if any(numeric in network for network in self._allowed):
            return
        denied = next((network for network in _DENIED if numeric in network), None)
        if denied is not None:
            raise ForbiddenAddress(f"{address} is in {denied}, which is not public and not in NS_ALLOWED_CIDRS")
        if not tls:
            raise ForbiddenAddress(f"{address}: http:// is allowed to NS_ALLOWED_CIDRS only")
        if port not in self._ports:
            raise ForbiddenAddress(f"{address}: port {port} is allowed to NS_ALLOWED_CIDRS only")


def _plain(address: str) -> IPv4Address | IPv6Address:
    """The address that the system would dial in the end."""
    try:
        numeric = ip_address(address)
    except ValueError:
        raise ForbiddenAddress(f"{address!r} is no address") from None
    if isinstance(numeric, IPv6Address):
        if numeric.scope_id:
            raise ForbiddenAddress(f"{address} names a network interface of ours")
        return numeric.ipv4_mapped or numeric
    return numeric


_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_NAME = re.compile(rf"(?=.{{1,254}}\Z){_LABEL}(?:\.{_LABEL})*\.?")
_NUMBER = re.compile(r"0x[0-9a-f]*|[0-9]+")


@lru_cache(maxsize=4096)
def webhook_url(text: str) -> str:
    """The URL in its plainest notation (a name by IDNA 2008), if everybody who reads it dials the same host.

    Raises:
        ValueError: it breaks a rule of URLs, or names a user, or is neither https nor http.
        ForbiddenAddress: its host is an address in a notation that others read differently.

    """
    try:
        url = httpx.URL(text)
        host = url.raw_host.decode("ascii")
        name = url.host
    except (httpx.InvalidURL, UnicodeError):
        raise ValueError("not a URL, or its host is no name of IDNA 2008") from None
    if url.scheme not in {"https", "http"} or not name:
        raise ValueError("not a URL of the form https://host/path")
    if url.userinfo:
        raise ValueError("names a user or a password: these are not sent (see secret and auth)")
    if url.port is not None and not 0 < url.port < 2**16:
        raise ValueError(f"there is no port {url.port}")
    _check_host(host)
    return str(url)


def _check_host(host: str) -> None:
    if ":" in host:
        _plain(host)
    elif _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        _check_dotted_quad(host)
    elif not _NAME.fullmatch(host):
        raise ValueError("its host is no name of the domain name system")


def _check_dotted_quad(host: str) -> None:
    """Systems also take ``127.1``, ``0x7f.1`` and ``2130706433`` for an address, each its own way."""
    try:
        IPv4Address(host)
    except AddressValueError:
        raise ForbiddenAddress(f"{host}: an IPv4 address is written as four decimal numbers") from None
