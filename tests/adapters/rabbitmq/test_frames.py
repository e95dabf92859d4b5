"""Whatever a publisher sets, a frame is read in linear time, and the library reads it by us."""

import asyncio
import math
from datetime import UTC, datetime, timedelta
from struct import pack

import pytest
from aiormq.connection import FrameReceiver
from hypothesis import example, given
from hypothesis import strategies as st
from pamqp.commands import Basic
from pamqp.exceptions import PAMQPException
from pamqp.frame import FrameTypes, marshal
from pamqp.header import ContentHeader

# Whoever connects has the library read by it.
from notification_sender.adapters.rabbitmq import connection as amqp  # noqa: F401
from notification_sender.adapters.rabbitmq.frames import MAX_DEPTH, MAX_VALUES, Header, unmarshal
from notification_sender.adapters.rabbitmq.headers import envelope
from notification_sender.ports.broker import Lane
from tests.adapters.rabbitmq.publishers import PROPERTIES, mutated
from tests.faults.raw import long, properties, short, table

NOW = 1_772_785_560.0
NO_UTF8 = b"\xff\x80"


def frame(beside: bytes, size: int = 3) -> bytes:
    """A content header: the size of its body, and what stands beside it."""
    payload = pack(">HHQ", 60, 0, size) + beside
    return pack(">BHI", 2, 7, len(payload)) + payload + b"\xce"


def read(beside: bytes) -> Header:
    size, channel, header = unmarshal(frame(beside))
    assert (size, channel) == (len(frame(beside)), 7)
    assert isinstance(header, Header)
    assert header.body_size == 3
    return header


@given(PROPERTIES)
def test_what_the_library_can_write_is_read_as_it_was(written: Basic.Properties) -> None:
    _, _, header = unmarshal(marshal(ContentHeader(0, 3, written), 7))
    assert isinstance(header, Header)
    assert header.fault == ""
    assert dict(header.properties) == dict(written)


@given(mutated() | st.binary(max_size=300))
@example(properties(timestamp=pack(">Q", 1_772_785_560_000_000)))
@example(properties(headers=table((b"sent", b"T" + pack(">q", -1)))))
@example(properties(message_id=short(NO_UTF8)))
@example(properties(headers=table((NO_UTF8, b"V"))))
@example(properties(headers=long(b"\x01")))
@example(properties(headers=table((b"x", b"?"))))
@example(b"")
def test_no_property_is_refused_and_any_of_them_is_a_delivery(beside: bytes) -> None:
    header = read(beside)
    taken = envelope(Lane.UNITS, b"abc", header.properties.headers, None, NOW, header.fault)
    assert taken.body == b"abc"
    assert 0 < taken.state.first_seen <= NOW
    if header.fault:
        assert dict(header.properties) == dict(Basic.Properties())


@given(st.binary(max_size=60), st.binary(max_size=60), st.integers(1, 2**63 - 1))
def test_an_exchange_and_a_routing_key_of_any_bytes_are_a_delivery(exchange: bytes, key: bytes, tag: int) -> None:
    arguments = pack(">HH", 60, 60) + short(b"tag") + pack(">QB", tag, 1) + short(exchange) + short(key)
    _, channel, method = unmarshal(pack(">BHI", 1, 7, len(arguments)) + arguments + b"\xce")
    assert channel == 7
    assert isinstance(method, Basic.Deliver)
    assert (method.consumer_tag, method.delivery_tag, method.redelivered) == ("tag", tag, True)
    assert (method.exchange, method.routing_key) == (exchange.decode(errors="replace"), key.decode(errors="replace"))


def nested(depth: int) -> bytes:
    value = b"V"
    for _ in range(depth):
        value = b"A" + long(value)
    return value


@pytest.mark.parametrize(
    ("beside", "why"),
    [
        (properties(headers=table((b"x", nested(MAX_DEPTH + 1)))), "nested"),
        (properties(headers=table((b"x", nested(20_000)))), "nested"),
        (properties(headers=table(*[(b"", b"V")] * (MAX_VALUES + 1))), "values"),
        (properties(headers=table((b"x", b"A" + long(b"V" * 120_000)))), "values"),
        (properties(headers=table((b"x", b"?"))), "unknown type"),
        (properties(headers=long(b"\x01x")), "too early"),
        (properties(headers=long(b"\x01xl\x00")) + b"\x00" * 9, "within a value"),
        (properties(), ""),
        (properties(headers=table((b"x", nested(MAX_DEPTH)))), ""),
    ],
    ids=[
        "deep",
        "deepest",
        "many fields",
        "many values",
        "type",
        "cut off",
        "overlapping",
        "none",
        "as deep as may be",
    ],
)
def test_what_cannot_be_followed_says_why(beside: bytes, why: str) -> None:
    fault = read(beside).fault
    assert why in fault
    assert bool(fault) == bool(why)


@pytest.mark.parametrize(
    ("number", "moment"),
    [
        (1_772_785_560, datetime(2026, 3, 6, 8, 26, tzinfo=UTC)),
        (1_772_785_560_125, datetime(2026, 3, 6, 8, 26, tzinfo=UTC) + timedelta(milliseconds=125)),
        (1_772_785_560_000_000, None),
        (2**64 - 1, None),
    ],
)
def test_a_time_is_in_seconds_or_milliseconds_or_none(number: int, moment: datetime | None) -> None:
    assert read(properties(timestamp=pack(">Q", number))).properties.timestamp == moment


def test_a_number_that_is_none_is_no_fault() -> None:
    headers = read(properties(headers=table((b"x", b"d" + pack(">d", math.nan))))).properties.headers
    assert headers is not None
    assert isinstance(headers["x"], float)


async def received(data: bytes) -> FrameTypes:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    _, _, frame = await FrameReceiver(reader).get_frame()
    return frame


async def test_the_library_reads_every_frame_by_us() -> None:
    assert isinstance(await received(frame(properties(message_id=short(NO_UTF8)))), Header)
    arguments = pack(">HH", 60, 60) + short(b"tag") + pack(">QB", 1, 0) + short(b"") + short(NO_UTF8)
    assert isinstance(await received(pack(">BHI", 1, 7, len(arguments)) + arguments + b"\xce"), Basic.Deliver)


def test_a_broker_that_breaks_the_protocol_is_still_refused() -> None:
    with pytest.raises(PAMQPException):
        unmarshal(pack(">BHI", 1, 7, 4) + pack(">HH", 99, 99) + b"\xce")
