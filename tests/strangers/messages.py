"""What stands beside a body: every basic property and every type of a header, as publishers get them wrong."""

import struct
from collections.abc import Callable

from tests.strangers.draft import Draft, Family
from tests.strangers.wire import item, long, short

messages = Family("message")

SHORT = ("content_type", "content_encoding", "correlation_id", "reply_to", "message_id", "type", "app_id", "cluster_id")
TEXTS = (b"", b"\xff\xfe\xfa", b"x" * 255, b"\x00", b"\r\nx: y", "\u202eé\U0001f4a9".encode(), b"\xed\xa0\xbd", b"{}")
NOW = 1_772_784_000
OURS = (b"x-attempt", b"x-misses", b"x-first-seen", b"x-due", b"x-replayed", b"x-bugs", b"x-reason")


def _text(name: str) -> Callable[[Draft], None]:
    def make(odd: Draft) -> None:
        odd.properties[name] = short(odd.dice.choice(TEXTS))

    return make


for _name in SHORT:
    messages.add(_name.replace("_", "-"), _text(_name))


def _u64(number: int) -> bytes:
    return struct.pack(">Q", number % 2**64)


@messages.kind
def expiration(odd: Draft) -> None:
    # Long enough to be read: what expires is gone because its publisher wanted that.
    odd.properties["expiration"] = short(odd.dice.choice((b"600000", b"-1", b"soon", b"", b"\xff", b"9" * 40)))


@messages.kind
def user_id(odd: Draft) -> None:
    odd.properties["user_id"] = short(odd.dice.choice((b"guest", b"somebody", b"\xff")))


@messages.kind
def delivery_mode(odd: Draft) -> None:
    odd.properties["delivery_mode"] = bytes([odd.dice.choice((0, 1, 3, 255))])


@messages.kind
def priority(odd: Draft) -> None:
    odd.properties["priority"] = bytes([odd.dice.choice((0, 9, 255))])


@messages.kind
def timestamp_in_us(odd: Draft) -> None:
    odd.properties["timestamp"] = _u64((NOW + odd.dice.randrange(10**6)) * 10**6)


@messages.kind
def timestamp_in_ms(odd: Draft) -> None:
    odd.properties["timestamp"] = _u64((NOW + odd.dice.randrange(10**6)) * 10**3)


@messages.kind
def timestamp_at_an_end(odd: Draft) -> None:
    odd.properties["timestamp"] = _u64(odd.dice.choice((0, 1, 2**31, 2**32, 2**53, 253402300799, 253402300800)))


@messages.kind
def timestamp_before_1970(odd: Draft) -> None:
    odd.properties["timestamp"] = _u64(odd.dice.choice((-1, -86_400, -(2**31), -(2**63))))


# --- headers: one kind a type of the table ------------------------------------------------------------------------

_VALUES: dict[str, tuple[bytes, tuple[bytes, ...]]] = {
    "bool": (b"t", (b"\x00", b"\x01", b"\xff")),
    "int8": (b"b", (b"\x80", b"\x7f")),
    "uint8": (b"B", (b"\xff", b"\x00")),
    "int16": (b"s", (b"\x80\x00", b"\x7f\xff")),
    "uint16": (b"u", (b"\xff\xff",)),
    "int32": (b"I", (b"\x80\x00\x00\x00", b"\x7f\xff\xff\xff")),
    "uint32": (b"i", (b"\xff\xff\xff\xff",)),
    "int64": (b"l", (_u64(-(2**63)), _u64(2**63 - 1), _u64(2**53), _u64(2**53 - 1))),
    "float": (b"f", (struct.pack(">f", float("nan")), struct.pack(">f", float("-inf")), struct.pack(">f", -0.0))),
    "double": (b"d", (struct.pack(">d", float("nan")), struct.pack(">d", float("inf")), struct.pack(">d", 1e308))),
    "decimal": (
        b"D",
        (b"\xff\x7f\xff\xff\xff", b"\x00\x80\x00\x00\x00", b"\x02\x00\x00\x30\x39", b"\x80\x00\x00\x00\x01"),
    ),
    "timestamp-us": (b"T", (_u64(NOW * 10**6), _u64(NOW * 10**9))),
    "timestamp-before-1970": (b"T", (_u64(-1), _u64(-(2**62)))),
    "timestamp-at-an-end": (b"T", (_u64(0), _u64(253402300800), _u64(2**63))),
    "void": (b"V", (b"",)),
    "bytes": (b"x", (long(b"\x00\xff"), long(b""))),
    "string-of-no-utf8": (b"S", (long(b"\xff\xfe\xfa"), long(b"\xed\xa0\xbd"), long(b"\xc0\x80"))),
    "string-of-100-kb": (b"S", (long(b"x" * 100_000), long(b"\xe2\x80\xae" * 33_000))),
    "unknown-tag": (b"?", (b"\x00", b"")),
    "array-of-all": (b"A", (long(b"t\x01V" + b"S" + long(b"\xff") + b"T" + _u64(NOW * 10**6)),)),
}


