"""What an entry of NS_ALLOWED_CIDRS opens: to whom, on which ports, and nothing besides."""

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notification_sender.policy.networks import AllowedNetwork

IDS = st.text("abc09_:-", min_size=1, max_size=8)


@pytest.mark.parametrize(
    ("text", "admitted", "refused"),
    [
        ("10.0.0.0/8", [("10.1.2.3", 1, "a"), ("10.1.2.3", 65_535, "")], [("11.0.0.1", 443, "a")]),
        ("10.0.0.0/8:443", [("10.1.2.3", 443, "a")], [("10.1.2.3", 444, "a")]),
        ("10.0.0.0/8=org-a", [("10.1.2.3", 80, "org-a")], [("10.1.2.3", 80, "org-b"), ("10.1.2.3", 80, "")]),
        (
            "10.0.0.0/8:443+8000-8100=org-a+org:b",
            [("10.1.2.3", 443, "org-a"), ("10.1.2.3", 8000, "org:b"), ("10.1.2.3", 8100, "org-a")],
            [("10.1.2.3", 8101, "org-a"), ("10.1.2.3", 443, "org"), ("10.1.2.3", 443, "b")],
        ),
        ("10.0.0.1:443", [("10.0.0.1", 443, "a")], [("10.0.0.2", 443, "a")]),
        ("fd00::/8=a", [("fd00::1", 80, "a")], [("fd00::1", 80, "b"), ("10.0.0.1", 80, "a")]),
        ("[fd00::/8]:443=a", [("fd00::1", 443, "a")], [("fd00::1", 444, "a")]),
        ("[::1]", [("::1", 1, "a")], [("::2", 1, "a")]),
    ],
)
def test_an_entry_opens_what_it_says_and_nothing_else(
    text: str, admitted: list[tuple[str, int, str]], refused: list[tuple[str, int, str]]
) -> None:
    allowed = AllowedNetwork.parse(text)
    assert all(allowed.admits(ip_address(address), port, whose) for address, port, whose in admitted)
    assert not any(allowed.admits(ip_address(address), port, whose) for address, port, whose in refused)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        *(("10.0.0.0/8:0", "'0'"), ("10.0.0.0/8:443+", "''"), ("10.0.0.0/8:443-442", "443-442")),
        *(("10.0.0.0/8:65536", "65536"), ("10.0.0.0/8:https", "https"), ("10.0.0.0/8:", "''")),
        *(("10.0.0.0/8=", "''"), ("10.0.0.0/8=a b", "a b"), ("10.0.0.0/8=a=b", "a=b"), ("10.0.0.0/8=*", r"\*")),
        *(("fd00::/8:443", "fd00::/8:443"), ("[fd00::/8]443", "443"), ("[fd00::/8", "fd00"), ("443=org-a", "443")),
        *(("10.0.0.1/8", "host bits"), ("intranet:443", "intranet"), ("", "''"), ("10.0.0.0/8:१", "१")),
    ],
)
def test_a_fault_names_the_entry_the_part_and_the_form(text: str, part: str) -> None:
    with pytest.raises(ValueError, match=part) as caught:
        AllowedNetwork.parse(text)
    assert repr(text) in str(caught.value)
    assert "[fd00::/8]:443=org-a" in str(caught.value)


@given(st.lists(st.integers(1, 65_535), min_size=1, max_size=4), st.sets(IDS, min_size=1, max_size=4), st.data())
def test_what_is_written_is_what_is_read(ports: list[int], organizations: set[str], data: st.DataObject) -> None:
    written = "+".join(f"{port}-{port}" if data.draw(st.booleans()) else str(port) for port in ports)
    allowed = AllowedNetwork.parse(f"10.0.0.0/8:{written}={'+'.join(organizations)}")
    assert allowed.organizations == organizations
    port, whose = data.draw(st.integers(1, 65_535)), data.draw(IDS)
    assert allowed.admits(ip_address("10.9.8.7"), port, whose) == (port in ports and whose in organizations)


def test_only_what_is_narrowed_by_nothing_is_bare() -> None:
    texts = ("10.0.0.0/8", "10.0.0.0/8:443", "10.0.0.0/8=a", "10.0.0.0/8:443=a")
    assert [AllowedNetwork.parse(text).bare for text in texts] == [True, False, False, False]
