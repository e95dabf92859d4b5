"""Texts of strangers that are made to take long: whatever reads one takes as many times as long as it is longer.

A quadratic reader takes four times as long for twice the text, and thousands of times for the texts here. Each is asked
for both lengths in one run, several times; the shortest times are compared, and only where they are long enough.
"""

import asyncio
import gc
import json
from collections.abc import Callable
from contextlib import suppress
from time import thread_time
from typing import Any

import pytest

from notification_sender.adapters.rabbitmq.headers import one_line
from notification_sender.adapters.smtp.replies import Answer
from notification_sender.channels.addresses import webhook_url
from notification_sender.channels.email import is_address, subject_line
from notification_sender.channels.redaction import excerpt
from notification_sender.context.upstream.errors import BadRecord
from notification_sender.context.upstream.json_reading import read_any
from notification_sender.context.upstream.responses import server_timing
from notification_sender.model import notification
from notification_sender.model.errors import NotificationSenderError, SchemaViolation, Sent
from notification_sender.model.strict_json import read_json
from notification_sender.model.unit import decode
from notification_sender.policy.patterns import matches
from notification_sender.policy.retry import retry_after
from notification_sender.render import markup
from notification_sender.render.filters import geometry, in_zone, label, latlon, line, zone
from notification_sender.render.plain_text import plain

Read = Callable[[Any], object]
Make = Callable[[int], Any]

TRIES = 4
NOTHING = 0.02
"""Seconds of this thread's own work that are not looked at any closer."""

LONG = 8000
"""Pieces; the doors let in 256 KiB of a message."""


def smtp(words: str) -> object:
    answer = Answer(450, words, "message", "someone@e.example")
    return answer.receipt(), answer.refusal(Sent.NOTHING)


def event(pattern: str) -> object:
    return matches.__wrapped__(pattern[:256], pattern.replace("*", "a")[:256])


def url(text: str) -> object:
    return webhook_url.__wrapped__(f"https://{text}")


PAGES: dict[str, Make] = {
    "elements": lambda n: "<div>" * n,
    "elements, ended": lambda n: "<span>" * n + "</span>" * n,
    "formatting": lambda n: "<b><p>" * n,
    "formatting, each another": lambda n: "".join(f"<font a{it}=1><p>" for it in range(n)),
    "formatting, ended in disorder": lambda n: "<b><div>" * n + "</b>" * n,
    "links": lambda n: "<a href=https://e.example>x" * n + "</a>" * n,
    "hidden": lambda n: "<div hidden>" * n + "</i>" * n,
    "tables": lambda n: "<table><tr><td>" * n,
    "lists": lambda n: "<ul><li>" * n,
    "comments": lambda n: "<!--" * n,
    "tags that never end": lambda n: "<a " * n,
    "values that never end": lambda n: "<a x='" * n,
    "tags full of blanks": lambda n: ("<a" + " " * 50) * n,
    "tags full of equals": lambda n: ("<a" + "=" * 50) * n,
    "beginnings": lambda n: "<" * n,
    "endings": lambda n: "</" * n,
    "named endings": lambda n: "</a" * n,
    "declarations": lambda n: "<!" * n,
    "sections": lambda n: "<![" * n,
    "instructions": lambda n: "<?" * n,
    "references": lambda n: "&#" * n,
    "attributes": lambda n: "<p " + " ".join(f"a{it}=1" for it in range(n)) + ">",
    "scripts": lambda n: "<script>" * n + "</" * n,
    "titles": lambda n: "<title>" * n,
    "pre": lambda n: "<pre>x\n" * n,
    "styles": lambda n: "<p style='" + "display:" * n + "'>",
}

TEXTS: dict[str, Make] = {
    "one letter": lambda n: "a" * n,
    "blanks": lambda n: " " * n,
    "empty lines": lambda n: "\n" * n,
    "digits": lambda n: "1" * n,
    "dots": lambda n: "a." * n,
    "ats": lambda n: "a@" * n,
    "slashes": lambda n: "../" * n,
    "dashes": lambda n: "a-" * n,
    "commas": lambda n: "a," * n,
    "colons": lambda n: "1:" * n,
    "brackets": lambda n: "[" * n,
    "parentheses": lambda n: "(" * n,
    "braces": lambda n: '{"a":' * n,
    "quotes": lambda n: '"' * n,
    "backslashes": lambda n: "\\" * n,
    "percents": lambda n: "%40" * n,
    "equals": lambda n: "=?a?q?" * n,
    "stars": lambda n: "*a" * n,
    "bearers": lambda n: "bearer " * n,
    "tokens": lambda n: "eyJ" * n + ".",
    "waits": lambda n: "try again in 5 minu" * n,
    "rates": lambda n: "exceeds " * n,
    "codes": lambda n: "\n 4.2.1" * n,
    "durations": lambda n: "a;dur=1" * n,
    "umlauts": lambda n: "ü" * n,
    "unprintable": lambda n: "\x00\u2028" * n,
    "dates": lambda n: "2026-03-06T" + "1" * n,
    "mail dates": lambda n: "Mon, 1 Jan 2026 00:00:00 " + "+" * n,
}

