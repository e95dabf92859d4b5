"""Who may be dialled: every denied network from its first to its last address, and every way to write one."""

import ipaddress
import socket
import unicodedata
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import idna
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from notification_sender.channels.addresses import _DENIED, Addresses, webhook_url
from notification_sender.model.errors import ForbiddenAddress
from notification_sender.policy.nat64 import Nat64Prefix
from notification_sender.policy.networks import AllowedNetwork

PUBLIC = ["8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.0", "100.128.0.0", "2606:4700::1111", "2a00:1450::8a"]


def forbidden(
    address: str, *, allowed: tuple[str, ...] = (), nat64: tuple[str, ...] = (), port: int = 443, tls: bool = True
) -> bool:
    addresses = Addresses(allowed=map(AllowedNetwork.parse, allowed), nat64=map(Nat64Prefix.parse, nat64))
    try:
        addresses.check(address, port, tls=tls)
    except ForbiddenAddress:
        return True
    return False


@pytest.mark.parametrize("network", _DENIED, ids=str)
def test_a_denied_network_is_denied_from_end_to_end(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> None:
    assert forbidden(str(network[0]))
    assert forbidden(str(network[-1]))


@pytest.mark.parametrize("address", PUBLIC)
def test_the_rest_of_the_world_is_dialled_with_tls_on_two_ports(address: str) -> None:
    assert not forbidden(address)
    assert not forbidden(address, port=8443)
    assert forbidden(address, port=22)
    assert forbidden(address, port=80, tls=False)


@pytest.mark.parametrize(
    "address",
    [
        *("::ffff:127.0.0.1", "::ffff:a9fe:a9fe", "::127.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a9fe:a9fe"),
        *("2002:7f00:1::", "2001:0:7f00:1::", "::ffff:0:127.0.0.1", "fe80::1%eth0", "fe80::1%1", "::1%lo", "::"),
        *("169.254.169.254", "fd00:ec2::254", "255.255.255.255", "0.0.0.0", "2001:4860:4860::8888%eth0"),
        *("", "localhost", "127.1", "0x7f.1", "2130706433", "017700000001", "1.2.3.4.5"),
    ],
)
def test_what_leads_back_inside_is_denied(address: str) -> None:
    assert forbidden(address)


@given(st.ip_addresses(v=4))
def test_a_mapped_address_is_judged_as_what_it_stands_for(address: ipaddress.IPv4Address) -> None:
    assert forbidden(f"::ffff:{address}") == forbidden(str(address))


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def stands_for(address: Address) -> Address:
    if isinstance(address, ipaddress.IPv6Address) and str(address.exploded).startswith(
        "0064:ff9b:0000:0000:0000:0000:"
    ):
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return getattr(address, "ipv4_mapped", None) or address


def denied(address: Address) -> bool:
    return any(stands_for(address) in network for network in _DENIED)


def part(number: int, form: str) -> str:
    return {"octal": f"0{number:o}", "hex": f"0x{number:x}", "HEX": f"0X{number:04X}"}.get(form, str(number))


@st.composite
def notations(draw: st.DrawFn, address: Address) -> str:
    """As some system or other would read it."""
    if isinstance(address, ipaddress.IPv6Address):
        whole = address.exploded
        return draw(st.sampled_from([f"[{it}]" for it in (str(address), whole, whole.upper(), f"{address}%25lo")]))
    parts = list(address.packed)
    cut = draw(st.integers(1, 4))
    parts = [*parts[: cut - 1], int.from_bytes(bytes(parts[cut - 1 :]))]
    text = ".".join(part(it, draw(st.sampled_from(["", "octal", "hex", "HEX"]))) for it in parts)
    wide = str.maketrans({digit: chr(0xFF10 + place) for place, digit in enumerate("0123456789")})
    mapped = f"[::ffff:{address}]"
    return draw(st.sampled_from([text, f"{text}.", text.translate(wide), text.replace(".", "\u3002"), mapped]))


# --- NAT64 --------------------------------------------------------------------------------------------------------

# 192.0.2.33, as section 2.4 of RFC 6052 writes it.
OF_THE_RFC = {
    "2001:db8::/32": "2001:db8:c000:221::",
    "2001:db8:100::/40": "2001:db8:1c0:2:21::",
    "2001:db8:122::/48": "2001:db8:122:c000:2:2100::",
    "2001:db8:122:300::/56": "2001:db8:122:3c0:0:221::",
    "2001:db8:122:344::/64": "2001:db8:122:344:c0:2:2100::",
    "2001:db8:122:344::/96": "2001:db8:122:344::192.0.2.33",
    "64:ff9b::/96": "64:ff9b::192.0.2.33",
}


@pytest.mark.parametrize(("prefix", "address"), OF_THE_RFC.items())
def test_an_address_of_nat64_stands_for_what_the_rfc_says(prefix: str, address: str) -> None:
    embedded = Nat64Prefix.parse(prefix).embedded(ipaddress.IPv6Address(address))
    assert embedded == ipaddress.IPv4Address("192.0.2.33")


def translated(prefix: str, address: ipaddress.IPv4Address, behind: int = 0) -> str:
    """By the picture in RFC 6052: 32 bits after the prefix, around bits 64 to 71; ``behind``: the bits after them."""
    network = ipaddress.IPv6Network(prefix)
    bits = f"{int(network.network_address):0128b}"[: network.prefixlen]
    four = f"{int(address):032b}"
    if network.prefixlen < 96:
        before = max(0, 64 - network.prefixlen)
        four = four[:before] + "0" * 8 + four[before:]
    rest = 128 - len(bits) - len(four)
    return str(ipaddress.IPv6Address(int(bits + four + f"{behind:0128b}"[128 - rest :], 2)))


PREFIXES = ["64:ff9b::/96", *OF_THE_RFC, "64:ff9b:1::/48", "fd64::/32", "64:ff9b:1:fffe::/96", "2606:4700:64::/56"]
INSIDE_OR_NOT = st.ip_addresses(v=4) | st.sampled_from(
    [network for network in _DENIED if network.version == 4]
).flatmap(lambda it: st.ip_addresses(network=it))


@given(st.sampled_from(PREFIXES), INSIDE_OR_NOT, st.integers(0, 2**56 - 1))
def test_an_address_of_nat64_is_judged_by_the_one_that_it_stands_for(
    prefix: str, address: ipaddress.IPv4Address, behind: int
) -> None:
    nat64 = () if prefix == "64:ff9b::/96" else (prefix,)
    assert forbidden(translated(prefix, address, behind), nat64=nat64) == forbidden(str(address))


@given(INSIDE_OR_NOT.flatmap(lambda it: st.tuples(st.just(it), notations(ipaddress.ip_address(f"64:ff9b::{it}")))))
def test_so_it_is_in_every_notation(written: tuple[ipaddress.IPv4Address, str]) -> None:
    address, notation = written
    try:
        host = urlsplit(webhook_url(f"https://{notation}/")).hostname
    except ForbiddenAddress:
        assert "%" in notation
        return
    assert forbidden(str(host)) == forbidden(str(address))


@given(INSIDE_OR_NOT)
def test_no_other_prefix_is_taken_for_one_of_nat64(address: ipaddress.IPv4Address) -> None:
    for prefix in ("64:ff9b:1::/48", "64:ff9b:1:fffe::/96", "fd64::/32", "2001:db8:122:344::/96"):
        assert forbidden(translated(prefix, address))


def test_one_that_stands_for_no_address_is_denied() -> None:
    assert not forbidden("fd64:0:808:808::", nat64=("fd64::/32",))
    assert forbidden("fd64:0:808:808:100::", nat64=("fd64::/32",))


@pytest.mark.parametrize("nat64", [("fd64::/32", "fd64::/96"), ("fd64::/96", "fd64::/32")])
def test_of_two_prefixes_the_narrower_one_translates(nat64: tuple[str, ...]) -> None:
    assert not forbidden("fd64::808:808", nat64=nat64)
    assert forbidden("fd64::a01:203", nat64=nat64)
    assert not forbidden("fd64:0:808:808::", nat64=nat64)


def test_a_network_that_is_allowed_is_reached_through_nat64_as_narrowly() -> None:
    addresses = Addresses(allowed=[AllowedNetwork.parse("10.0.0.0/8:8080=org-a")])
    addresses.check("64:ff9b::10.1.2.3", 8080, tls=False, organization="org-a")
    for address, port, organization in [
        ("64:ff9b::10.1.2.3", 443, "org-a"),
        ("64:ff9b::10.1.2.3", 8080, "org-b"),
        ("64:ff9b::11.1.2.3", 8080, "org-a"),
        ("64:ff9b:1::10.1.2.3", 8080, "org-a"),
    ]:
        with pytest.raises(ForbiddenAddress):
            addresses.check(address, port, tls=False, organization=organization)


@pytest.mark.parametrize("network", ["127.0.0.0/8", "169.254.0.0/16", "0.0.0.0/0"])
def test_what_each_machine_has_for_itself_is_not_allowed_behind_nat64(network: str) -> None:
    inside = {"127.0.0.0/8": "127.0.0.1", "169.254.0.0/16": "169.254.169.254", "0.0.0.0/0": "127.0.0.1"}[network]
    assert not forbidden(inside, allowed=(network,))
    with pytest.raises(ForbiddenAddress, match=rf"stands for {inside}, which is in "):
        Addresses(allowed=[AllowedNetwork.parse(network)]).check(f"64:ff9b::{inside}", 443, tls=True)


def test_an_allowed_network_is_reached_on_any_port_and_without_tls() -> None:
    for address in ("127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "fd00::1"):
        assert not forbidden(address, allowed=("127.0.0.0/8", "fd00::/64"), port=8080, tls=False)
    assert forbidden("10.0.0.1", allowed=("127.0.0.0/8",))
    assert forbidden("fe80::1%eth0", allowed=("fe80::/10",))


@pytest.mark.parametrize("network", ["10.0.0.1/8", "localhost", "10.0.0.0/33", ""])
def test_what_is_no_network_is_not_allowed(network: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear to be|has host bits set"):
        AllowedNetwork.parse(network)


@pytest.mark.parametrize(
    ("url", "dialled"),
    [
        ("https://hooks.example/x?y=z", "https://hooks.example/x?y=z"),
        ("HTTPS://Hooks.EXAMPLE/", "https://hooks.example/"),
        ("https://hooks.example#@127.0.0.1/", "https://hooks.example#@127.0.0.1/"),
        ("https://hooks.example.:8443/", "https://hooks.example.:8443/"),
        ("https://müller.example/ü", "https://xn--mller-kva.example/%C3%BC"),
        ("https://_sip.hooks-1.example/", "https://_sip.hooks-1.example/"),
        ("http://10.0.0.1:8080/", "http://10.0.0.1:8080/"),
        ("https://[2606:4700::1111]:8443/", "https://[2606:4700::1111]:8443/"),
        ("https://127。0。0。1/", "https://127.0.0.1/"),
        ("https://mu\u0308ller.example:8443/", "https://xn--mller-kva.example:8443/"),
        ("https://straße.example/", "https://xn--strae-oqa.example/"),
        ("https://_a.ÜBER.example/", "https://_a.xn--ber-goa.example/"),
        ("https://xn--ls8h.example/", "https://xn--ls8h.example/"),
        ("https://XN--LS8H.example./", "https://xn--ls8h.example./"),
        ("https://💩.example/💩", "https://xn--ls8h.example/%F0%9F%92%A9"),
        ("https://h\u200b\u00ad.example/", "https://h.example/"),
        ("https://①②⑦.example/", "https://127.example/"),
    ],
)
def test_a_url_is_read_in_one_way(url: str, dialled: str) -> None:
    assert webhook_url(url) == dialled


@pytest.mark.parametrize(
    "host",
    [
        *("127.1", "10.1", "127.0.1", "2130706433", "3232235521", "017700000001", "0x7f000001", "0x7f.1", "0x7F.0.0.1"),
        *("127.0.0.0x1", "1.2.3.4.5", "127.0.0.1.", "8.8.8.8.", "0", "00", "0x", "hooks.example.0x1", "hooks.1"),
        *("[fe80::1%25eth0]", "[fe80::1%eth0]", "[::1%25lo]", "１２７.1"),  # noqa: RUF001 - the point of it
    ],
)
def test_an_odd_notation_of_an_address_is_forbidden(host: str) -> None:
    with pytest.raises((ForbiddenAddress, ValueError)) as caught:
        webhook_url(f"https://{host}/")
    assert isinstance(caught.value, ForbiddenAddress) or not host.isascii()


@pytest.mark.parametrize(
    "url",
    [
        *("", "hooks.example/x", "//hooks.example/", "https:", "https://", "https:///x", "https:hooks.example"),
        *(
            "ftp://hooks.example/",
            "file:///etc/passwd",
            "javascript:alert(1)",
            "gopher://hooks.example/",
            " https://h/",
        ),
        *("https://user@hooks.example/", "https://user:word@hooks.example/", "https://:@hooks.example/"),
        *("https://hooks.example\\@127.0.0.1/", "https://a@b@hooks.example/"),
        *("https://hooks.example:0/", "https://hooks.example:65536/", "https://hooks.example:-1/", "https://h:x/"),
        *("https://[::1", "https://[::1]x/", "https://[1.2.3.4]/", "https://1.2.3.256/", "https://0177.0.0.1/"),
        *("https://127%2e0%2e0%2e1/", "https://hooks%00.example/", "https://hooks .example/", "https://h\n.example/"),
        *("https://-hooks.example/", "https://hooks-.example/", "https://hooks..example/", "https://.example/"),
        *("https://xn--/", "https://xn--a/", "https://xn--\x80/", f"https://{'a' * 64}.example/"),
        *(
            "https://\u2100.example/",
            "https://a\uff0fb.example/",
            "https://a\uff1a80/",
            "https://a\uff20b.example/",
            "https://\u05d01a.example/",
        ),
        *(
            f"https://{'a.' * 127}example/",
            "https://h\u200d.example/",
            "https://h\u2028.example/",
            "https://*.example/",
        ),
    ],
)
def test_what_is_no_url_of_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^\S"):
        webhook_url(url)


@given(st.lists(st.characters(categories=["Ll", "Lo", "Mn", "So"]), min_size=1, max_size=12).map("".join))
def test_a_name_is_the_same_however_it_is_composed(name: str) -> None:
    forms = set()
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        with suppress(ValueError):
            forms.add(webhook_url(f"https://{unicodedata.normalize(form, name)}.example/"))
    assert len(forms) <= 1


@given(st.text(st.characters(categories=["Ll"]), min_size=1, max_size=12))
def test_what_the_package_idna_reads_is_read_as_it_does(name: str) -> None:
    try:
        encoded = idna.encode(f"{name}.example", uts46=True, transitional=False).decode()
    except idna.IDNAError:
        return
    assert webhook_url(f"https://{name}.example/") == f"https://{encoded}/"


@given(st.text(max_size=60))
def test_any_text_is_a_url_or_is_refused(text: str) -> None:
    for url in (text, f"https://{text}/"):
        with suppress(ValueError, ForbiddenAddress):
            assert webhook_url(url).startswith(("https://", "http://"))


PIECES = [
    *(
        "a",
        "hooks.example",
        "127.0.0.1",
        "[::1]",
        "[",
        "]",
        "::ffff:1.2.3.4",
        "fe80::1%25eth0",
        "1",
        "0x7f",
        "2130706433",
    ),
    *(
        ".",
        "..",
        "-",
        "_",
        "@",
        ":",
        "8",
        "443",
        "/",
        "\\",
        "?",
        "#",
        "%",
        "%2e",
        "%00",
        "%C3%A9",
        "user",
        "xn--",
        "xn--a",
    ),
    *(" ", "\t", "\n", "\x00", "\u200b", "\uff0e", "\u3002", "\uff11", "\xe9", "\xdf", "\ufb00", "\u0130", "\ud800"),
    *("\U0001f4a9", "u\u0308", "xn--ls8h", "\u2100", "\uff0f", "\uff20", "\uff1a", "\u2048", "\u200d", "\xad"),
    *("*", "&", "=", "~", "|", "^", "<", '"', "{", "+"),
]
ARRANGED = st.lists(st.sampled_from(PIECES), max_size=9).map("".join)


@given(ARRANGED.map(lambda it: f"https://{it}") | ARRANGED.map(lambda it: f"https://hooks.example/{it}"))
def test_everybody_who_reads_a_url_that_passes_dials_the_same_host(text: str) -> None:
    with suppress(ValueError, ForbiddenAddress):
        url = webhook_url(text)
        assert webhook_url(url) == url
        # Of the name (for the breaker), of the connection, and of the request: three readers.
        read = urlsplit(url).hostname, URL(url, encoded=True).raw_host, httpx.URL(url).raw_host.decode().strip("[]")
        assert len(set(read)) == 1


ADDRESSES = st.ip_addresses() | st.sampled_from(_DENIED).flatmap(lambda it: st.ip_addresses(network=it))


@given(ADDRESSES.flatmap(lambda it: st.tuples(st.just(it), notations(it))))
def test_in_no_notation_is_an_address_dialled_that_is_denied(
    written: tuple[Address, str],
) -> None:
    address, notation = written
    with suppress(ValueError, ForbiddenAddress):
        host = urlsplit(webhook_url(f"https://{notation}/")).hostname
        [(_, _, _, _, place)] = socket.getaddrinfo(host, 443, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        Addresses().check(str(place[0]), 443, tls=True)
        dialled = ipaddress.ip_address(place[0])
        assert stands_for(dialled) == stands_for(address)
        assert not denied(dialled)


@given(st.text() | st.ip_addresses().map(str).flatmap(lambda it: st.text(max_size=3).map(lambda end: it + end)))
def test_any_text_is_an_address_or_is_refused(text: str) -> None:
    with suppress(ForbiddenAddress):
        Addresses().check(text, 443, tls=True)
        assert not denied(ipaddress.ip_address(text))
