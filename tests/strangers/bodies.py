"""Bodies of messages: what is no work unit, what is hardly one, and what is one beyond all measure."""

import orjson

from tests.strangers.draft import Draft, Family

bodies = Family("body")
MOST = 256 * 1024
WRONG = (None, True, 7, -1, 2**53, 1.5, "", "x" * 2000, "\u202e\u0000", [], {}, [None], {"a": None}, [[[]]])


def _with(odd: Draft, part: bytes) -> bytes:
    """The unit with one more field, written by hand."""
    return orjson.dumps(odd.unit)[:-1] + b',"extra":' + part + b"}"


@bodies.kind
def no_json(odd: Draft) -> None:
    texts = (b"", b" ", b"\x00", b"{", b"nothing", b"<xml/>", b'{"work_unit_id"', b"{}}", b"\x1f\x8b\x08\x00")
    # The number keeps the dead letters of two cases apart.
    odd.raw = odd.dice.choice(texts) + b" " * odd.number


@bodies.kind
def another_type_at_the_top(odd: Draft) -> None:
    odd.raw = odd.dice.choice((b"[]", b"null", b"7", b'"unit"', b"[%s]" % orjson.dumps(odd.unit))) + b" " * odd.number


@bodies.kind
def no_utf8(odd: Draft) -> None:
    odd.raw = _with(odd, odd.dice.choice((b'"\xff"', b'"\xed\xa0\xbd"', b'"\xc0\x80"', b'"\xf8\x88\x80\x80\x80"')))


@bodies.kind
def byte_order_mark(odd: Draft) -> None:
    encoding = odd.dice.choice(("utf-8-sig", "utf-16", "utf-32"))
    odd.raw = orjson.dumps(odd.unit).decode().encode(encoding)


@bodies.kind
def lone_surrogates(odd: Draft) -> None:
    odd.raw = _with(odd, odd.dice.choice((b'"\\ud83d"', b'"\\udc00\\ud800"', b'{"\\udfff": 1}', b'"\\ud83d\\ud83d"')))


@bodies.kind
def numbers(odd: Draft) -> None:
    texts = (
        b"NaN",
        b"-Infinity",
        b"1e999",
        b"-1e-999",
        b"9" * 5000,
        b"%d" % 2**64,
        b"%d" % -(2**63),
        b"01",
        b"1.",
        b"-0",
    )
    odd.raw = _with(odd, odd.dice.choice(texts))


@bodies.kind
def depth(odd: Draft) -> None:
    levels = odd.dice.choice((30, 31, 32, 33, 300, 1000, 50_000))
    opening, closing = odd.dice.choice(((b"[", b"]"), (b'{"a":', b"}")))
    odd.raw = _with(odd, (opening * levels + b"1" + closing * levels)[: MOST - 2000])


@bodies.kind
def names_twice(odd: Draft) -> None:
    odd.raw = orjson.dumps(odd.unit)[:-1] + b',"organization_id":"odd-nobody"}'


@bodies.kind
def size_at_the_bound(odd: Draft) -> None:
    bare = _with(odd, b'""')
    odd.raw = _with(odd, b'"%s"' % (b"x" * (MOST + odd.dice.choice((-1, 0, 1, 4096)) - len(bare))))


@bodies.kind
def many_fields(odd: Draft) -> None:
    odd.unit |= {f"field-{number}": number for number in range(10_000)}


@bodies.kind
def a_wrong_type(odd: Draft) -> None:
    fields = ("schema_version", "work_unit_id", "organization_id", "kind", "event", "incident_id", "intel_request_id")
    fields += ("asset_ids", "fingerprint", "occurred_at", "not_before", "expires_at", "channels", "destination_ids")
    odd.unit[odd.dice.choice((*fields, "destinations", "batch"))] = odd.dice.choice(WRONG)


@bodies.kind
def a_wrong_type_in_a_destination(odd: Draft) -> None:
    fields = ("destination_id", "channel", "url", "template", "secret", "auth", "rate", "events", "enabled", "ca")
    odd.destination[odd.dice.choice(fields)] = odd.dice.choice(WRONG)


@bodies.kind
def a_missing_field(odd: Draft) -> None:
    del odd.unit[odd.dice.choice(("work_unit_id", "organization_id", "incident_id", "destinations"))]


@bodies.kind
def times(odd: Draft) -> None:
    texts = ("0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-02-30T00:00:00Z", "2026-03-06T08:00:00")
    texts += ("1772784000", "2026-03-06T08:00:00.123456789Z", "2026-03-06t08:00:00z", "20260306T080000Z", "-1")
    odd.unit[odd.dice.choice(("occurred_at", "not_before", "expires_at"))] = odd.dice.choice(texts)


