"""What is read of a delivery at once is what reading it frame by frame finds."""

from struct import pack

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from notification_sender.adapters.rabbitmq import deliveries
from notification_sender.adapters.rabbitmq.frames import Header, header
from tests.adapters.rabbitmq.publishers import PROPERTIES, USUAL, mutated
from tests.faults.raw import long, properties, short, table


def published(read: Header) -> float:
    said = read.properties.timestamp
    return said.timestamp() if said else 0.0


def at_once(beside: bytes, before: bytes, after: bytes) -> tuple[object, str, float]:
    payload = pack(">HHQ", 60, 0, 3) + beside
    return deliveries._headers(before + payload + after, len(before), len(before) + len(payload))


@given(mutated() | USUAL | st.binary(min_size=2, max_size=300), st.binary(max_size=9), st.binary(max_size=300))
@example(properties(headers=table((b"x", b"S" + long(b"\xff")))), b"", b"")
@example(properties(headers=long(b"\x01xS" + long(b"abc"))[:-1]), b"", b"abc")
@example(properties(headers=long(b"\x01xl\x00")) + b"\x00" * 9, b"", b"")
@example(properties(content_type=b"\x05ab"), b"", b"abcdef")
@example(properties(headers=table(*[(b"", b"t\x01")] * 1001)), b"", b"")
@example(properties(headers=table(*[(b"", b"t\x01")] * 1000)), b"", b"")
def test_headers_are_the_same_as_those_of_the_whole_decoder(beside: bytes, before: bytes, after: bytes) -> None:
    read = header(pack(">HHQ", 60, 0, 3) + beside)
    assert repr(at_once(beside, before, after)) == repr((read.properties.headers, read.fault, published(read)))


@given(PROPERTIES)
def test_what_a_library_writes_is_read_alike(written: object) -> None:
    beside = written.marshal()  # type: ignore[attr-defined]
    read = header(pack(">HHQ", 60, 0, 3) + beside)
    assert repr(at_once(beside, b"", b"")) == repr((read.properties.headers, "", published(read)))


USUALLY = [
    properties(),
    properties(content_type=short(b"application/json"), delivery_mode=b"\x02", message_id=short(b"m" * 32)),
    properties(
        content_type=short(b"application/json"),
        headers=table((b"x-attempt", b"b\x01"), (b"x-due", b"l" + pack(">q", 2**41)), (b"x-detail", b"S" + long(b"2"))),
        delivery_mode=b"\x02",
        timestamp=pack(">Q", 1_772_785_560),
    ),
]


@pytest.mark.parametrize("beside", USUALLY, ids=["none", "without headers", "with headers"])
def test_usual_properties_do_not_take_the_whole_decoder(beside: bytes) -> None:
    payload = pack(">HHQ", 60, 0, 3) + beside
    read = header(payload)
    assert deliveries.usual_headers(payload, 0, len(payload)) == (read.properties.headers, published(read))