def _header(tag: bytes, values: tuple[bytes, ...]) -> Callable[[Draft], None]:
    def make(odd: Draft) -> None:
        name = odd.dice.choice((b"x-trace", b"", b"content-type", *OURS[:-1]))
        odd.headers.append(item(name, tag, odd.dice.choice(values)))

    return make


for _name, (_tag, _values) in _VALUES.items():
    messages.add(f"header-{_name}", _header(_tag, _values))


@messages.kind
def header_tables_nested(odd: Draft) -> None:
    inner = item(b"n", b"t", b"\x01")
    for _ in range(odd.dice.choice((5, 40, 400))):
        inner = item(b"n", b"F", long(inner))
    odd.headers.append(inner)


@messages.kind
def header_arrays_nested(odd: Draft) -> None:
    inner = b"V"
    for _ in range(odd.dice.choice((5, 40, 400))):
        inner = b"A" + long(inner)
    odd.headers.append(short(b"x-list") + inner)


@messages.kind
def header_name_of_no_utf8(odd: Draft) -> None:
    odd.headers.append(item(odd.dice.choice((b"\xff\xfe", b"\xed\xa0\xbd", b"\xc0\x80")), b"S", long(b"a")))


@messages.kind
def header_twice(odd: Draft) -> None:
    name = odd.dice.choice(OURS[:-1])
    odd.headers += [item(name, b"l", _u64(1)), item(name, b"S", long(b"two"))]


@messages.kind
def headers_by_the_thousand(odd: Draft) -> None:
    odd.headers += [item(b"h%d" % number, b"l", _u64(number)) for number in range(4000)]


@messages.kind
def header_table_cut_short(odd: Draft) -> None:
    odd.headers.append(item(b"x-cut", b"S", struct.pack(">I", 1000) + b"short"))


@messages.kind
def header_that_brokers_write(odd: Draft) -> None:
    name = odd.dice.choice((b"x-death", b"x-delivery-count", b"x-first-death-queue", b"CC", b"x-received-from"))
    odd.headers.append(item(name, *odd.dice.choice(((b"S", long(b"many")), (b"l", _u64(-1)), (b"A", long(b"V"))))))


# --- headers that are ours ----------------------------------------------------------------------------------------


@messages.kind
def x_reason_of_any_type(odd: Draft) -> None:
    values = ((b"V", b""), (b"l", _u64(7)), (b"S", long(b"")), (b"S", long(b"\xff")), (b"F", long(b"")))
    odd.headers.append(item(b"x-reason", *odd.dice.choice(values)))


@messages.kind
def x_attempt_of_any_size(odd: Draft) -> None:
    numbers = (0, -1, 2**31, 2**53 - 1, 2**53, 2**53 + 1, 2**63 - 1)
    as_text = odd.dice.random() < 1 / 3
    number = odd.dice.choice(numbers)
    odd.headers.append(item(b"x-attempt", *((b"S", long(b"%d" % number)) if as_text else (b"l", _u64(number)))))


@messages.kind
def x_first_seen_of_any_form(odd: Draft) -> None:
    texts = (b"yesterday", b"0001-01-01T00:00:00Z", b"0001-01-01T00:00:00+23:59", b"9999-12-31T23:59:59-23:59", b"\xff")
    texts += (b"2026-03-06", b"1969-12-31T23:59:59Z", b"2026-W10-5T08:00:00Z", b"9" * 1000)
    odd.headers.append(item(b"x-first-seen", b"S", long(odd.dice.choice(texts))))


@messages.kind
def x_counts_of_any_type(odd: Draft) -> None:
    values = ((b"S", long(b"1e9")), (b"d", struct.pack(">d", 1e308)), (b"V", b""), (b"l", _u64(2**63 - 1)))
    odd.headers += [item(name, *odd.dice.choice(values)) for name in OURS if name != b"x-reason"]


@messages.kind
def all_properties_at_once(odd: Draft) -> None:
    for name in SHORT:
        odd.properties[name] = short(odd.dice.choice(TEXTS))
    odd.properties["priority"] = b"\xff"
    odd.properties["timestamp"] = _u64(odd.dice.getrandbits(64))
    odd.headers += [item(name, b"S", long(odd.dice.choice(TEXTS))) for name in OURS[:-1]]