@bodies.kind
def due_in_a_thousand_years(odd: Draft) -> None:
    odd.unit["not_before"] = odd.dice.choice(("3026-03-06T08:00:00Z", "9999-12-31T23:59:59Z", "2027-03-06T08:00:00Z"))


@bodies.kind
def fingerprints(odd: Draft) -> None:
    texts = ("", "\u0000", "x" * 1024, "x" * 1025, "9999-12-31T23:59:59Z", "0001-01-01T00:00:00+23:59", "é\u202e", "-0")
    odd.unit["fingerprint"] = odd.dice.choice(texts)


@bodies.kind
def subjects(odd: Draft) -> None:
    texts = ("../../admin", "a/b?c=d#e", "%2e%2e%2f", "\u0000", "x" * 256, "é\u202e", ".", "..", " ", "current")
    odd.unit[odd.dice.choice(("incident_id", "intel_request_id"))] = odd.dice.choice(texts)


@bodies.kind
def event_patterns(odd: Draft) -> None:
    pattern = odd.dice.choice(("*a" * 2000 + "b", "*" * 4000, "[" * 500, "?" * 255, "[a-", "**", "", "incident.[!u]*"))
    odd.unit["event"] = odd.dice.choice(("a" * 256, "incident.updated"))
    odd.destination["events"] = [pattern] * odd.dice.choice((1, 30))


@bodies.rare
def a_pattern_of_16_kb(odd: Draft) -> None:
    odd.unit["event"] = "a" * 256
    odd.destination["events"] = ["*a" * 8000 + "b"]


@bodies.kind
def the_same_five_times(odd: Draft) -> None:
    odd.copies = 5


@bodies.kind
def one_destination_twice(odd: Draft) -> None:
    odd.unit["destinations"] *= 2


@bodies.kind
def asset_ids_by_the_thousand(odd: Draft) -> None:
    odd.unit["asset_ids"] = [f"a{number}" for number in range(odd.dice.choice((999, 1000, 1001, 3000)))]


@bodies.rare
def asset_ids_by_the_ten_thousand(odd: Draft) -> None:
    odd.unit["asset_ids"] = [f"{number:x}" for number in range(30_000)]


@bodies.rare
def destinations_by_the_thousand(odd: Draft) -> None:
    to = {"channel": "email", "to": odd.address}
    odd.unit["destinations"] = [{"destination_id": f"o{number}"} | to for number in range(3000)]


@bodies.kind
def forty_destinations_and_one_that_cannot_be(odd: Draft) -> None:
    hook = odd.destination
    odd.unit["destinations"] = [hook | {"destination_id": f"odd-{odd.number}-{place}"} for place in range(40)]
    odd.unit["destinations"][odd.dice.randrange(40)] |= odd.dice.choice(
        (
            {"channel": "sms"},
            {"url": "gopher://example.com/"},
            {"template": "nowhere"},
            {"url": None},
            {"auth": "basic"},
        )
    )


@bodies.kind
def urls(odd: Draft) -> None:
    texts = ("http://[::1", "https://user:word@example.com/", "http://127.0.0.1:0/", "http://127.0.0.1:99999/", "//x/")
    texts += (
        "http://127.1/",
        "http://0x7f000001/",
        "http://example.com\r\nx: y/",
        "https://" + "a" * 300 + ".example/",
    )
    texts += (
        "http://127.0.0.1:1/",
        "https://xn--.example/",
        "file:///etc/passwd",
        "http://\u2488.example/",
        "https:///",
    )
    texts += ("https://x.invalid/" + "p" * 3000, "http://10.0.0.1/", "http://169.254.169.254/latest")
    odd.destination["url"] = odd.dice.choice(texts)


@bodies.kind
def mail_addresses(odd: Draft) -> None:
    odd.by_email()
    texts = (
        "a@b",
        "a@example.com\r\nBcc: b@example.com",
        '"a b"@example.com',
        "a@[127.0.0.1]",
        "é@example.com",
        "@",
        "",
    )
    odd.destination["to"] = odd.dice.choice((*texts, "a" * 300 + "@example.com", "a@" + "b." * 100 + "example"))


@bodies.kind
def names_of_templates_and_secrets(odd: Draft) -> None:
    texts = ("../intel", "nowhere", "intel/../intel", "CON", "x" * 128, "-", ":")
    odd.destination[odd.dice.choice(("template", "secret", "ca"))] = odd.dice.choice(texts)


@bodies.kind
def rates(odd: Draft) -> None:
    numbers = (0, -1, 1e-9, 0.001, 1e308, 6_000_001)
    odd.destination["rate"] = {"per_minute": odd.dice.choice(numbers), "burst": odd.dice.choice((0, 1, 2**53, 1.5))}


@bodies.kind
def kinds_and_channels(odd: Draft) -> None:
    odd.unit[odd.dice.choice(("kind", "channels"))] = odd.dice.choice(("nobody-knows", ["sms"], ["webhook"] * 500, []))
