"""Which private networks webhooks may reach: on which ports, and for which organizations."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

LAST_PORT = 65_535

_ORGANIZATION = re.compile(r"[A-Za-z0-9_:-]{1,128}")
_PORTS = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_FORM = "write 10.0.0.0/8, 10.0.0.0/8:443+8000-8100=org-a+org-b, 10.0.0.0/8=org-a or [fd00::/8]:443=org-a"


@dataclass(frozen=True, slots=True)
class AllowedNetwork:
    """One entry of ``NS_ALLOWED_CIDRS``. None: all ports, all organizations."""

    network: IPv4Network | IPv6Network
    ports: Sequence[range] | None = None
    organizations: frozenset[str] | None = None

    @classmethod
    def parse(cls, text: str) -> "AllowedNetwork":
        """Read ``cidr[:ports][=organizations]``; ``+`` stands between several, an IPv6 network with ports in brackets.

        Raises:
            ValueError: another form; says which part, and how it is written.

        """
        place, narrowed, names = text.partition("=")
        try:
            network, ports = _place(place.strip())
            return cls(
                ip_network(network),
                tuple(_ports(word) for word in ports.split("+")) if ports is not None else None,
                frozenset(_organization(word) for word in names.split("+")) if narrowed else None,
            )
        except ValueError as fault:
            raise ValueError(f"{text!r}: {fault}; {_FORM}") from None

    @property
    def bare(self) -> bool:
        """Whether it is open on every port for every organization."""
        return self.ports is None and self.organizations is None

    def admits(self, address: IPv4Address | IPv6Address, port: int, organization: str) -> bool:
        """Whether ``organization`` may dial this."""
        return (
            address in self.network
            and (self.ports is None or any(port in ports for ports in self.ports))
            and (self.organizations is None or organization in self.organizations)
        )


def _place(text: str) -> tuple[str, str | None]:
    """The network, and its ports if any are named."""
    if text.startswith("["):
        network, closed, rest = text[1:].partition("]")
        if not closed or (rest and not rest.startswith(":")):
            raise ValueError(f"{rest or text!r}: after the network come ], and a colon before ports")
        return network, rest[1:] if rest else None
    if text.count(":") > 1:  # IPv6: a colon within an address is none before ports
        return text, None
    network, colon, ports = text.partition(":")
    return network, ports if colon else None


def _ports(text: str) -> range:
    match = _PORTS.fullmatch(text.strip())
    first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
    if not 0 < first <= last <= LAST_PORT:
        raise ValueError(f"{text.strip()!r} is no port, and no range of ports from 1 to {LAST_PORT}")
    return range(first, last + 1)


def _organization(text: str) -> str:
    name = text.strip()
    if not _ORGANIZATION.fullmatch(name):
        raise ValueError(f"{name!r} is no id of an organization")
    return name
