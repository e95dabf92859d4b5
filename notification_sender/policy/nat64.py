"""IPv4 addresses inside IPv6 addresses, as NAT64 translates them (RFC 6052)."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, IPv6Network

LENGTHS = (32, 40, 48, 56, 64, 96)
"""Bits that a prefix may have."""

_UNUSED = 8
"""The byte that must be zero: bits 64 to 71, in which IPv6 once kept a flag of its own."""


@dataclass(frozen=True, slots=True)
class Nat64Prefix:
    """A prefix of addresses that stand for IPv4 addresses: a translator of this network forwards packets for them."""

    network: IPv6Network

    @classmethod
    def parse(cls, text: str) -> "Nat64Prefix":
        """Read ``2001:db8:64::/96``.

        Raises:
            ValueError: no IPv6 network, or none that can be such a prefix; says why.

        """
        network = IPv6Network(text)
        if network.prefixlen not in LENGTHS:
            raise ValueError(f"{text!r}: a prefix of NAT64 has 32, 40, 48, 56, 64 or 96 bits")
        if network.network_address.packed[_UNUSED]:
            raise ValueError(f"{text!r}: bits 64 to 71 of a prefix of NAT64 are zero")
        return cls(network)

    def embedded(self, address: IPv6Address) -> IPv4Address | None:
        """What ``address``, one of this prefix, stands for. None: nothing, by the rules.

        The four bytes come after the prefix, but for the byte that is not used; what is behind them means nothing.
        """
        packed, start = address.packed, self.network.prefixlen // 8
        if packed[_UNUSED]:
            return None
        places = [place for place in range(start, len(packed)) if place != _UNUSED or start > _UNUSED]
        return IPv4Address(bytes(packed[place] for place in places[:4]))


WELL_KNOWN = Nat64Prefix(IPv6Network("64:ff9b::/96"))
"""What every DNS64 may answer with."""
