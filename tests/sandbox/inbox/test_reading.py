import subprocess
from email import message_from_bytes, policy
from email.message import EmailMessage

import pytest

from notification_sender.sandbox.inbox.reading import SHOWN, coloured, curl, in_scheme, part, pretty, readable

URL = "http://127.0.0.1:1/hooks/hook-x"


def test_json_gets_a_field_a_line_and_keeps_its_letters() -> None:
    assert pretty('{"city":"Łódź","n":[1,null]}'.encode()) == (
        '{\n  "city": "Łódź",\n  "n": [\n    1,\n    null\n  ]\n}'
    )


@pytest.mark.parametrize("body", [b"", b"not json", b"\xff\xfe", b"[" * 100_000, b"1" * 10_000])
def test_a_body_that_is_no_json_is_told_apart(body: bytes) -> None:
    assert pretty(body) is None


def test_tokens_are_coloured_and_everything_is_escaped() -> None:
    html = coloured('{"<b>": "</script>&\\"", "n": -1.5e3, "t": true}')
    assert html == (
        '{<span class="key">&#34;&lt;b&gt;&#34;</span>: '
        '<span class="string">&#34;&lt;/script&gt;&amp;\\&#34;&#34;</span>, '
        '<span class="key">&#34;n&#34;</span>: <span class="number">-1.5e3</span>, '
        '<span class="key">&#34;t&#34;</span>: <span class="word">true</span>}'
    )


def test_only_the_beginning_of_a_huge_body_is_shown() -> None:
    assert len(coloured("x" * (2 * SHOWN))) == SHOWN


def arguments(command: str) -> list[bytes]:
    """What a shell gives to ``curl``, and then its standard input."""
    script = 'curl() { printf \'%s\\0\' "$@"; case "$*" in *@-) cat;; esac; }\n' + command
    done = subprocess.run(["bash", "-c", script], check=True, capture_output=True)  # noqa: S603, S607 - it is ours
    return done.stdout.split(b"\0")


def test_curl_repeats_a_webhook_byte_for_byte_and_writes_its_own_headers() -> None:
    body = b"""{"a": "it's; $(id) `id` \\ \\\\ !x"}\n"""
    headers = [("Host", "h"), ("webhook-id", "1'2"), ("x-empty", ""), ("Content-Length", "9")]
    assert arguments(curl(URL, headers, body))[:-1] == [
        *(b"-sS", b"-i", URL.encode(), b"-H", b"webhook-id: 1'2", b"-H", b"x-empty;", b"--data-raw", body)
    ]


def test_a_body_that_begins_with_an_at_sign_sends_no_file_of_the_reader() -> None:
    assert arguments(curl(URL, [], b"@/etc/passwd"))[-3:-1] == [b"--data-raw", b"@/etc/passwd"]


@pytest.mark.parametrize("body", [b"\xff\x00\n\xfe", b"\x1b[2Jgone", "\x9b2J".encode(), b"a\r\nb", b"\0"])
def test_bytes_that_a_terminal_would_act_on_are_piped(body: bytes) -> None:
    command = curl(URL, [], body)
    assert arguments(command)[:5][-2:] == [b"--data-binary", b"@-"]
    assert b"\0".join(arguments(command)[5:]) == body


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("=?utf-8?q?=C5=81=C3=B3d=C5=BA?=", "Łódź"),
        ("plain\r\n folded", "plain folded"),
        ("=?nonsense?q?=C5?=", "=?nonsense?q?=C5?="),
        ("=?utf-8?b?abcde?=", "=?utf-8?b?abcde?="),
        (None, ""),
    ],
)
def test_a_header_is_decoded_or_shown_as_it_came(value: str | None, text: str) -> None:
    assert readable(value) == text


def parsed(raw: bytes) -> EmailMessage:
    return message_from_bytes(raw, policy=policy.default)


def test_a_part_that_cannot_be_read_is_none() -> None:
    assert part(parsed(b"Content-Type: text/html; charset=utf-8\r\n\r\n<p>x"), "html") == "<p>x"
    assert part(parsed(b"Content-Type: text/html; charset=nonsense\r\n\r\n<p>\xff"), "html") is None
    assert part(parsed(b"Content-Type: text/plain\r\n\r\nx"), "html") is None
    assert part(parsed(b"Content-Type: multipart/alternative; boundary=x\r\n\r\nno part"), "html") is None


def test_the_media_queries_of_an_email_follow_the_chosen_scheme() -> None:
    css = "@media (prefers-color-scheme: dark) {a} @media (min-width: 1px) and (Prefers-Color-Scheme:light) {b}"
    assert in_scheme(css, "dark") == "@media (min-width: 0) {a} @media (min-width: 1px) and (max-width: 0) {b}"
    assert in_scheme(css, "light") == "@media (max-width: 0) {a} @media (min-width: 1px) and (min-width: 0) {b}"