READERS: dict[str, Read] = {
    "an event": event,
    "a URL": url,
    "an address": is_address,
    "a subject": subject_line,
    "an answer": lambda text: excerpt(text.encode(), private=[text[:500]]),
    "an answer of SMTP": smtp,
    "Retry-After": lambda text: retry_after(text, 0.0),
    "Server-Timing": lambda text: server_timing([text]),
    "a time zone": zone,
    "a time": lambda text: in_zone(text, "UTC"),
    "a time in a zone": lambda text: in_zone("2026-03-06T08:26:00Z", text),
    "a line": line,
    "a label": label,
    "a geometry": geometry,
    "a position": latlon,
    "a detail": one_line,
    "JSON": lambda text: read_json(text.encode()[: 256 * 1024]),
    "a message": lambda text: decode(b'{"work_unit_id":"w","organization_id":"o","occurred_at":"%s"}' % text.encode()),
}


def seconds(read: Read, given: Any) -> float:
    best = float("inf")
    for _ in range(TRIES):
        before = thread_time()
        with suppress(ValueError, NotificationSenderError, markup.Unreadable):
            read(given)
        best = min(best, thread_time() - before)
        if best < NOTHING:
            break
    return best


def assert_linear(read: Read, make: Make) -> None:
    """Doubled until it takes long enough to be compared, or is as long as anything gets."""
    size, before = LONG // 16, None
    while size <= LONG:
        took = seconds(read, make(size))
        if before is not None and before > NOTHING:
            assert took < 3.5 * before, f"{size}: {took:.3f} s, half of it {before:.3f} s"
        before = took
        size *= 2
    assert before is not None
    assert before < 2.0


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize("reader", READERS)
def test_reading_a_text_takes_linear_time(reader: str, text: str) -> None:
    assert_linear(READERS[reader], TEXTS[text])


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("read", [plain, markup.check, markup.cut_unended], ids=["plain", "check", "whole"])
def test_reading_a_page_takes_linear_time(read: Read, page: str) -> None:
    assert_linear(read, PAGES[page])


ANSWERS: dict[str, str] = {
    "records": '{"dependent_id":"ir-1","deleted":null,"distance":1}',
    "records with an odd number": '{"dependent_id":"ir-1","serial":' + "9" * 30 + "}",
    "lists": "[]",
    "nested lists": "[" * 90 + "]" * 90,
    "nested objects": '{"a":' * 90 + "1" + "}" * 90,
    "long numbers": "2.22507385850720113605740979670913197593481954635164564e-308",
    "texts": '"a"',
}


def longest_turn(body: bytes) -> float:
    """Seconds of this thread's work between two of its turns of the loop."""

    async def longest() -> float:
        reading, most = read_any(body).__await__(), 0.0
        while True:
            before = thread_time()
            try:
                next(reading)
            except (StopIteration, BadRecord):
                return max(most, thread_time() - before)
            most = max(most, thread_time() - before)

    gc.disable()  # it would look at all that other tests have left in this process
    try:
        return min(asyncio.run(longest()) for _ in range(2))
    finally:
        gc.enable()


@pytest.mark.parametrize("filling", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.long
def test_a_longer_answer_does_not_hold_the_loop_longer(filling: str) -> None:
    short, long = (b"[" + b",".join([filling.encode()] * (size // len(filling))) + b"]" for size in (1 << 19, 1 << 20))
    took = longest_turn(long)
    assert took < NOTHING or took < 1.6 * longest_turn(short)


def test_of_a_million_faults_in_a_notification_one_is_reported() -> None:
    def read(count: int) -> object:
        return notification.decode(b'{"tries":[' + b",".join([b"{}"] * count) + b"]}")

    # Without a bound each of them costs 3 us to tell, ten times as much as to read it.
    with pytest.raises(SchemaViolation, match="tries: Value error, 50000 of them"):
        read(50_000)
    assert seconds(read, 50_000) < 10 * max(seconds(json.loads, "[" + "{}," * 50_000 + "{}]"), 0.002)


@pytest.mark.parametrize(
    "page",
    ["< " * 50_000, "<!--x-->" * 50_000, "<style>" + "*{color:red}" * 2000 + "</style>" + "<p>x</p>" * 9000],
    ids=["beginnings", "comments", "rules of style"],
)
def test_a_page_that_would_hold_the_loop_is_refused_before_it_is_read(page: str) -> None:
    with pytest.raises(markup.Unreadable):
        markup.check(page)
    assert seconds(markup.check, page) < 20 * max(seconds(lambda it: it.count("<"), page), 0.001)
