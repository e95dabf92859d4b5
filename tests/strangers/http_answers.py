"""What receivers answer: a status line that can be read, and then anything.

Where the head can be read the status is the answer, whatever follows: such a case may end in one way only.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.strangers.draft import Draft, Family

answers = Family("http")

WELL = (200, 201, 202, 204, 299)
NO_MORE = (400, 404, 413, 422, 451, 410)
LATER = (408, 425, 429, 500, 502, 503, 599, 301, 307)
REASONS = (b"", b"OK", b"Said " * 20, b"\xff\xfe", b"\xc3\xa9", b"200 OK", b"\tspaced ")
NAMES = (b"server", b"x-odd", b"set-cookie", b"date", b"content-type", b"vary", b"x", b"X-" + b"y" * 60)
VALUES = (b"", b"a", b"\xff\xfe", b"\xc3\xa9", b"x" * 500, b'"', b", , ,", b"\t tab\t", b"=?utf-8?q?=00?=", b"{}")


@dataclass(frozen=True, slots=True)
class Step:
    """Bytes, then a wait. ``forever``: again and again, until nobody listens."""

    data: bytes
    seconds: float = 0.0
    forever: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """``hold``: the connection stays open after the last step, and takes further requests."""

    steps: Sequence[Step]
    hold: bool = False
    reset: bool = False
    """Instead of an orderly end."""


def _status(odd: Draft, *statuses: int) -> int:
    """One of them; what may become of the case follows from it."""
    status = odd.dice.choice(statuses or (*WELL, *WELL, *NO_MORE, *LATER))
    if 200 <= status < 300:
        odd.ends = frozenset({"delivered"})
    elif status in NO_MORE:
        odd.ends = frozenset({"dead"})
    else:
        odd.ends = frozenset({"dead", "put off"})
    return status


def _line(odd: Draft, status: int) -> bytes:
    version = odd.dice.choice((b"1.1", b"1.1", b"1.0"))
    return b"HTTP/%s %d %s\r\n" % (version, status, odd.dice.choice(REASONS[:3]))


def _head(odd: Draft, status: int, *fields: bytes) -> bytes:
    """With up to five headers more, in any order."""
    more = [b"%s: %s" % (odd.dice.choice(NAMES), odd.dice.choice(VALUES[:2])) for _ in range(odd.dice.randrange(5))]
    lines = [*fields, *more]
    odd.dice.shuffle(lines)
    return _line(odd, status) + b"".join(line + b"\r\n" for line in lines) + b"\r\n"


def _to(odd: Draft, *steps: bytes | Step, hold: bool = False, reset: bool = False) -> None:
    """The case goes to a receiver that answers so."""
    made = [it if isinstance(it, Step) else Step(it) for it in steps]
    odd.answer = Answer(made, hold=hold, reset=reset)
    odd.destination["url"] = odd.ground.odd(odd.number)


def _bytes(odd: Draft, most: int = 200) -> bytes:
    return odd.dice.randbytes(odd.dice.randrange(1, most))


# --- what follows a head that can be read -------------------------------------------------------------------------


@answers.kind
def a_204_with_a_body(odd: Draft) -> None:
    body = odd.dice.choice((b"{}", b"accepted", b"\x00\xff", b"x" * 5000))
    framed = odd.dice.choice((b"content-length: %d" % len(body), b"x-none: 1", b"transfer-encoding: chunked"))
    _to(odd, _head(odd, _status(odd, 204), framed) + body, hold=odd.dice.random() < 1 / 2)


@answers.kind
def a_length_that_is_too_short(odd: Draft) -> None:
    text = odd.dice.choice(("schön", "é" * 300, "\U0001f4a9", '{"ok": "ü"}'))
    head = _head(odd, _status(odd), b"content-length: %d" % len(text))
    _to(odd, head + text.encode(), hold=odd.dice.random() < 1 / 2)


@answers.kind
def a_length_that_is_too_long(odd: Draft) -> None:
    _to(odd, _head(odd, _status(odd), b"content-length: %d" % (100 + odd.dice.randrange(10**6))) + b"short")


@answers.kind
def a_length_that_is_too_long_and_no_end(odd: Draft) -> None:
    _to(odd, _head(odd, _status(odd), b"content-length: 1000") + b"short", hold=True)


@answers.kind
def a_length_that_is_no_number(odd: Draft) -> None:
    value = odd.dice.choice((b"", b"-1", b"many", b"1e3", b"0x10", b"+5", b"5 5", b"9" * 30, b"\xb2", b"5, 5", b"5, 6"))
    _to(odd, _head(odd, _status(odd), b"content-length: " + value) + b"hello")


@answers.kind
def two_lengths(odd: Draft) -> None:
    _to(odd, _head(odd, _status(odd), b"content-length: 5", b"content-length: 6") + b"hello!")


@answers.kind
def a_length_and_chunks(odd: Draft) -> None:
    _to(odd, _head(odd, _status(odd), b"content-length: 5", b"transfer-encoding: chunked") + b"5\r\nhello\r\n0\r\n\r\n")


@answers.kind
def chunks_that_are_none(odd: Draft) -> None:
    bodies = (
        b"hello",
        b"zz\r\nhello",
        b"5\nhello\n0\n\n",
        b"-5\r\nhello",
        b"5;\x00=1\r\nhello\r\n0\r\n\r\n",
        b"\r\n\r\n",
    )
    bodies += (
        b"FFFFFFFFFFFFFFFFF\r\nx",
        b"5\r\nhelloworld\r\n0\r\n\r\n",
        b"0\r\nx: y\r\nno trailer\r\n\r\n",
        b"5\r\nhel",
    )
    _to(odd, _head(odd, _status(odd), b"transfer-encoding: chunked") + odd.dice.choice(bodies))


@answers.kind
def an_encoding_that_nobody_knows(odd: Draft) -> None:
    name = odd.dice.choice((b"gzip, chunked", b"chunked, chunked", b"identity", b"xchunked", b"", b"chunked\x0b"))
    _to(odd, _head(odd, _status(odd), b"transfer-encoding: " + name) + b"5\r\nhello\r\n0\r\n\r\n")


@answers.kind
def content_that_is_not_as_it_says(odd: Draft) -> None:
    name = odd.dice.choice((b"gzip", b"br", b"deflate", b"zstd", b"nothing", b"gzip, gzip", b"\xff"))
    body = _bytes(odd)
    _to(odd, _head(odd, _status(odd), b"content-encoding: " + name, b"content-length: %d" % len(body)) + body)


@answers.kind
def more_after_the_end(odd: Draft) -> None:
    more = odd.dice.choice((b"\r\n", b"HTTP/1.1 500 No\r\ncontent-length: 0\r\n\r\n", b"garbage", b"\x00" * 3000))
    _to(odd, _head(odd, _status(odd), b"content-length: 2") + b"ok" + more, hold=True)


@answers.kind
def more_after_a_while(odd: Draft) -> None:
    another = b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n"
    _to(odd, Step(_head(odd, _status(odd, 200), b"content-length: 2") + b"ok", 0.05), another, hold=True)


@answers.kind
def no_end(odd: Draft) -> None:
    _to(odd, _head(odd, _status(odd)), Step(b"x" * 16_384, forever=True))


@answers.kind
def a_drip(odd: Draft) -> None:
    _to(odd, _head(odd, _status(odd), b"content-length: 9999"), Step(b".", 0.2, forever=True))


@answers.kind
def a_reset_after_the_head(odd: Draft) -> None:
    _to(odd, Step(_head(odd, _status(odd), b"content-length: 10") + b"half", 0.05), reset=True)


@answers.kind
def no_body_and_no_end(odd: Draft) -> None:
    _to(odd, _head(odd, _status(odd)), hold=True)


# --- heads --------------------------------------------------------------------------------------------------------


@answers.kind
def any_status(odd: Draft) -> None:
    _status(odd, 200)
    odd.ends = frozenset({"delivered", "dead", "put off"})
    number = odd.dice.choice(
        (b"000", b"099", b"100", b"101", b"199", b"600", b"999", b"20", b"2000", b"2x0", b"-20", b"\xb2\xb2\xb2")
    )
    _to(odd, b"HTTP/1.1 " + number + b" Odd\r\ncontent-length: 0\r\n\r\n", hold=odd.dice.random() < 1 / 2)


@answers.kind
def reasons(odd: Draft) -> None:
    status = _status(odd)
    _to(odd, b"HTTP/1.1 %d %s\r\ncontent-length: 0\r\n\r\n" % (status, odd.dice.choice(REASONS)))


@answers.kind
def bytes_in_headers(odd: Draft) -> None:
    fields = [b"%s: %s" % (odd.dice.choice(NAMES), odd.dice.choice(VALUES)) for _ in range(8)]
    _to(odd, _head(odd, _status(odd), b"content-length: 0", *fields))


@answers.kind
def lines_that_are_no_headers(odd: Draft) -> None:
    lines = (
        b"no colon here",
        b": no name",
        b" folded",
        b"a b: c",
        b"x\x00: y",
        b"x : y",
        b"x: \x00",
        b"x: a\rb",
        b"\xe9: y",
    )
    odd.ends = frozenset({"delivered", "dead", "put off"})
    _to(odd, b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n%s\r\n\r\n" % odd.dice.choice(lines))


@answers.kind
def lines_that_end_otherwise(odd: Draft) -> None:
    odd.ends = frozenset({"delivered", "dead", "put off"})
    end = odd.dice.choice((b"\n", b"\r", b"\n\r", b"\r\r\n"))
    _to(odd, end.join((b"HTTP/1.1 200 OK", b"content-length: 0", b"", b"")))


@answers.kind
def headers_by_the_hundred(odd: Draft) -> None:
    count = odd.dice.choice((100, 150, 400, 500))
    _to(odd, _head(odd, _status(odd), b"content-length: 0", *(b"h%d: %d" % (n, n) for n in range(count))))


@answers.kind
def one_header_of_many_kb(odd: Draft) -> None:
    _to(
        odd,
        _head(
            odd,
            _status(odd),
            b"content-length: 0",
            b"set-cookie: " + b"x" * odd.dice.choice((8_191, 9_000, 30_000, 60_000)),
        ),
    )


@answers.kind
def headers_without_measure(odd: Draft) -> None:
    _status(odd, 200)
    odd.ends = frozenset({"delivered", "dead", "put off"})
    _to(odd, b"HTTP/1.1 200 OK\r\n", Step(odd.dice.choice((b"x: y\r\n" * 500, b"x" * 20_000)), forever=True))


@answers.kind
def hints_and_then_an_answer(odd: Draft) -> None:
    hint = odd.dice.choice(
        (b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 \r\n\r\n")
    )
    _to(odd, hint * odd.dice.choice((1, 3, 10)), _head(odd, _status(odd), b"content-length: 0"))


@answers.kind
def hints_without_an_end(odd: Draft) -> None:
    odd.ends = frozenset({"dead", "put off"})
    _to(odd, Step(b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n" * 50, forever=True))


@answers.kind
def a_switch_of_protocols(odd: Draft) -> None:
    odd.ends = frozenset({"delivered", "dead", "put off"})
    _to(
        odd,
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n" + _bytes(odd),
        hold=True,
    )


@answers.kind
def an_end_within_the_head(odd: Draft) -> None:
    odd.ends = frozenset({"delivered", "dead", "put off"})
    whole = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
    _to(odd, whole[: odd.dice.randrange(len(whole))], reset=odd.dice.random() < 1 / 2)


@answers.kind
def another_protocol(odd: Draft) -> None:
    odd.ends = frozenset({"delivered", "dead", "put off"})
    texts = (
        b"220 mail.example ESMTP\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"SSH-2.0-odd\r\n",
        b"ICY 200 OK\r\n\r\n",
        b"HTTP/2.0 200 OK\r\n\r\n",
    )
    _to(
        odd,
        odd.dice.choice(
            (*texts, b"HTTP/9.9 200 OK\r\n\r\n", b"http/1.1 200 OK\r\n\r\n", b"<html>" * 3000, _bytes(odd))
        ),
        hold=True,
    )


@answers.kind
def nothing_at_all(odd: Draft) -> None:
    odd.ends = frozenset({"dead", "put off"})
    _to(odd, hold=odd.dice.random() < 1 / 2, reset=odd.dice.random() < 1 / 2)


@answers.kind
def retry_after(odd: Draft) -> None:
    values = (
        b"-1",
        b"0",
        b"1e9",
        b"9" * 40,
        b"soon",
        b"",
        b"\xff",
        b"Fri, 31 Dec 9999 23:59:59 GMT",
        b"Thu, 01 Jan 1970 00:00:00 GMT",
    )
    values += (
        b"Sun, 06 Nov 1994 08:49:37 -9999",
        b"1.5",
        b"+5",
        b" 5 ",
        b"5, 7",
        b"NaN",
        b"Infinity",
        b"Fri, 32 Foo 2026 99:99:99 GMT",
    )
    fields = [b"retry-after: " + odd.dice.choice(values) for _ in range(odd.dice.choice((1, 2)))]
    _to(odd, _head(odd, _status(odd, 429, 503, 500), b"content-length: 0", *fields))


@answers.kind
def a_redirect(odd: Draft) -> None:
    where = odd.dice.choice((b"http://127.0.0.1:1/", b"", b"\xff", b"//[", b"file:///etc/passwd", b"/" + b"x" * 5000))
    _to(odd, _head(odd, _status(odd, 301, 302, 303, 307, 308), b"content-length: 0", b"location: " + where))
