"""Which addresses and ports a webhook may reach, and which URLs every reader dials alike."""

import re
from collections.abc import Container, Iterable
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address, ip_address, ip_network

import httpx

from notification_sender.model.errors import ForbiddenAddress
from notification_sender.policy.host_name import ascii_url
from notification_sender.policy.nat64 import WELL_KNOWN, Nat64Prefix
from notification_sender.policy.networks import AllowedNetwork

_Address = IPv4Address | IPv6Address

# IANA's special-purpose registries, multicast, and the prefixes that translate IPv4 addresses. NAT64 is not among them:
# its addresses are judged by the IPv4 address inside. ipaddress.is_global does not replace this table: it accepts 6to4,
# IPv4-compatible and multicast addresses.
_DENIED = [
    ip_network(network)
    for network in """
    0.0.0.0/8 10.0.0.0/8 100.64.0.0/10 127.0.0.0/8 169.254.0.0/16 172.16.0.0/12 192.0.0.0/24 192.0.2.0/24
    192.88.99.0/24 192.168.0.0/16 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 224.0.0.0/4 240.0.0.0/4
    ::/96 ::ffff:0:0/96 ::ffff:0:0:0/96 64:ff9b:1::/48 100::/64 100:0:0:1::/64 2001::/23 2001:db8::/32
    2002::/16 3fff::/20 5f00::/16 fc00::/7 fe80::/10 fec0::/10 ff00::/8
    """.split()  # noqa: SIM905 - a table is read more easily than forty quoted strings
]


class Addresses:
    """Decides about every address before it is dialled.

    ``allowed`` networks are open to the organizations and on the ports that they name, without TLS as well. Every other
    public address may be reached on ``ports`` with TLS. ``nat64``: prefixes besides the well-known one. Their addresses
    are judged by the IPv4 address inside.
    """

    def __init__(
        self,
        *,
        allowed: Iterable[AllowedNetwork] = (),
        ports: Container[int] = (443, 8443),
        nat64: Iterable[Nat64Prefix] = (),
    ) -> None:
        self._allowed = tuple(allowed)
        self._ports = ports
        self._nat64 = sorted({*nat64, WELL_KNOWN}, key=lambda it: it.network.prefixlen, reverse=True)

    def check(self, address: str, port: int, *, tls: bool, organization: str = "") -> None:
        """Whether ``organization`` may dial ``address``, as a resolver or a socket names it.

        Raises:
            ForbiddenAddress: it may not, and why.

        """
        numeric = _plain(address)
        if self._is_allowed(numeric, port, organization):
            return
        meant, words = self._translated(numeric, address)
        if meant is not numeric and not _is_of_a_machine(meant) and self._is_allowed(meant, port, organization):
            return
        denied = next((network for network in _DENIED if meant in network), None)
        if denied is not None:
            why = f"is not public, and NS_ALLOWED_CIDRS does not open port {port} of it to this organization"
            raise ForbiddenAddress(f"{words} is in {denied}, which {why}")
        if not tls:
            raise ForbiddenAddress(f"{address}: http:// is allowed to NS_ALLOWED_CIDRS only")
        if port not in self._ports:
            raise ForbiddenAddress(f"{address}: port {port} is allowed to NS_ALLOWED_CIDRS only")

    def _is_allowed(self, numeric: _Address, port: int, organization: str) -> bool:
        return any(allowed.admits(numeric, port, organization) for allowed in self._allowed)

    def _translated(self, numeric: _Address, address: str) -> tuple[_Address, str]:
        """The address that NAT64 reaches in the end, and how a message names it."""
        prefix = next((it for it in self._nat64 if numeric in it.network), None)
        if prefix is None or not isinstance(numeric, IPv6Address):
            return numeric, address
        meant = prefix.embedded(numeric)
        if meant is None:
            raise ForbiddenAddress(f"{address} is in {prefix.network} of NAT64, and stands for no IPv4 address")
        return meant, f"{address} stands for {meant}, which"


def _is_of_a_machine(numeric: _Address) -> bool:
    """Whether every machine has this address for itself. Behind NAT64 it would be the translator's own."""
    return numeric.is_loopback or numeric.is_link_local or numeric.is_unspecified or numeric.is_multicast


def _plain(address: str) -> _Address:
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
    """The URL in its plainest notation (a name by UTS 46), if every reader dials the same host.

    Raises:
        ValueError: it breaks a rule of URLs, or names a user, or is neither https nor http.
        ForbiddenAddress: its host is an address in a notation that others read differently.

    """
    try:
        url = httpx.URL(ascii_url(text))
        host = url.raw_host.decode("ascii")
    except (httpx.InvalidURL, ValueError):
        raise ValueError("not a URL, or its host is no name of UTS 46") from None
    if url.scheme not in {"https", "http"} or not host:
        raise ValueError("not a URL of the form https://host/path")
    if url.userinfo:
        raise ValueError("names a user or a password: these are not sent (see secret and auth)")
    if url.port is not None and not 0 < url.port < 2**16:
        raise ValueError(f"there is no port {url.port}")
    _check_host(host)
    return str(url)


def origin(url: str) -> str:
    """Scheme, host and port of a URL in its plainest notation, as RFC 8707 wants a resource that is a whole server: no
    port where it is the scheme's own. Raises as ``webhook_url``.
    """
    parts = httpx.URL(webhook_url(url))
    return f"{parts.scheme}://{parts.netloc.decode('ascii')}"


def _check_host(host: str) -> None:
    if ":" in host:
        _plain(host)
    elif _NUMBER.fullmatch(host.rstrip(".").rpartition(".")[2]):
        _check_dotted_quad(host)
    elif not _NAME.fullmatch(host):
        raise ValueError("its host is no name of the domain name system")


def _check_dotted_quad(host: str) -> None:
    """Some systems also read ``127.1``, ``0x7f.1`` and ``2130706433`` as an address, each in its own way."""
    try:
        IPv4Address(host)
    except AddressValueError:
        raise ForbiddenAddress(f"{host}: an IPv4 address is written as four decimal numbers") from None
