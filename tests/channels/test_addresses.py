"""Who may be dialled: every denied network from its first to its last address, and every way to write one."""

import ipaddress
import socket
from contextlib import suppress
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from notification_sender.channels.addresses import _DENIED, Addresses, webhook_url
from notification_sender.model.errors import ForbiddenAddress

PUBLIC = ["8.8.8.8", "1.1.1.1", "172.15.255.255", "172.32.0.0", "100.128.0.0", "2606:4700::1111", "2a00:1450::8a"]


def forbidden(address: str, *, allowed: tuple[str, ...] = (), port: int = 443, tls: bool = True) -> bool:
    try:
        Addresses(allowed=allowed).check(address, port, tls=tls)
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
    assert forbidden(f"64:ff9b::{address}")


def test_an_allowed_network_is_reached_on_any_port_and_without_tls() -> None:
    for address in ("127.0.0.1", "127.9.9.9", "::ffff:127.0.0.1", "fd00::1"):
        assert not forbidden(address, allowed=("127.0.0.0/8", "fd00::/64"), port=8080, tls=False)
    assert forbidden("10.0.0.1", allowed=("127.0.0.0/8",))
    assert forbidden("fe80::1%eth0", allowed=("fe80::/10",))


@pytest.mark.parametrize("network", ["10.0.0.1/8", "localhost", "10.0.0.0/33", ""])
def test_what_is_no_network_is_not_allowed(network: str) -> None:
    with pytest.raises(ValueError, match=r"does not appear to be|has host bits set"):
        Addresses(allowed=[network])


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
        *("https://①②⑦.example/", "https://xn--a/", "https://xn--\x80/", f"https://{'a' * 64}.example/"),
        *(
            f"https://{'a.' * 127}example/",
            "https://h\u200b.example/",
            "https://h\u2028.example/",
            "https://*.example/",
        ),
    ],
)
def test_what_is_no_url_of_a_webhook_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"^\S"):
        webhook_url(url)


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


Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def stands_for(address: Address) -> Address:
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
